/* LimitRanger: defaults for containers without requests and limits; bounds and ratios for containers, pods as a
 * whole and claims. All that one LimitRange has against an object is said in one answer. */
#include "apiserver/admission/plugins.h"
#include "base/budget.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"
#include "object/annotation.h"
#include "object/quantity.h"

#define ANNOTATION "kubernetes.io/limit-ranger"
#define RATIO_MILLI 1000.0

/* Each resource that a LimitRange names meets each container: both sides are a user's, and defaults are copied. A unit
 * is one such pair. */
static const struct budget_limit pairs_limit = {
	100000, ERR_FORBIDDEN,
	"the limit ranges of the namespace name too many resources for so many containers: use fewer of either"
};

struct ranges {
	const struct admission *a;
	struct arena *ar;
	struct val *spec;
	struct buf said;     /* mutating: what was set; validating: what is wrong */
	struct strmap wrong; /* each sentence once */
	size_t n_wrong;
	struct strmap
	    totals[2]; /* of a pod's requests and limits: resource -> struct total; made when first asked for */
	bool totalled;
	struct budget pairs;
};

/* --- defaults --- */

/* Sets what is missing; "cpu, memory limit for container c" joins what has been set. */
static void fill(struct ranges *r, struct val *c, enum sym which, const struct val *defaults, const char *kind)
{
	struct val *res = val_ensure_map(r->ar, c, F_resources), *m, *missing;
	_cleanup_(val_index_release) struct val_index had = { 0 };
	bool any = false;

	if (!val_len(defaults) || !budget_take(&r->pairs, val_len(defaults)))
		return;
	m = val_ensure_map(r->ar, res, which);
	missing = val_new_map(r->ar);
	had = val_index_of(m);
	VAL_EACH_MEMBER(defaults, d) {
		if (val_index_get(&had, d.key))
			continue;
		/* Copied: the LimitRange may go before what it completes. */
		val_append_sv(r->ar, missing, arena_sv(r->ar, d.key), val_clone(r->ar, d.value));
		buf_printf(&r->said, "%s%.*s", any ? ", " : r->said.n ? "; " : "", SV_ARG(d.key));
		any = true;
	}
	val_add_missing(r->ar, m, missing);
	if (any)
		buf_printf(&r->said, " %s for %s %.*s", which == F_limits ? "limit" : "request", kind,
			   SV_ARG(val_get_str(c, F_name)));
}

static void default_containers(struct ranges *r, const struct val *item)
{
	static const struct {
		enum sym list;
		const char *kind;
	} all[] = { { F_containers, "container" }, { F_initContainers, "init container" } };

	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct val *list = val_member_mut(r->spec, all[k].list);

		for (size_t i = 0; i < val_len(list); i++) {
			fill(r, val_at_mut(list, i), F_requests, val_get(item, F_defaultRequest), all[k].kind);
			fill(r, val_at_mut(list, i), F_limits, val_get(item, F_default), all[k].kind);
		}
	}
}

/* --- bounds --- */

static void wrong(struct ranges *r, const char *fmt, ...) _printf_(2, 3);
static void wrong(struct ranges *r, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = arena_vprintf(r->ar, fmt, ap);
	va_end(ap);
	if (strmap_set(&r->wrong, sv_from(text), text))
		return;
	buf_printf(&r->said, "%s%s", r->n_wrong++ ? ", " : "", text);
}

/* An amount of one resource: of a container, of all of a pod's, of a claim. Absent: no text. */
struct amounts {
	struct sv request, limit;
	bool claim; /* has no limits */
};

static void check_min(struct ranges *r, const char *type, struct sv key, struct sv bound, const struct amounts *am)
{
	if (!am->request.n)
		wrong(r, "minimum %.*s usage per %s is %.*s.  No request is specified", SV_ARG(key), type,
		      SV_ARG(bound));
	else if (quantity_cmp(am->request, bound) < 0)
		wrong(r, "minimum %.*s usage per %s is %.*s, but request is %.*s", SV_ARG(key), type, SV_ARG(bound),
		      SV_ARG(am->request));
	else if (am->limit.n && quantity_cmp(am->limit, bound) < 0)
		wrong(r, "minimum %.*s usage per %s is %.*s, but limit is %.*s", SV_ARG(key), type, SV_ARG(bound),
		      SV_ARG(am->limit));
}

static void check_max(struct ranges *r, const char *type, struct sv key, struct sv bound, const struct amounts *am)
{
	struct sv first = am->claim ? am->request : am->limit;

	if (!first.n)
		wrong(r, "maximum %.*s usage per %s is %.*s.  No %s is specified", SV_ARG(key), type, SV_ARG(bound),
		      am->claim ? "request" : "limit");
	else if (quantity_cmp(first, bound) > 0)
		wrong(r, "maximum %.*s usage per %s is %.*s, but %s is %.*s", SV_ARG(key), type, SV_ARG(bound),
		      am->claim ? "request" : "limit", SV_ARG(first));
	else if (am->request.n && quantity_cmp(am->request, bound) > 0)
		wrong(r, "maximum %.*s usage per %s is %.*s, but request is %.*s", SV_ARG(key), type, SV_ARG(bound),
		      SV_ARG(am->request));
}

static void check_ratio(struct ranges *r, const char *type, struct sv key, struct sv bound, const struct amounts *am)
{
	int64_t request = 0, limit = 0, most = 0;
	double ratio;

	(void)quantity_milli(am->request, &request);
	(void)quantity_milli(am->limit, &limit);
	(void)quantity_milli(bound, &most);
	if (!request || !limit) {
		const char *what = !request ? "request" : "limit";

		wrong(r, "%.*s max limit to request ratio per %s is %.*s, but no %s is specified or %s is 0",
		      SV_ARG(key), type, SV_ARG(bound), what, what);
		return;
	}
	ratio = (double)limit / (double)request;
	if (ratio * RATIO_MILLI > (double)most)
		wrong(r, "%.*s max limit to request ratio per %s is %.*s, but provided ratio is %f", SV_ARG(key), type,
		      SV_ARG(bound), ratio);
}

/* What has amounts: a container or a claim with its own, or a pod with what its containers have together. However many
 * resources either side names, each is looked up at one cost. */
struct subject {
	struct val_index request, limit;
	const struct strmap *totals; /* of a pod, else NULL */
	bool claim;
};

/* A pod's amounts of one resource. */
struct total {
	struct sv own;		  /* said of the pod as a whole */
	struct sv main, sidecars; /* of containers, of the sidecars so far */
	struct sv most;		  /* of an init container with the sidecars that run by then */
};

static struct sv more(struct arena *ar, struct sv x, struct sv y)
{
	return !x.n ? y : !y.n ? x : quantity_add(ar, x, y);
}

static struct total *total_of(struct ranges *r, struct strmap *m, struct sv key)
{
	void **slot = strmap_slot(m, key);

	if (!*slot)
		*slot = ARENA_NEW(r->ar, struct total);
	return *slot;
}

static void total_up(struct ranges *r, struct strmap *m, enum sym which)
{
	VAL_EACH_MEMBER(val_get(r->spec, F_resources, which), x)
		total_of(r, m, x.key)->own = val_str(x.value);
	VAL_EACH(val_get(r->spec, F_containers), c)
		VAL_EACH_MEMBER(val_get(c, F_resources, which), x) {
			struct total *t = total_of(r, m, x.key);

			t->main = more(r->ar, t->main, val_str(x.value));
		}
	VAL_EACH(val_get(r->spec, F_initContainers), c)
		VAL_EACH_MEMBER(val_get(c, F_resources, which), x) {
			struct total *t = total_of(r, m, x.key);
			struct sv sum = more(r->ar, t->sidecars, val_str(x.value));

			if (val_is(val_get(c, F_restartPolicy), "Always"))
				t->sidecars = sum;
			if (sum.n && (!t->most.n || quantity_cmp(sum, t->most) > 0))
				t->most = sum;
		}
}

/* What a pod has of a resource: said of it as a whole, or what its containers have together, or one of its init
 * containers with the sidecars that run by then, if that is more. */
static struct sv of_all(struct ranges *r, const struct strmap *totals, struct sv key)
{
	const struct total *t = strmap_get(totals, key);
	struct sv main;

	if (!t || t->own.n)
		return t ? t->own : SV_NULL;
	main = more(r->ar, t->main, t->sidecars);
	return !main.n || (t->most.n && quantity_cmp(t->most, main) > 0) ? t->most : main;
}

static struct amounts amounts_of(struct ranges *r, const struct subject *s, struct sv key)
{
	if (s->totals)
		return (struct amounts){ .request = of_all(r, &s->totals[0], key),
					 .limit = of_all(r, &s->totals[1], key) };
	return (struct amounts){ .request = val_str(val_index_get(&s->request, key)),
				 .limit = s->claim ? SV_NULL : val_str(val_index_get(&s->limit, key)),
				 .claim = s->claim };
}

static void check_subject(struct ranges *r, const struct val *item, const char *type, const struct subject *s)
{
	static const struct {
		enum sym list;
		void (*check)(struct ranges *r, const char *type, struct sv key, struct sv bound,
			      const struct amounts *am);
	} all[] = { { F_min, check_min }, { F_max, check_max }, { F_maxLimitRequestRatio, check_ratio } };

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct val *bounds = val_member(item, all[i].list);

		if (!budget_take(&r->pairs, val_len(bounds)))
			return;
		VAL_EACH_MEMBER(bounds, b) {
			struct amounts am = amounts_of(r, s, b.key);

			if (!am.claim || all[i].list != F_maxLimitRequestRatio)
				all[i].check(r, type, b.key, val_str(b.value), &am);
		}
	}
}

static void check_item(struct ranges *r, const struct val *item, const char *type, const struct val *of, bool claim)
{
	struct subject s = { .request = val_index_of(val_get(of, F_resources, F_requests)),
			     .limit = val_index_of(val_get(of, F_resources, F_limits)),
			     .claim = claim };

	check_subject(r, item, type, &s);
	val_index_release(&s.request);
	val_index_release(&s.limit);
}

/* --- LimitRanges --- */

static void check_pod(struct ranges *r, const struct val *item)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	const struct val *type = val_get(item, F_type);

	for (size_t k = 0; val_is(type, "Container") && k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(r->spec, lists[k]), c)
			check_item(r, item, "Container", c, false);
	if (!val_is(type, "Pod"))
		return;
	if (!r->totalled) {
		total_up(r, &r->totals[0], F_requests);
		total_up(r, &r->totals[1], F_limits);
		r->totalled = true;
	}
	check_subject(r, item, "Pod", &(struct subject){ .totals = r->totals });
}

static int validate_by(struct obj *o, void *ctx)
{
	struct ranges *r = ctx;

	VAL_EACH(obj_get(o, F_spec, F_limits), item) {
		if (r->a->res == RES(core_pods))
			check_pod(r, item);
		else if (val_is(val_get(item, F_type), "PersistentVolumeClaim"))
			check_item(r, item, "PersistentVolumeClaim", r->spec, true);
	}
	return r->n_wrong != 0 || budget_over(&r->pairs);
}

static int mutate_by(struct obj *o, void *ctx)
{
	struct ranges *r = ctx;
	buf_clear(&r->said);
	VAL_EACH(obj_get(o, F_spec, F_limits), item)
		if (val_is(val_get(item, F_type), "Container"))
			default_containers(r, item);
	if (!r->said.n || budget_over(&r->pairs))
		return budget_over(&r->pairs);
	annotation_set(r->ar, r->a->doc, ANNOTATION,
		       arena_svf(r->ar, "LimitRanger plugin set: %s", buf_cstr(&r->said)));
	return 0;
}

/* Containers are as they were created, but for pods/resize; claims may ask for more at any time. */
static bool is_limited(const struct admission *a)
{
	if (!a->doc || (a->old && val_get(a->old, F_metadata, F_deletionTimestamp)))
		return false;
	if (a->res == RES(core_pods))
		return a->op == ADMIT_CREATE ? !a->subresource.n : sv_is(a->subresource, "resize");
	return a->res == RES(core_persistentvolumeclaims) && !a->subresource.n &&
	       (a->op == ADMIT_CREATE || a->op == ADMIT_UPDATE);
}

static int limit_ranger_mutate(const struct admission *a, struct err *err)
{
	struct ranges r = {
		.a = a, .ar = a->q->arena, .said = BUF_INIT, .wrong = STRMAP_INIT, .pairs = BUDGET(pairs_limit)
	};
	int rc;

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	r.spec = val_get_mut(a->doc, F_spec);
	rc = registry_each(a->q->server, RES(core_limitranges), a->ns, mutate_by, &r, err);
	buf_release(&r.said);
	return rc == 0 && budget_over(&r.pairs) ? admission_forbid(a, err, "%s", pairs_limit.refusal) : rc;
}

static int validate(const struct admission *a, struct err *err)
{
	struct ranges r = {
		.a = a, .ar = a->q->arena, .said = BUF_INIT, .wrong = STRMAP_INIT, .pairs = BUDGET(pairs_limit)
	};
	int rc;

	if (!is_limited(a))
		return 0;
	r.spec = val_get_mut(a->doc, F_spec);
	rc = registry_each(a->q->server, RES(core_limitranges), a->ns, validate_by, &r, err);
	if (rc < 0)
		; /* one of those may forbid it */
	else if (budget_over(&r.pairs))
		rc = admission_forbid(a, err, "%s", pairs_limit.refusal);
	else if (r.n_wrong)
		rc = admission_forbid(a, err, "%s%s%s", r.n_wrong > 1 ? "[" : "", buf_cstr(&r.said),
				      r.n_wrong > 1 ? "]" : "");
	buf_release(&r.said);
	strmap_release(&r.wrong);
	strmap_release(&r.totals[0]);
	strmap_release(&r.totals[1]);
	return rc;
}

const struct admission_plugin admission_limit_ranger = {
	.name = "LimitRanger", .mutates = ON_CREATE, .mutate = limit_ranger_mutate, .validate = validate
};
