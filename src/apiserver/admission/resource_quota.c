/* See resource_quota.h. The order of the questions, and the words, are upstream's. */
#include "apiserver/admission/resource_quota.h"
#include "apiserver/admission/plugins.h"
#include "apiserver/admission/quota_limited.h"
#include "apiserver/admission/setup.h"
#include "apiserver/storekey.h"
#include "apiserver/watchcache.h"
#include "base/vec.h"
#include "codec/val_index.h"
#include "object/quantity.h"
#include "quota/quota.h"
#include "store/store.h"

/* A quota that is about the object. */
struct pertinent {
	struct obj *quota;
	struct quota_list names; /* of its status.hard: those that the object's kind has; amounts: the limits */
	struct quota_list used;	 /* of these */
	bool touched;		 /* its controller counts the kind for the first time: what comes must be seen */
};

struct quota_judge {
	const struct admission *ad;
	struct arena *a;
	struct sv count;
	VEC(struct obj *) quotas; /* all of the namespace; linked to the arena */
	VEC(struct pertinent) about;
	struct quota_list delta; /* what the write adds; nothing that is zero */
};

static void judge_release(struct quota_judge *j)
{
	for (size_t i = 0; i < j->about.n; i++) {
		quota_list_release(&j->about.p[i].names);
		quota_list_release(&j->about.p[i].used);
	}
	vec_release(&j->about);
	vec_release(&j->quotas);
	quota_list_release(&j->delta);
}

/* --- which writes --- */

/* A claim's status says what an expansion has taken, and which class it has. */
static bool claim_status_counts(const struct admission *a)
{
	const struct val *is = val_member(a->doc, F_status), *was = val_member(a->old, F_status);

	return !val_equal(val_get(is, F_allocatedResources), val_get(was, F_allocatedResources)) ||
	       !val_equal(val_get(is, F_currentVolumeAttributesClassName),
			  val_get(was, F_currentVolumeAttributesClassName)) ||
	       !val_equal(val_get(is, F_modifyVolumeStatus), val_get(was, F_modifyVolumeStatus));
}

static bool quota_counted(const struct admission *a)
{
	enum quota_kind kind = quota_kind_of(a->res);

	if (!a->doc || !a->ns.n || !a->res->namespaced)
		return false;
	if (a->op == ADMIT_CREATE)
		return a->subresource.n == 0;
	if (a->op != ADMIT_UPDATE || !a->old)
		return false;
	switch (kind) {
	case QUOTA_PODS: /* it may leave one scope for another */
		return sv_is(a->subresource, "resize") ||
		       (!a->subresource.n && quota_pod_terminating(a->doc) != quota_pod_terminating(a->old));
	case QUOTA_SERVICES:
		return a->subresource.n == 0;
	case QUOTA_CLAIMS:
		return a->subresource.n == 0 || (sv_is(a->subresource, "status") && claim_status_counts(a));
	case QUOTA_OBJECTS:
		break;
	}
	return false;
}

static int quota_any(struct obj *o, void *ctx)
{
	(void)o;
	*(bool *)ctx = true;
	return 1;
}

bool quota_concerns(const struct admission *a)
{
	bool any = false;

	if (quota_counted(a))
		wc_each(a->q->server->wc, RES(core_resourcequotas), a->ns, quota_any, &any);
	return any;
}

/* --- which quotas --- */

static int quota_collect(struct obj *o, void *ctx)
{
	struct quota_judge *j = ctx;

	vec_push(&j->quotas, obj_ref(o));
	return 0;
}

/* What the store said is newer than the cache stands in place of that. */
static void judge_quotas(struct quota_judge *j, struct obj *const *newer, size_t n)
{
	wc_each(j->ad->q->server->wc, RES(core_resourcequotas), j->ad->ns, quota_collect, j);
	for (size_t i = 0; i < j->quotas.n; i++) {
		struct obj *o = obj_link(j->a, j->quotas.p[i]);

		for (size_t k = 0; k < n; k++)
			if (sv_eq(obj_name(newer[k]), obj_name(o)) && obj_rev(newer[k]) > obj_rev(o))
				j->quotas.p[i] = o = newer[k];
	}
}

static int judge_quota(struct quota_judge *j, struct obj *quota, struct err *err)
{
	const struct admission *ad = j->ad;
	struct pertinent p = { .quota = quota };
	_cleanup_(val_index_release) struct val_index used = val_index_of(obj_get(quota, F_status, F_used));
	_cleanup_(buf_release) struct buf why = BUF_INIT;

	if (quota_has_scopes(obj_root(quota)) && !quota_scopes_met(obj_root(quota), ad->res, ad->doc))
		return 0;
	VAL_EACH_MEMBER(obj_get(quota, F_status, F_hard), m)
		if (quota_names(ad->res, j->count, m.key))
			quota_list_set(&p.names, m.key, val_str(m.value));
	VAL_EACH_MEMBER(obj_get(quota, F_spec, F_hard), m)
		p.touched |= quota_names(ad->res, j->count, m.key) && !quota_list_get(&p.names, m.key).p;
	if (!p.names.n && !p.touched)
		return 0;
	quota_list_sort(&p.names);
	vec_push(&j->about, p); /* released with the others from here on */
	if (quota_kind_of(ad->res) == QUOTA_PODS)
		quota_pod_missing(j->a, ad->doc, &p.names, &why);
	if (why.n)
		return admission_forbid(ad, err, "failed quota: %.*s: must specify %s", SV_ARG(obj_name(quota)),
					buf_cstr(&why));
	for (size_t i = 0; i < p.names.n; i++) {
		const struct val *is = val_index_get(&used, p.names.p[i].name);

		if (is)
			quota_list_set(&vec_last(&j->about).used, p.names.p[i].name, val_str(is));
		else
			buf_printf(&why, "%s%.*s", why.n ? "," : "", SV_ARG(p.names.p[i].name));
	}
	if (why.n)
		return admission_forbid(ad, err, "status unknown for quota: %.*s, resources: %s",
					SV_ARG(obj_name(quota)), buf_cstr(&why));
	return 0;
}

/* --- how much --- */

static int judge_delta(struct quota_judge *j, struct err *err)
{
	const struct admission *ad = j->ad;
	_cleanup_(quota_list_release) struct quota_list is = QUOTA_LIST_INIT, was = QUOTA_LIST_INIT;
	_cleanup_(buf_release) struct buf negative = BUF_INIT;
	int64_t now = env_now_ns(ad->q->server->env);

	quota_usage(j->a, ad->res, ad->doc, now, &is);
	quota_list_sort(&is);
	for (size_t i = 0; i < is.n; i++)
		if (quantity_sign(is.p[i].amount) < 0)
			buf_printf(&negative, "%s%.*s", negative.n ? "," : "", SV_ARG(is.p[i].name));
	if (negative.n)
		return admission_forbid(ad, err, "quota usage is negative for resource(s): %s", buf_cstr(&negative));
	if (ad->op == ADMIT_UPDATE)
		quota_usage(j->a, ad->res, ad->old, now, &was);
	for (size_t i = 0; i < was.n; i++) {
		struct sv to = quota_list_get(&is, was.p[i].name);

		quota_list_set(&is, was.p[i].name, quantity_sub(j->a, to.p ? to : SV("0"), was.p[i].amount));
	}
	for (size_t i = 0; i < is.n; i++)
		if (quantity_sign(is.p[i].amount))
			quota_list_set(&j->delta, is.p[i].name, is.p[i].amount);
	return 0;
}

/* What of the delta p limits must fit. */
static int judge_fit(struct quota_judge *j, const struct pertinent *p, struct err *err)
{
	_cleanup_(quota_list_release) struct quota_list asked = QUOTA_LIST_INIT, used = QUOTA_LIST_INIT,
							hard = QUOTA_LIST_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < p->names.n; i++) {
		struct sv name = p->names.p[i].name, more = quota_list_get(&j->delta, name),
			  had = quota_list_get(&p->used, name);

		/* Who gives something back may do so, however much is used. */
		if (!more.p || quantity_sign(more) < 0 ||
		    quantity_cmp(quota_sum(j->a, had, more), p->names.p[i].amount) <= 0)
			continue;
		quota_list_set(&asked, name, more);
		quota_list_set(&used, name, had);
		quota_list_set(&hard, name, p->names.p[i].amount);
	}
	if (!asked.n)
		return 0;
	buf_printf(&b, "exceeded quota: %.*s, requested: ", SV_ARG(obj_name(p->quota)));
	quota_list_text(&asked, &b);
	buf_adds(&b, ", used: ");
	quota_list_text(&used, &b);
	buf_adds(&b, ", limited: ");
	quota_list_text(&hard, &b);
	return admission_forbid(j->ad, err, "%s", buf_cstr(&b));
}

/* What may be used only where a quota covers it. */
static int judge_limited(struct quota_judge *j, struct err *err)
{
	_cleanup_(quota_list_release) struct quota_list covered = QUOTA_LIST_INIT;

	for (size_t i = 0; i < j->about.n; i++)
		for (size_t k = 0; k < j->about.p[i].names.n; k++)
			quota_list_set(&covered, j->about.p[i].names.p[k].name, SV("1"));
	return quota_limited_check(j->ad->q->server->admission->quota_limited, j->ad, &j->delta, &covered, j->quotas.p,
				   j->quotas.n, err);
}

static int quota_judge_all(struct quota_judge *j, struct obj *const *newer, size_t n, struct err *err)
{
	bool limited = quota_limited_has(j->ad->q->server->admission->quota_limited, j->ad->res);

	j->count = quota_count_name(j->a, j->ad->res);
	judge_quotas(j, newer, n);
	for (size_t i = 0; i < j->quotas.n; i++)
		if (judge_quota(j, j->quotas.p[i], err) < 0)
			return -1;
	if (!j->about.n && !limited)
		return 0;
	if (judge_delta(j, err) < 0)
		return -1;
	if (limited && j->delta.n && judge_limited(j, err) < 0)
		return -1;
	for (size_t i = 0; i < j->about.n; i++)
		if (judge_fit(j, &j->about.p[i], err) < 0)
			return -1;
	return 0;
}

/* --- what is written --- */

struct charge {
	const struct pertinent *p;
	struct val *doc, *used; /* NULL: nothing was charged */
};

static void charge_one(struct quota_judge *j, struct charge *c, struct sv name, struct sv had)
{
	struct sv more = quota_list_get(&j->delta, name);

	if (!more.p)
		return;
	if (!c->doc) {
		c->doc = obj_edit(j->a, c->p->quota);
		c->used = val_clone(j->a, val_get(c->doc, F_status, F_used));
	}
	val_set_str_sv(j->a, c->used, name, quota_sum(j->a, had, more));
}

/* Names that are not in force, but counted from here on: their controller has said so by an amount (quota_status.h). */
static void charge_opened(struct quota_judge *j, struct charge *c)
{
	_cleanup_(val_index_release) struct val_index used = val_index_of(obj_get(c->p->quota, F_status, F_used));

	VAL_EACH_MEMBER(obj_get(c->p->quota, F_spec, F_hard), m) {
		const struct val *had = val_index_get(&used, m.key);

		if (had && quota_names(j->ad->res, j->count, m.key) && !quota_list_get(&c->p->names, m.key).p)
			charge_one(j, c, m.key, val_str(had));
	}
}

/* p with the delta in its status; false: it changes nothing there. */
static bool charged(struct quota_judge *j, const struct pertinent *p, struct store_write *w)
{
	struct charge c = { .p = p };
	struct val *doc, *used;
	_cleanup_obj_ struct obj *built = NULL;

	for (size_t i = 0; i < p->names.n; i++)
		charge_one(j, &c, p->names.p[i].name, quota_list_get(&p->used, p->names.p[i].name));
	if (p->touched)
		charge_opened(j, &c);
	doc = c.doc;
	used = c.used;
	if (doc)
		val_set(j->a, val_ensure_map(j->a, doc, F_status), F_used, used);
	else if (p->touched && j->delta.n)
		doc = obj_edit(j->a, p->quota); /* as it is, at a new revision */
	else
		return false;
	built = obj_new(doc, obj_rev(p->quota) + 1);
	w->key = storekey(j->a, RES(core_resourcequotas), obj_ns(p->quota), obj_name(p->quota));
	w->value = obj_json_stored(j->a, built);
	w->expect_rev = obj_rev(p->quota);
	return true;
}

int quota_charge(const struct admission *a, struct obj *const *newer, size_t n, struct store_write **ret, size_t *ret_n,
		 struct err *err)
{
	_cleanup_(judge_release) struct quota_judge j = { .ad = a, .a = a->q->arena };

	*ret = NULL;
	*ret_n = 0;
	if (quota_judge_all(&j, newer, n, err) < 0)
		return -1;
	if (!j.about.n)
		return 0;
	*ret = ARENA_ARRAY(j.a, struct store_write, j.about.n);
	for (size_t i = 0; i < j.about.n; i++)
		*ret_n += charged(&j, &j.about.p[i], &(*ret)[*ret_n]);
	return 0;
}

static int resource_quota(const struct admission *a, struct err *err)
{
	_cleanup_(judge_release) struct quota_judge j = { .ad = a, .a = a->q->arena };

	if (!quota_counted(a))
		return 0;
	return quota_concerns(a) || quota_limited_has(a->q->server->admission->quota_limited, a->res)
		   ? quota_judge_all(&j, NULL, 0, err)
		   : 0;
}

const struct admission_plugin admission_resource_quota = { .name = "ResourceQuota",
							   .validate = resource_quota,
							   .slow = true };
