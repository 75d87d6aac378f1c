/* LimitRanger: defaults for containers without requests and limits, and bounds for all. */
#include "apiserver/admission/plugins.h"
#include "object/quantity.h"

struct ranges {
	const struct admission *a;
	struct val *spec;
	struct err *err;
	bool mutating;
	int rc;
};

static void fill(struct arena *a, struct val *resources, enum sym which, const struct val *defaults)
{
	struct val *m;

	if (!val_len(defaults))
		return;
	m = val_ensure_map(a, resources, which);
	VAL_EACH_MEMBER(defaults, d)
		if (!val_member_sv(m, d.key))
			val_set_sv(a, m, d.key, val_clone(a, d.value));
}

static void default_containers(struct ranges *r, const struct val *item)
{
	static const enum sym lists[] = { F_initContainers, F_containers };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct val *list = val_member_mut(r->spec, lists[k]);

		for (size_t i = 0; i < val_len(list); i++) {
			struct val *res = val_ensure_map(r->a->q->arena, val_at_mut(list, i), F_resources);

			fill(r->a->q->arena, res, F_limits, val_get(item, F_default));
			fill(r->a->q->arena, res, F_requests, val_get(item, F_defaultRequest));
		}
	}
}

static int check_bound(struct ranges *r, const struct val *bound, bool max, const struct val *have, const char *what,
		       const char *type)
{
	VAL_EACH_MEMBER(bound, b) {
		const struct val *v = val_member_sv(have, b.key);
		int64_t limit = quantity_milli_or(b.value, 0), amount = quantity_milli_or(v, 0);

		if (!v) {
			r->rc = admission_forbid(r->a, r->err, "%s %.*s usage per %s is %.*s.  No %s is specified",
						 max ? "maximum" : "minimum", SV_ARG(b.key), type,
						 SV_ARG(val_str(b.value)), what);
			return -1;
		}
		if (max ? amount > limit : amount < limit) {
			r->rc = admission_forbid(r->a, r->err, "%s %.*s usage per %s is %.*s, but %s is %.*s",
						 max ? "maximum" : "minimum", SV_ARG(b.key), type,
						 SV_ARG(val_str(b.value)), what, SV_ARG(val_str(v)));
			return -1;
		}
	}
	return 0;
}

static int check_containers(struct ranges *r, const struct val *item)
{
	static const enum sym lists[] = { F_initContainers, F_containers };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(r->spec, lists[k]), c) {
			const struct val *requests = val_get(c, F_resources, F_requests);
			const struct val *limits = val_get(c, F_resources, F_limits);

			if (check_bound(r, val_get(item, F_min), false, requests, "request", "Container") < 0 ||
			    check_bound(r, val_get(item, F_max), true, limits, "limit", "Container") < 0)
				return -1;
		}
	return 0;
}

static int apply(struct obj *o, void *ctx)
{
	struct ranges *r = ctx;

	VAL_EACH(obj_get(o, F_spec, F_limits), item) {
		if (!val_is(val_get(item, F_type), "Container"))
			continue;
		if (r->mutating)
			default_containers(r, item);
		else if (check_containers(r, item) < 0)
			return 1;
	}
	return 0;
}

static int run(const struct admission *a, struct err *err, bool mutating)
{
	struct ranges r = { .a = a, .err = err, .mutating = mutating };

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	r.spec = val_get_mut(a->doc, F_spec);
	registry_each(a->q->server, RES(core_limitranges), a->ns, apply, &r);
	return r.rc;
}

static int mutate(const struct admission *a, struct err *err)
{
	return run(a, err, true);
}

static int validate(const struct admission *a, struct err *err)
{
	return run(a, err, false);
}

const struct admission_plugin admission_limit_ranger = { .name = "LimitRanger",
							 .mutate = mutate,
							 .validate = validate };
