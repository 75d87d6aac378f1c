/* Who may hand parameters to an admission policy: its expressions read them, and its messages say what they read.
 *
 * Who writes a policy must be able to read every object of its paramKind; who writes a binding, what its paramRef
 * names: get of one object, list of what a selector finds, in all namespaces when it names none. The kind is the
 * policy's. Where that is not known yet, whoever writes the policy later decides what the binding reads: so all kinds
 * are asked for.
 *
 * system:masters are asked as everybody is, and may all. */
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "base/buf.h"

#include <stdlib.h>

#define EVERY SV("*")

/* --- words --- */

static int rights_by_key(const void *x, const void *y)
{
	return sv_cmp((*(const struct extra_info *const *)x)->key, (*(const struct extra_info *const *)y)->key);
}

static void rights_list(struct buf *b, const struct sv *list, size_t n)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%.*s", i ? " " : "", SV_ARG(list[i]));
	buf_addc(b, ']');
}

/* A user as upstream's sentences about this have him: &{NAME UID [GROUPS] map[EXTRA]}. */
static struct sv rights_user(struct arena *a, const struct user_info *u)
{
	const struct extra_info **extra = ARENA_ARRAY(a, const struct extra_info *, u->n_extra + 1);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < u->n_extra; i++)
		extra[i] = &u->extra[i];
	if (u->n_extra)
		qsort(extra, u->n_extra, sizeof(struct extra_info *), rights_by_key);
	buf_printf(&b, "&{%.*s %.*s ", SV_ARG(u->name), SV_ARG(u->uid));
	rights_list(&b, u->groups, u->n_groups);
	buf_adds(&b, " map[");
	for (size_t i = 0; i < u->n_extra; i++) {
		buf_printf(&b, "%s%.*s:", i ? " " : "", SV_ARG(extra[i]->key));
		rights_list(&b, extra[i]->values, extra[i]->n_values);
	}
	buf_adds(&b, "]}");
	return arena_sv(a, buf_sv(&b));
}

static int rights_forbid(struct api_req *q, const struct val *doc, enum sym member, const char *why, struct err *err)
{
	struct fpath spec = FPATH_ROOT(F_spec), at = FPATH(&spec, member);
	struct field_errs fe;

	field_errs_init(&fe, q->arena);
	fe_forbidden(&fe, &at, why);
	return field_errs_to_err(&fe, q->res, val_get_str(doc, F_metadata, F_name), err);
}

/* --- questions --- */

/* What at asks about, of a paramKind; false: no resource of that kind is there, and every one of its group is meant.
 * What policies read later is found in the same way (admission/policy/policy_params.c). */
static bool rights_of_kind(struct api_req *q, const struct val *kind, struct authz_attrs *at)
{
	const struct resource *r;

	if (!api_version_split(val_get_str(kind, F_apiVersion), &at->group, &at->version)) {
		at->group = at->version = EVERY;
		return false;
	}
	r = api_find_kind(q->api, at->group, at->version, val_get_str(kind, F_kind));
	if (r)
		at->resource = sv_from(r->plural);
	return r != NULL;
}

static struct authz_attrs rights_attrs(const struct api_req *q)
{
	return (struct authz_attrs){
		.user = &q->user,
		.verb = SV("get"),
		.resource_request = true,
		.group = EVERY,
		.version = EVERY,
		.resource = EVERY,
	};
}

int policy_rights_kind(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	const struct val *kind = val_get(doc, F_spec, F_paramKind), *was = val_get(old, F_spec, F_paramKind);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct authz_attrs at = rights_attrs(q);
	struct sv reason;
	int rc;

	if (val_type(kind) != VAL_MAP || (was && val_same(was, kind)))
		return 0;
	(void)rights_of_kind(q, kind, &at);
	at.ns = at.name = EVERY;
	rc = authz_ask(q, &at, &reason, &why);
	if (rc == 0 || rc == REQ_LATER)
		return rc;
	return rights_forbid(q, doc, F_paramKind,
			     rc < 0 ? err_msg(&why)
				    : arena_printf(q->arena,
						   "user %.*s must have \"get\" permission on all objects of the "
						   "referenced paramKind (kind=%.*s, apiVersion=%.*s)",
						   SV_ARG(rights_user(q->arena, &q->user)),
						   SV_ARG(val_get_str(kind, F_kind)),
						   SV_ARG(val_get_str(kind, F_apiVersion))),
			     err);
}

/* Why not, of a binding: its policy is there or not, has a paramKind or not (NULL), of a known resource or not. */
static const char *rights_lacking(struct api_req *q, struct sv name, const struct val *kind, bool there, bool known,
				  struct sv verb)
{
	struct sv user = rights_user(q->arena, &q->user), what = SV("");

	if (!there)
		what = arena_svf(q->arena, "get policy %.*s", SV_ARG(name));
	else if (kind && !known)
		what = arena_svf(q->arena, "resolve paramKind &{%.*s %.*s}", SV_ARG(val_get_str(kind, F_apiVersion)),
				 SV_ARG(val_get_str(kind, F_kind)));
	if (what.n)
		return arena_printf(q->arena,
				    "unable to %.*s to determine minimum required permissions and user %.*s does not "
				    "have \"%.*s\" permission for all groups, versions and resources",
				    SV_ARG(what), SV_ARG(user), SV_ARG(verb));
	return arena_printf(q->arena,
			    "user %.*s does not have \"%.*s\" permission on the object referenced by paramRef",
			    SV_ARG(user), SV_ARG(verb));
}

static int rights_ref(struct api_req *q, const struct resource *policies, const struct val *old, const struct val *doc,
		      struct err *err)
{
	const struct val *spec = val_get(doc, F_spec), *ref = val_get(spec, F_paramRef),
			 *was = val_get(old, F_spec, F_paramRef), *kind;
	struct sv policy = val_get_str(spec, F_policyName), reason;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct authz_attrs at = rights_attrs(q);
	struct obj *p;
	bool known;
	int rc;

	if (val_type(ref) != VAL_MAP ||
	    (was && val_same(was, ref) && sv_eq(val_get_str(old, F_spec, F_policyName), policy)))
		return 0;
	p = registry_peek(q, policies, SV(""), policy);
	kind = p ? obj_get(p, F_spec, F_paramKind) : NULL;
	if (val_type(kind) != VAL_MAP)
		kind = NULL;
	known = kind && rights_of_kind(q, kind, &at);
	at.name = val_get_str(ref, F_name);
	at.ns = val_get_str(ref, F_namespace);
	if (!at.name.n)
		at.verb = SV("list");
	rc = authz_ask(q, &at, &reason, &why);
	if (rc == 0 || rc == REQ_LATER)
		return rc;
	return rights_forbid(q, doc, F_paramRef,
			     rc < 0 ? arena_printf(q->arena, "failed to authorize request: %s", err_msg(&why))
				    : rights_lacking(q, policy, kind, p != NULL, known, at.verb),
			     err);
}

int policy_rights_validating_ref(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	return rights_ref(q, RES(admissionregistration_validatingadmissionpolicies), old, doc, err);
}

int policy_rights_mutating_ref(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	return rights_ref(q, RES(admissionregistration_mutatingadmissionpolicies), old, doc, err);
}
