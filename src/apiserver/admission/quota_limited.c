#include "apiserver/admission/quota_limited.h"
#include "apiserver/admission/plugins.h"

#include <stdlib.h>

#define LIMITED_MAX 1000

struct quota_limited {
	const struct val *list; /* limitedResources */
};

struct quota_limited *quota_limited_new(const struct val *config, struct err *err)
{
	const struct val *list = val_member_sv(config, SV("limitedResources"));
	struct quota_limited *l;

	if (!val_is(val_get(config, F_kind), "ResourceQuotaConfiguration") &&
	    !(val_is(val_get(config, F_kind), "Configuration") &&
	      val_is(val_get(config, F_apiVersion), "resourcequota.admission.k8s.io/v1beta1")))
		return err_set(err, ERR_INVALID, "it is no ResourceQuotaConfiguration"), NULL;
	if (val_len(list) > LIMITED_MAX)
		return err_set(err, ERR_INVALID, "more than %d limitedResources", LIMITED_MAX), NULL;
	VAL_EACH(list, e)
		if (!val_str(val_member_sv(e, SV("resource"))).n)
			return err_set(err, ERR_INVALID, "an entry of limitedResources names no resource"), NULL;
	l = xcalloc(1, sizeof(*l));
	l->list = list;
	return l;
}

struct quota_limited *quota_limited_free(struct quota_limited *l)
{
	free(l);
	return NULL;
}

static bool limited_is(const struct val *entry, const struct resource *r)
{
	return val_is(val_member_sv(entry, SV("resource")), r->plural) &&
	       sv_is(val_str(val_member_sv(entry, SV("apiGroup"))), r->group);
}

bool quota_limited_has(const struct quota_limited *l, const struct resource *r)
{
	if (l)
		VAL_EACH(l->list, e)
			if (limited_is(e, r))
				return true;
	return false;
}

/* --- amounts --- */

static bool limited_name(const struct val *entry, struct sv name)
{
	VAL_EACH(val_member_sv(entry, SV("matchContains")), c)
		if (memmem(name.p, name.n, val_str(c).p, val_str(c).n))
			return true;
	return false;
}

/* --- scopes --- */

static bool limited_covered(struct sv scope, const struct admission *a, struct obj *const *quotas, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		VAL_EACH(obj_get(quotas[i], F_spec, F_scopeSelector, F_matchExpressions), e)
			if (sv_eq(val_get_str(e, F_scopeName), scope) && quota_scope_met(e, a->res, a->doc))
				return true;
		VAL_EACH(obj_get(quotas[i], F_spec, F_scopes), s) {
			struct val *e = val_new_map(a->q->arena);

			if (!sv_eq(val_str(s), scope))
				continue;
			val_set_str(a->q->arena, e, F_scopeName, scope);
			val_set_cstr(a->q->arena, e, F_operator, "Exists");
			if (quota_scope_met(e, a->res, a->doc))
				return true;
		}
	}
	return false;
}

static void limited_scope_text(const struct val *scope, struct buf *to)
{
	size_t i = 0;

	buf_printf(to, "%s{%.*s %.*s [", to->n ? " " : "", SV_ARG(val_get_str(scope, F_scopeName)),
		   SV_ARG(val_get_str(scope, F_operator)));
	VAL_EACH(val_get(scope, F_values), v)
		buf_printf(to, "%s%.*s", i++ ? " " : "", SV_ARG(val_str(v)));
	buf_adds(to, "]}");
}

int quota_limited_check(const struct quota_limited *l, const struct admission *a, const struct quota_list *uses,
			const struct quota_list *covered, struct obj *const *quotas, size_t n, struct err *err)
{
	_cleanup_(buf_release) struct buf names = BUF_INIT, scopes = BUF_INIT;

	for (size_t i = 0; i < uses->n; i++) {
		struct sv name = uses->p[i].name;
		bool limited = false;

		VAL_EACH(l->list, e)
			limited |= limited_is(e, a->res) && limited_name(e, name);
		if (limited && !quota_list_get(covered, name).p)
			buf_printf(&names, "%s%.*s", names.n ? "," : "", SV_ARG(name));
	}
	if (names.n)
		return admission_forbid(a, err, "insufficient quota to consume: %s", buf_cstr(&names));
	VAL_EACH(l->list, e) {
		if (!limited_is(e, a->res))
			continue;
		VAL_EACH(val_member_sv(e, SV("matchScopes")), s)
			if (quota_scope_met(s, a->res, a->doc) &&
			    !limited_covered(val_get_str(s, F_scopeName), a, quotas, n))
				limited_scope_text(s, &scopes);
	}
	if (scopes.n)
		return admission_forbid(a, err, "insufficient quota to match these scopes: [%s]", buf_cstr(&scopes));
	return 0;
}
