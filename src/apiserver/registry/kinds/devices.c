/* resource.k8s.io: claims for devices, and the devices. v1 is stored and the hub; v1beta2 is the same by another name.
 * v1beta1 differs in two places: what a request asks for stands in the request itself and not in `exactly`, and what a
 * device is like stands in `basic` and not in the device. Of taint rules v1beta2 is what is stored. */
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"
#include "base/timefmt.h"

/* --- defaults that depend on other fields --- */

static void devices_count(struct arena *a, struct val *request)
{
	if (val_is(val_member(request, F_allocationMode), "ExactCount") && !val_get_int(request, 0, F_count))
		val_set_int(a, request, F_count, 1);
}

/* Of a request in any version: what is asked for stands in it (v1beta1) or in exactly. */
static void devices_request(struct arena *a, struct val *request, bool flat)
{
	struct val *exactly = flat ? request : val_member_mut(request, F_exactly);
	struct val *first = val_member_mut(request, F_firstAvailable);

	if (flat && val_get_str(request, F_deviceClassName).n && !val_get_str(request, F_allocationMode).n)
		val_set_cstr(a, request, F_allocationMode, "ExactCount");
	devices_count(a, exactly);
	for (size_t i = 0; i < val_len(first); i++)
		devices_count(a, val_at_mut(first, i));
}

static void devices_requests(struct api_req *q, struct val *spec)
{
	struct val *list = val_get_mut(spec, F_devices, F_requests);

	for (size_t i = 0; i < val_len(list); i++)
		devices_request(q->arena, val_at_mut(list, i), strcmp(q->res->version, "v1beta1") == 0);
}

static void devices_claim_defaults(struct api_req *q, struct val *doc)
{
	devices_requests(q, val_member_mut(doc, F_spec));
}

static void devices_template_defaults(struct api_req *q, struct val *doc)
{
	devices_requests(q, val_get_mut(doc, F_spec, F_spec));
}

static void devices_taint(struct api_req *q, struct val *taint)
{
	char now[TIME_TEXT_MAX];

	if (taint && !val_get_str(taint, F_timeAdded).n)
		val_set_str(q->arena, taint, F_timeAdded, time_format(env_now_ns(q->server->env), false, now));
}

static void devices_slice_defaults(struct api_req *q, struct val *doc)
{
	struct val *list = val_get_mut(doc, F_spec, F_devices);

	for (size_t i = 0; i < val_len(list); i++) {
		struct val *device = val_at_mut(list, i), *basic = val_member_mut(device, F_basic);
		struct val *taints = val_member_mut(basic ? basic : device, F_taints);

		for (size_t k = 0; k < val_len(taints); k++)
			devices_taint(q, val_at_mut(taints, k));
	}
}

static void devices_taint_rule_defaults(struct api_req *q, struct val *doc)
{
	devices_taint(q, val_get_mut(doc, F_spec, F_taint));
}

/* --- v1beta1 --- */

static void devices_put(struct arena *a, struct val *to, const struct val_iter *m)
{
	if (m->sym)
		val_set(a, to, m->sym, m->value);
	else
		val_set_sv(a, to, m->key, m->value);
}

/* One element of a list, in the other version. */
typedef struct val *devices_fn(struct arena *a, const struct val *e);

static struct val *request_to_v1(struct arena *a, const struct val *e)
{
	struct val *out = val_new_map(a), *exactly = val_new_map(a);
	bool any = false;

	VAL_EACH_MEMBER(e, m) {
		bool own = m.sym == F_name || m.sym == F_firstAvailable;

		devices_put(a, own ? out : exactly, &m);
		any = any || (!own && !(m.sym == F_deviceClassName && !val_str(m.value).n));
	}
	if (any)
		val_set(a, out, F_exactly, exactly);
	return out;
}

static struct val *request_to_v1beta1(struct arena *a, const struct val *e)
{
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(e, m)
		if (m.sym != F_exactly)
			devices_put(a, out, &m);
	VAL_EACH_MEMBER(val_member(e, F_exactly), m)
		devices_put(a, out, &m);
	return out;
}

static struct val *device_to_v1(struct arena *a, const struct val *e)
{
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(e, m)
		if (m.sym != F_basic)
			devices_put(a, out, &m);
	VAL_EACH_MEMBER(val_member(e, F_basic), m)
		devices_put(a, out, &m);
	return out;
}

static struct val *device_to_v1beta1(struct arena *a, const struct val *e)
{
	struct val *out = val_new_map(a), *basic = val_new_map(a);

	VAL_EACH_MEMBER(e, m)
		devices_put(a, m.sym == F_name ? out : basic, &m);
	val_set(a, out, F_basic, basic);
	return out;
}

/* doc with each element of the list at path made anew; all else is shared. The path is as deep as the types are. */
static const struct val *devices_at(struct arena *a, const struct val *doc, const enum sym *path, devices_fn *fn)
{
	struct val *out;

	if (*path == SYM_NONE) {
		out = val_new_list(a);
		VAL_EACH(doc, e)
			val_push(a, out, fn(a, e));
		return val_type(doc) == VAL_LIST ? out : doc;
	}
	if (!val_member(doc, *path))
		return doc;
	out = val_new_map(a);
	VAL_EACH_MEMBER(doc, m)
		devices_put(a, out, &m);
	val_set(a, out, *path, devices_at(a, val_member(doc, *path), path + 1, fn));
	return out;
}

/* What of a kind is different, in ctx of its versions. */
struct devices_form {
	struct versions pub; /* first */
	const enum sym *path;
	devices_fn *to_v1, *to_v1beta1;
};

static int devices_convert(const struct version_leg *leg, struct err *err)
{
	const struct devices_form *f = leg->ctx;
	bool from = strcmp(leg->from->version, "v1beta1") == 0, to = strcmp(leg->to->version, "v1beta1") == 0;

	(void)err;
	for (size_t i = 0; i < leg->n; i++) {
		const struct val *doc = leg->docs[i];
		struct val *out = val_new_map(leg->a);
		char av[160];

		if (from != to)
			doc = devices_at(leg->a, doc, f->path, from ? f->to_v1 : f->to_v1beta1);
		VAL_EACH_MEMBER(doc, m)
			devices_put(leg->a, out, &m);
		val_set_cstr(leg->a, out, F_apiVersion, resource_api_version(leg->to, av, sizeof(av)));
		leg->out[i] = out;
	}
	return 0;
}

/* --- the versions of each kind --- */

#define THREE(plural)                                                                              \
	static const struct version plural##_all[] = { { RES(resource_##plural), NULL },           \
						       { RES(resource_##plural##_v1beta2), NULL }, \
						       { RES(resource_##plural##_v1beta1), NULL } };
#define STORED(plural, list, fn, ...)                                                                        \
	.storage = RES(resource_##plural), .hub = RES(resource_##plural), .all = list, .n = ARRAY_LEN(list), \
	.convert = fn, ##__VA_ARGS__

THREE(deviceclasses)
THREE(resourceclaims)
THREE(resourceclaimtemplates)
THREE(resourceslices)

static const struct versions class_versions = { STORED(deviceclasses, deviceclasses_all, NULL) };
static const struct devices_form claim_form = {
	{ STORED(resourceclaims, resourceclaims_all, devices_convert, .ctx = (void *)(uintptr_t)&claim_form) },
	(const enum sym[]){ F_spec, F_devices, F_requests, SYM_NONE },
	request_to_v1,
	request_to_v1beta1,
};
static const struct devices_form template_form = {
	{ STORED(resourceclaimtemplates, resourceclaimtemplates_all, devices_convert,
		 .ctx = (void *)(uintptr_t)&template_form) },
	(const enum sym[]){ F_spec, F_spec, F_devices, F_requests, SYM_NONE },
	request_to_v1,
	request_to_v1beta1,
};
static const struct devices_form slice_form = {
	{ STORED(resourceslices, resourceslices_all, devices_convert, .ctx = (void *)(uintptr_t)&slice_form) },
	(const enum sym[]){ F_spec, F_devices, SYM_NONE },
	device_to_v1,
	device_to_v1beta1,
};

static const struct version taint_rules_all[] = { { RES(resource_devicetaintrules), NULL },
						  { RES(resource_devicetaintrules_v1beta2), NULL },
						  { RES(resource_devicetaintrules_v1alpha3), NULL } };
static const struct versions taint_rule_versions = { .storage = RES(resource_devicetaintrules_v1beta2),
						     .hub = RES(resource_devicetaintrules_v1beta2),
						     .all = taint_rules_all,
						     .n = ARRAY_LEN(taint_rules_all) };

/* --- strategies --- */

static const struct kept_on status_alone[] = {
	{ "status", (const char *const[]){ "spec", "metadata", NULL } },
	{ NULL, NULL },
};

/* Of whichever version: what counts is the same in all. */
static void slice_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(resource_resourceslices), old, now);
}

#define CLASS(id)                                                                                                 \
	{                                                                                                         \
		.res = RES(resource_deviceclasses##id), .unconditional_update = true, .versions = &class_versions \
	}
#define CLAIM(id)                                                                                             \
	{                                                                                                     \
		.res = RES(resource_resourceclaims##id), .unconditional_update = true, .no_generation = true, \
		.kept = status_alone, .set_defaults = devices_claim_defaults, .permit = device_admin_permit,  \
		.permit_status = device_status_permit, .versions = &claim_form.pub                            \
	}
#define TEMPLATE(id)                                                                                                  \
	{                                                                                                             \
		.res = RES(resource_resourceclaimtemplates##id), .unconditional_update = true, .no_generation = true, \
		.set_defaults = devices_template_defaults, .permit = device_admin_permit,                             \
		.versions = &template_form.pub                                                                        \
	}
#define SLICE(id)                                                                                             \
	{                                                                                                     \
		.res = RES(resource_resourceslices##id), .unconditional_update = true,                        \
		.set_defaults = devices_slice_defaults, .versions = &slice_form.pub, .observe = slice_observe \
	}
#define TAINT_RULE(id)                                                                                         \
	{                                                                                                      \
		.res = RES(resource_devicetaintrules##id), .unconditional_update = true, .kept = status_alone, \
		.set_defaults = devices_taint_rule_defaults, .versions = &taint_rule_versions                  \
	}

const struct strategy device_strategies[] = {
	CLASS(),
	CLASS(_v1beta2),
	CLASS(_v1beta1),
	CLAIM(),
	CLAIM(_v1beta2),
	CLAIM(_v1beta1),
	TEMPLATE(),
	TEMPLATE(_v1beta2),
	TEMPLATE(_v1beta1),
	SLICE(),
	SLICE(_v1beta2),
	SLICE(_v1beta1),
	TAINT_RULE(),
	TAINT_RULE(_v1beta2),
	TAINT_RULE(_v1alpha3),
	{ .res = RES(resource_resourcepoolstatusrequests_v1alpha3),
	  .unconditional_update = true,
	  .no_generation = true,
	  .kept = status_alone },
};
const size_t device_strategies_count = ARRAY_LEN(device_strategies);
