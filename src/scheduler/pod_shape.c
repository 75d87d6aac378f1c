/* From a Pod's document to its shape. Mostly it is that of the Pod before, which is compared member by member. Else the
 * text that identifies the shape is written; only when no Pod had that text before, it is read back into a document of
 * the shape's own (so the shape needs no Pod to stay alive) and parsed. */
#include "base/buf.h"
#include "codec/json.h"
#include "pod/pod_resources.h"
#include "scheduler/cache.h"

#include <stdlib.h>

#define AMOUNT_MAX (INT64_C(1) << 52) /* so that a node full of Pods cannot overflow a sum */

/* --- identity --- */

/* What of a spec belongs to its shape; of containers, what put_containers() takes. */
static const enum sym parts[] = { F_priority,	  F_preemptionPolicy, F_overhead,    F_resources,
				  F_nodeSelector, F_affinity,	      F_tolerations, F_topologySpreadConstraints };
static const enum sym container_lists[] = { F_containers, F_initContainers };

static void put_name(struct buf *b, enum sym name)
{
	json_encode_str(b, sym_name(name));
	buf_addc(b, ':');
}

static void shape_put(struct buf *b, enum sym name, const struct val *v)
{
	if (val_type(v) == VAL_NULL)
		return;
	put_name(b, name);
	json_encode(b, v);
	buf_addc(b, ',');
}

static void put_requested(struct buf *b, const struct val *requests)
{
	if (val_len(requests) == 0)
		return;
	put_name(b, F_resources);
	buf_addc(b, '{');
	put_name(b, F_requests);
	json_encode(b, requests);
	buf_adds(b, "},");
}

static void put_containers(struct buf *b, enum sym name, const struct val *list)
{
	const char *sep = "";

	if (val_len(list) == 0)
		return;
	put_name(b, name);
	buf_addc(b, '[');
	VAL_EACH(list, c) {
		buf_adds(b, sep);
		buf_addc(b, '{');
		shape_put(b, F_image, val_get(c, F_image));
		put_requested(b, val_get(c, F_resources, F_requests));
		shape_put(b, F_ports, val_get(c, F_ports));
		shape_put(b, F_restartPolicy, val_get(c, F_restartPolicy));
		buf_adds(b, "\"v\":0}");
		sep = ",";
	}
	buf_adds(b, "],");
}

static struct sv controller_uid(const struct val *pod)
{
	VAL_EACH(val_get(pod, F_metadata, F_ownerReferences), r)
		if (val_get_bool(r, F_controller))
			return val_get_str(r, F_uid);
	return SV("");
}

static void put_identity(struct buf *b, const struct val *pod)
{
	const struct val *meta = val_get(pod, F_metadata), *spec = val_get(pod, F_spec);

	buf_reserve(b, 1024);
	buf_addc(b, '{');
	shape_put(b, F_namespace, val_get(meta, F_namespace));
	shape_put(b, F_labels, val_get(meta, F_labels));
	buf_adds(b, "\"uid\":");
	json_encode_str(b, controller_uid(pod));
	buf_addc(b, ',');
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		shape_put(b, parts[i], val_get(spec, parts[i]));
	for (size_t i = 0; i < ARRAY_LEN(container_lists); i++)
		put_containers(b, container_lists[i], val_get(spec, container_lists[i]));
	buf_adds(b, "\"v\":0}");
}

/* What put_identity() makes of the one, and what was read back of another. */
static bool same_part(const struct val *of_pod, const struct val *of_shape)
{
	return val_type(of_pod) == VAL_NULL ? !of_shape : val_equal(of_pod, of_shape);
}

static bool same_containers(const struct val *of_pod, const struct val *of_shape)
{
	size_t i = 0;

	if (val_len(of_pod) != val_len(of_shape))
		return false;
	VAL_EACH(of_pod, c) {
		const struct val *like = val_at(of_shape, i++);
		const struct val *requests = val_get(c, F_resources, F_requests);

		if (!same_part(val_get(c, F_image), val_member(like, F_image)) ||
		    !same_part(val_len(requests) ? requests : NULL, val_get(like, F_resources, F_requests)) ||
		    !same_part(val_get(c, F_ports), val_member(like, F_ports)) ||
		    !same_part(val_get(c, F_restartPolicy), val_member(like, F_restartPolicy)))
			return false;
	}
	return true;
}

/* Would put_identity() write the shape's key? True only when it would, or the same in another order. */
static bool has_shape(const struct val *pod, const struct pod_shape *s)
{
	const struct val *meta = val_get(pod, F_metadata), *spec = val_get(pod, F_spec);

	if (!same_part(val_get(meta, F_namespace), val_member(s->doc, F_namespace)) ||
	    !same_part(val_get(meta, F_labels), val_member(s->doc, F_labels)) || !sv_eq(controller_uid(pod), s->owner))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!same_part(val_get(spec, parts[i]), val_member(s->doc, parts[i])))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(container_lists); i++)
		if (!same_containers(val_get(spec, container_lists[i]), val_member(s->doc, container_lists[i])))
			return false;
	return true;
}

static bool same_members(const struct val *x, const struct val *y, const enum sym *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!val_equal(val_member(x, names[i]), val_member(y, names[i])))
			return false;
	return true;
}

/* Would both have the same identity? True only when they do. */
static bool same_identity(const struct val *x, const struct val *y)
{
	static const enum sym meta[] = { F_namespace, F_labels };
	const struct val *x_spec = val_get(x, F_spec), *y_spec = val_get(y, F_spec);

	return same_members(val_get(x, F_metadata), val_get(y, F_metadata), meta, ARRAY_LEN(meta)) &&
	       same_members(x_spec, y_spec, parts, ARRAY_LEN(parts)) &&
	       same_members(x_spec, y_spec, container_lists, ARRAY_LEN(container_lists)) &&
	       sv_eq(controller_uid(x), controller_uid(y));
}

/* --- requests --- */

static void put_requests(struct cache *c, struct resvec *r, const struct res_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		uint32_t id = cache_resource(c, l->p[i].name);

		/* Names beyond those that are told apart share one id. */
		resvec_set(r, id, MIN(resvec_get(r, id) + l->p[i].amount, AMOUNT_MAX));
	}
}

static void parse_requests(struct cache *c, struct pod_shape *s, const struct val *doc)
{
	_cleanup_(res_list_release) struct res_list as_written = RES_LIST_INIT, padded = RES_LIST_INIT;

	pod_requests(doc, RES_AS_WRITTEN, &as_written);
	put_requests(c, &s->req, &as_written);
	pod_requests(doc, RES_ASSUME_SOME, &padded);
	s->nonzero[0] = res_list_get(&padded, SV("cpu"));
	s->nonzero[1] = res_list_get(&padded, SV("memory"));
}

/* --- ports, images, tolerations --- */

static struct sv with_tag(struct arena *a, struct sv image)
{
	ssize_t slash = -1;

	for (size_t i = 0; i < image.n; i++)
		if (image.p[i] == '/')
			slash = (ssize_t)i;
	if (sv_find(image, '@') >= 0 || sv_find(sv_sub(image, (size_t)(slash + 1), image.n), ':') >= 0)
		return image;
	return arena_svf(a, "%.*s:latest", SV_ARG(image));
}

static void parse_containers(struct pod_shape *s, const struct val *doc)
{
	size_t n_images = 0;

	for (size_t k = 0; k < ARRAY_LEN(container_lists); k++)
		n_images += val_len(val_get(doc, container_lists[k]));
	s->n_ports = host_ports_parse(&s->arena, doc, &s->ports);
	s->images = ARENA_ARRAY(&s->arena, struct sv, n_images);
	for (size_t k = 0; k < ARRAY_LEN(container_lists); k++)
		VAL_EACH(val_get(doc, container_lists[k]), c)
			s->images[s->n_images++] = with_tag(&s->arena, val_get_str(c, F_image));
}

static void parse_tolerations(struct pod_shape *s, const struct val *list)
{
	s->tolerations = ARENA_ARRAY(&s->arena, struct toleration, val_len(list));
	VAL_EACH(list, t)
		s->tolerations[s->n_tolerations++] = toleration_parse(t);
}

/* --- affinity between Pods, and spreading --- */

/* Adds "key In/NotIn (the Pod's own value)" for each of the keys the Pod has a label for. */
static void merge_keys(struct arena *a, struct val *selector, const struct val *keys, const char *op,
		       const struct val *labels)
{
	VAL_EACH(keys, k) {
		const struct val *value = val_member_sv(labels, val_str(k));
		struct val *e, *values;

		if (!value)
			continue;
		e = val_new_map(a);
		val_set(a, e, F_key, k);
		val_set_cstr(a, e, F_operator, op);
		values = val_set_list(a, e, F_values);
		val_push(a, values, value);
		val_push(a, val_ensure_list(a, selector, F_matchExpressions), e);
	}
}

static void parse_sel(struct pod_shape *s, struct pod_sel *sel, const struct val *term)
{
	struct arena *a = &s->arena;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *doc = val_new_map(a), *list = val_new_list(a), *selector;
	const struct val *names = val_get(term, F_namespaces), *by_ns = val_get(term, F_namespaceSelector);

	if (val_len(names) == 0 && val_type(by_ns) != VAL_MAP)
		val_push(a, list, val_new_str(a, sv_from(s->ns->name)));
	VAL_EACH(names, n)
		val_push(a, list, n);
	val_set(a, doc, F_namespaces, list);
	if (val_type(by_ns) == VAL_MAP)
		val_set(a, doc, F_namespaceSelector, by_ns);
	if (val_type(val_get(term, F_labelSelector)) == VAL_MAP) {
		selector = val_clone(a, val_get(term, F_labelSelector));
		merge_keys(a, selector, val_get(term, F_matchLabelKeys), "In", s->labels);
		merge_keys(a, selector, val_get(term, F_mismatchLabelKeys), "NotIn", s->labels);
		val_set(a, doc, F_labelSelector, selector);
	}
	json_encode(&b, doc);
	pod_sel_init(a, sel, arena_sv(a, buf_sv(&b)));
}

static void parse_terms(struct cache *c, struct pod_shape *s, struct terms *out, const struct val *list, bool weighted)
{
	out->p = ARENA_ARRAY(&s->arena, struct affinity_term, val_len(list));
	VAL_EACH(list, e) {
		struct affinity_term *t = &out->p[out->n];
		const struct val *term = weighted ? val_get(e, F_podAffinityTerm) : e;

		t->weight = weighted ? (int32_t)MIN(val_get_int(e, 0, F_weight), 100) : 1;
		if (weighted && t->weight == 0)
			continue;
		parse_sel(s, &t->sel, term);
		t->topo = cache_topo(c, val_get_str(term, F_topologyKey));
		out->n++;
	}
}

static void parse_affinity(struct cache *c, struct pod_shape *s, const struct val *affinity)
{
	const struct val *near = val_get(affinity, F_podAffinity), *apart = val_get(affinity, F_podAntiAffinity);

	parse_terms(c, s, &s->near, val_get(near, F_requiredDuringSchedulingIgnoredDuringExecution), false);
	parse_terms(c, s, &s->apart, val_get(apart, F_requiredDuringSchedulingIgnoredDuringExecution), false);
	parse_terms(c, s, &s->near_preferred, val_get(near, F_preferredDuringSchedulingIgnoredDuringExecution), true);
	parse_terms(c, s, &s->apart_preferred, val_get(apart, F_preferredDuringSchedulingIgnoredDuringExecution), true);
	s->near_self = s->near.n > 0;
	for (size_t i = 0; i < s->near.n; i++)
		s->near_self = s->near_self && pod_sel_matches(&s->near.p[i].sel, s->ns, s->labels);

	s->standing = ARENA_ARRAY(&s->arena, struct standing *,
				  s->near.n + s->apart.n + s->near_preferred.n + s->apart_preferred.n);
	for (size_t i = 0; i < s->near.n; i++)
		s->standing[s->n_standing++] = standing_get(c, STANDING_NEAR, &s->near.p[i], 1);
	for (size_t i = 0; i < s->apart.n; i++)
		s->standing[s->n_standing++] = standing_get(c, STANDING_APART, &s->apart.p[i], 1);
	for (size_t i = 0; i < s->near_preferred.n; i++)
		s->standing[s->n_standing++] =
		    standing_get(c, STANDING_WEIGHT, &s->near_preferred.p[i], s->near_preferred.p[i].weight);
	for (size_t i = 0; i < s->apart_preferred.n; i++)
		s->standing[s->n_standing++] =
		    standing_get(c, STANDING_WEIGHT, &s->apart_preferred.p[i], -s->apart_preferred.p[i].weight);
}

static void parse_spread(struct cache *c, struct pod_shape *s, const struct val *list)
{
	s->spread = ARENA_ARRAY(&s->arena, struct spread, val_len(list));
	VAL_EACH(list, e) {
		struct spread *x = &s->spread[s->n_spread++];

		parse_sel(s, &x->sel, e);
		x->topo = cache_topo(c, val_get_str(e, F_topologyKey));
		x->max_skew = (int32_t)MIN(MAX(val_get_int(e, 1, F_maxSkew), 1), INT32_MAX);
		x->min_domains = (int32_t)MIN(MAX(val_get_int(e, 1, F_minDomains), 1), INT32_MAX);
		x->hard = !val_is(val_get(e, F_whenUnsatisfiable), "ScheduleAnyway");
		x->honor_affinity = !val_is(val_get(e, F_nodeAffinityPolicy), "Ignore");
		x->honor_taints = val_is(val_get(e, F_nodeTaintsPolicy), "Honor");
		x->self = selector_matches(x->sel.labels, s->labels);
	}
}

/* --- the table of shapes --- */

struct pod_shape *pod_shape_get(struct cache *c, const struct val *pod)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct pod_shape *s;
	const struct val *doc;

	if (c->last_shape && has_shape(pod, c->last_shape)) {
		c->last_shape->refs++;
		return c->last_shape;
	}
	put_identity(&b, pod);
	s = strmap_get(&c->shapes, buf_sv(&b));
	if (s) {
		s->refs++;
		c->last_shape = s;
		return s;
	}
	s = xcalloc(1, sizeof(*s));
	s->refs = 1;
	doc = json_decode(&s->arena, buf_sv(&b), NULL, NULL);
	BUG_ON(!doc);
	s->doc = doc;
	s->ns = cache_ns_get(c, val_get_str(doc, F_namespace));
	s->labels = val_get(doc, F_labels);
	s->owner = val_get_str(doc, F_uid);
	s->priority = (int32_t)val_get_int(doc, 0, F_priority);
	s->never_preempts = val_is(val_get(doc, F_preemptionPolicy), "Never");
	parse_requests(c, s, doc);
	parse_containers(s, doc);
	parse_tolerations(s, val_get(doc, F_tolerations));
	node_want_parse(&s->arena, doc, &s->nodes);
	parse_affinity(c, s, val_get(doc, F_affinity));
	parse_spread(c, s, val_get(doc, F_topologySpreadConstraints));
	strmap_set(&c->shapes, buf_sv(&b), s);
	s->key = buf_detach(&b);
	c->last_shape = s;
	return s;
}

struct pod_shape *pod_shape_after(struct cache *c, const struct pod_info *p, const struct val *neu)
{
	/* Most changes are of the status, or bind the Pod. */
	if (!same_identity(obj_root(p->obj), neu))
		return pod_shape_get(c, neu);
	p->shape->refs++;
	return p->shape;
}

static void unref_all(struct cache *c, struct census **list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		census_unref(c, list[i]);
}

void pod_shape_unref(struct cache *c, struct pod_shape *s)
{
	if (--s->refs)
		return;
	if (c->last_shape == s)
		c->last_shape = NULL;
	strmap_del(&c->shapes, sv_from(s->key));
	for (size_t i = 0; i < s->n_standing; i++)
		census_standing_unref(c, s->standing[i]);
	for (size_t i = 0; i < s->n_spread; i++)
		census_unref(c, s->spread[i].census);
	census_unref(c, s->near_census);
	census_unref(c, s->owner_census);
	unref_all(c, s->apart_census, s->apart.n);
	unref_all(c, s->near_preferred_census, s->near_preferred.n);
	unref_all(c, s->apart_preferred_census, s->apart_preferred.n);
	cache_ns_unref(c, s->ns);
	arena_release(&s->arena);
	free(s->req.v);
	free(s->key);
	free(s);
}
