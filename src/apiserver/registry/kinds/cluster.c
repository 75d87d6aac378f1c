/* Namespaces, Nodes, and the small core kinds. */
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"

/* --- Namespace --- */

static void namespace_defaults(struct api_req *q, struct val *doc)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);
	struct val *labels;

	if (name.n == 0)
		return;
	labels = val_ensure_map(q->arena, val_get_mut(doc, F_metadata), F_labels);
	val_set_sv(q->arena, labels, SV("kubernetes.io/metadata.name"), val_new_str(q->arena, name));
}

static void namespace_create(struct api_req *q, struct val *doc)
{
	struct val *spec = val_ensure_map(q->arena, doc, F_spec), *list = val_ensure_list(q->arena, spec, F_finalizers);
	bool has = false;

	namespace_defaults(q, doc); /* the name may have been generated since */
	VAL_EACH(list, f)
		has = has || val_is(f, "kubernetes");
	if (!has)
		val_push(q->arena, list, val_new_str_ref(q->arena, SV("kubernetes")));
	val_set_cstr(q->arena, val_set_map(q->arena, doc, F_status), F_phase, "Active");
}

/* Only the finalize subresource changes spec.finalizers. */
static void namespace_update(struct api_req *q, const struct val *old, struct val *doc)
{
	const struct val *was = val_get(old, F_spec, F_finalizers);

	if (sv_is(q->subresource, "finalize"))
		return;
	if (was)
		val_set(q->arena, val_ensure_map(q->arena, doc, F_spec), F_finalizers, was);
	else if (val_get(doc, F_spec))
		val_del(val_get_mut(doc, F_spec), F_finalizers);
}

static bool namespace_field(const struct val *ns, struct sv label, struct sv *ret)
{
	if (!sv_is(label, "status.phase"))
		return false;
	*ret = val_get_str(ns, F_status, F_phase);
	return true;
}

/* Its controller's time is nobody's to say. */
static void namespace_deletion_marked(struct arena *a, struct val *doc)
{
	val_del(val_ensure_map(a, doc, F_metadata), F_deletionGracePeriodSeconds);
	val_set_cstr(a, val_ensure_map(a, doc, F_status), F_phase, "Terminating");
}

static bool namespace_finalized(const struct val *doc)
{
	return !val_len(val_get(doc, F_spec, F_finalizers));
}

const struct strategy namespace_strategy = {
	.res = RES(core_namespaces),
	.deletion_marked = namespace_deletion_marked,
	.finalized = namespace_finalized,
	.name_check = fmt_dns_label,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = namespace_defaults,
	.prepare_create = namespace_create,
	.prepare_update = namespace_update,
	.field_label = namespace_field,
};

/* --- Node --- */

/* podCIDR is the first of podCIDRs, from before there were several; where they differ, it decides. */
static void one_pod_cidr(struct arena *a, struct val *spec)
{
	struct sv one = val_get_str(spec, F_podCIDR), first = val_str(val_at(val_get(spec, F_podCIDRs), 0));

	if (one.n && !sv_eq(one, first))
		val_push(a, val_set_list(a, spec, F_podCIDRs), val_new_str(a, one));
	else if (!one.n && first.n)
		val_set_str(a, spec, F_podCIDR, first);
}

static void node_defaults(struct api_req *q, struct val *doc)
{
	struct val *status = val_get_mut(doc, F_status);
	const struct val *capacity = val_get(status, F_capacity);

	if (capacity && !val_get(status, F_allocatable))
		val_set(q->arena, status, F_allocatable, val_clone(q->arena, capacity));
	one_pod_cidr(q->arena, val_get_mut(doc, F_spec));
}

static const struct sub_handler node_subs[] = {
	{ "proxy", node_proxy, .streams = true, .connects = true, .any_method = true }, { NULL, NULL, .streams = false }
};

static bool node_field(const struct val *node, struct sv label, struct sv *ret)
{
	if (!sv_is(label, "spec.unschedulable"))
		return false;
	*ret = val_get_bool(node, F_spec, F_unschedulable) ? SV("true") : SV("false");
	return true;
}

/* Kubelets took their configuration from ConfigMaps once. Where a node has that from then it stays, no other gets it.
 */
static void node_prepare_create(struct api_req *q, struct val *doc)
{
	(void)q;
	if (val_get(doc, F_spec))
		val_del(val_get_mut(doc, F_spec), F_configSource);
	if (val_get(doc, F_status))
		val_del(val_get_mut(doc, F_status), F_config);
}

static void node_prepare_update(struct api_req *q, const struct val *old, struct val *doc)
{
	(void)q;
	if (val_get(doc, F_spec) && !val_get(old, F_spec, F_configSource))
		val_del(val_get_mut(doc, F_spec), F_configSource);
}

static void node_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	(void)old;
	if (val_get(doc, F_spec, F_configSource))
		api_req_warn(q, "spec.configSource: the feature is no longer supported");
	if (val_get_str(doc, F_spec, F_externalID).n)
		api_req_warn(q, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
}

static void node_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(core_nodes), old, now);
}

const struct strategy node_strategy = {
	.res = RES(core_nodes),
	.observe = node_observe,
	.status_on_create = true,
	.prepare_create = node_prepare_create,
	.prepare_update = node_prepare_update,
	.warn = node_warn,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = node_defaults,
	.subs = node_subs,
	.field_label = node_field,
};

/* --- the rest of core --- */

/* stringData is for writing only: it is folded into data. */
static void secret_fold(struct api_req *q, struct val *doc)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const struct val *plain = val_get(doc, F_stringData);
	struct val *folded = val_new_map(q->arena);

	VAL_EACH_MEMBER(plain, m) {
		struct sv s = val_str(m.value);
		char *out = arena_alloc(q->arena, s.n / 3 * 4 + 5), *at = out;

		for (size_t i = 0; i < s.n; i += 3) {
			const unsigned char *in = (const unsigned char *)s.p + i;
			size_t left = s.n - i;
			uint32_t v =
			    (uint32_t)in[0] << 16 | (left > 1 ? (uint32_t)in[1] << 8 : 0) | (left > 2 ? in[2] : 0);

			*at++ = digits[v >> 18 & 63];
			*at++ = digits[v >> 12 & 63];
			*at++ = left > 1 ? digits[v >> 6 & 63] : '=';
			*at++ = left > 2 ? digits[v & 63] : '=';
		}
		val_append_sv(q->arena, folded, m.key, val_new_str_ref(q->arena, sv_make(out, (size_t)(at - out))));
	}
	if (val_len(folded))
		val_put_all(q->arena, val_ensure_map(q->arena, doc, F_data), folded);
	val_del(doc, F_stringData);
}

static bool secret_field(const struct val *secret, struct sv label, struct sv *ret)
{
	if (!sv_is(label, "type"))
		return false;
	*ret = val_get_str(secret, F_type);
	return true;
}

const struct strategy secret_strategy = {
	.res = RES(core_secrets),
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = secret_fold,
	.warn = secret_warn,
	.field_label = secret_field,
};

const struct strategy configmap_strategy = {
	.res = RES(core_configmaps),
	.unconditional_update = true,
	.no_generation = true,
};

static void limitrange_defaults(struct api_req *q, struct val *doc)
{
	struct val *items = val_get_mut(doc, F_spec, F_limits);
	const enum sym steps[][2] = { { F_default, F_max },
				      { F_defaultRequest, F_default },
				      { F_defaultRequest, F_min } };

	for (size_t i = 0; i < val_len(items); i++) {
		struct val *item = val_at_mut(items, i);

		if (!val_is(val_get(item, F_type), "Container"))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			const struct val *from = val_member(item, steps[k][1]);

			if (val_len(from) == 0)
				continue;
			from = val_clone(q->arena, from);
			struct val *to = val_ensure_map(q->arena, item, steps[k][0]);

			val_add_missing(q->arena, to, from);
		}
	}
}

/* The only kind whose name may be left out. */
static void limitrange_create(struct api_req *q, struct val *doc)
{
	struct val *meta = val_get_mut(doc, F_metadata);
	char uuid[37];

	if (val_get_str(meta, F_name).n)
		return;
	env_uuid(q->server->env, uuid);
	val_set_cstr(q->arena, meta, F_name, uuid);
}

const struct strategy limitrange_strategy = {
	.prepare_create = limitrange_create,
	.res = RES(core_limitranges),
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = limitrange_defaults,
};

const struct strategy resourcequota_strategy = {
	.res = RES(core_resourcequotas),
	.returns_deleted = true,
	.unconditional_update = true,
	.no_generation = true,
};

static void pending_volume(struct api_req *q, struct val *doc)
{
	val_set_cstr(q->arena, val_set_map(q->arena, doc, F_status), F_phase, "Pending");
}

static void volume_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(core_persistentvolumes), old, now);
}

/* Of data sources that were there before any kind could be one, only claims and snapshots were kept. */
static bool source_of_old(const struct val *src)
{
	struct sv group = val_get_str(src, F_apiGroup), kind = val_get_str(src, F_kind);

	return group.n ? sv_is(group, "snapshot.storage.k8s.io") && sv_is(kind, "VolumeSnapshot")
		       : sv_is(kind, "PersistentVolumeClaim");
}

/* dataSource and dataSourceRef say the same (KEP-1495), unless the source is in another namespace. */
static void one_data_source(struct arena *a, const struct val *old, struct val *spec)
{
	static const enum sym parts[] = { F_apiGroup, F_kind, F_name };
	struct val *src = val_member_mut(spec, F_dataSource), *ref = val_member_mut(spec, F_dataSourceRef), *to;
	const struct val *from;

	if (src && !val_member(old, F_dataSource) && !val_member(old, F_dataSourceRef) && !source_of_old(src)) {
		val_del(spec, F_dataSource);
		src = NULL;
		ref = val_member_mut(spec, F_dataSourceRef);
	}
	if ((src != NULL) == (ref != NULL) || (ref && val_get_str(ref, F_namespace).n))
		return;
	from = src ? src : ref;
	to = val_new_map(a);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (val_member(from, parts[i]))
			val_set(a, to, parts[i], val_member(from, parts[i]));
	val_set(a, spec, src ? F_dataSourceRef : F_dataSource, to);
}

static void claim_create(struct api_req *q, struct val *doc)
{
	pending_volume(q, doc);
	if (val_get(doc, F_spec))
		one_data_source(q->arena, NULL, val_get_mut(doc, F_spec));
}

static void claim_update(struct api_req *q, const struct val *old, struct val *doc)
{
	if (val_get(doc, F_spec))
		one_data_source(q->arena, val_get(old, F_spec), val_get_mut(doc, F_spec));
}

const struct strategy persistentvolume_strategy = {
	.res = RES(core_persistentvolumes),
	.returns_deleted = true,
	.unconditional_update = true,
	.no_generation = true,
	.prepare_create = pending_volume,
	.observe = volume_observe,
	.warn = volume_warn,
};

const struct strategy persistentvolumeclaim_strategy = {
	.res = RES(core_persistentvolumeclaims),
	.returns_deleted = true,
	.unconditional_update = true,
	.no_generation = true,
	.prepare_create = claim_create,
	.prepare_update = claim_update,
	.warn = claim_warn,
};
