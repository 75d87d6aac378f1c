/* OwnerReferencesPermissionEnforcement: an owner decides when an object goes, so only who may delete the object names
 * other owners; a blocking one waits for the object, so only who may set its finalizers names one. */
#include "apiserver/admission/plugins.h"
#include "apiserver/authz.h"
#include "base/strmap.h"

#define OWNERS_MAX 1000 /* asked about for one object */

static const struct val *owners_of(const struct val *doc)
{
	return val_get(doc, F_metadata, F_ownerReferences);
}

static int owners_may(const struct admission *a, const struct authz_attrs *at, const char *what, struct err *err)
{
	struct sv reason = SV("");
	int rc = authz_ask(a->q, at, &reason, NULL);

	if (rc == 0 || rc == REQ_LATER)
		return rc;
	return admission_forbid(a, err, "%s: %.*s, <nil>", what, SV_ARG(reason));
}

static int owner_blocks(const struct admission *a, const struct val *ref, struct err *err)
{
	struct sv version = val_get_str(ref, F_apiVersion), kind = val_get_str(ref, F_kind);
	struct authz_attrs at = { .user = &a->q->user,
				  .verb = SV("update"),
				  .resource_request = true,
				  .subresource = SV("finalizers"),
				  .name = val_get_str(ref, F_name) };
	const struct resource *r = NULL;

	if (api_version_split(version, &at.group, &at.version))
		r = api_find_kind(a->q->api, at.group, at.version, kind);
	if (!r)
		return admission_forbid(
		    a, err,
		    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
		    "APIVersion %.*s Kind %.*s: no matches for kind \"%.*s\" in version \"%.*s\"",
		    SV_ARG(version), SV_ARG(kind), SV_ARG(kind), SV_ARG(version));
	at.resource = sv_from(r->plural);
	at.ns = r->namespaced ? a->ns : SV("");
	return owners_may(a, &at,
			  "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
			  "finalizers on",
			  err);
}

/* Those that block now, and did not before. */
static int owners_blocking(const struct admission *a, struct err *err)
{
	struct strmap before = STRMAP_INIT;
	size_t asked = 0;
	int rc = 0;

	VAL_EACH(owners_of(a->old), ref)
		if (val_get_bool(ref, F_blockOwnerDeletion))
			(void)strmap_set(&before, val_get_str(ref, F_uid), &before);
	VAL_EACH(owners_of(a->doc), ref) {
		if (rc || !val_get_bool(ref, F_blockOwnerDeletion) || strmap_has(&before, val_get_str(ref, F_uid)))
			continue;
		rc = ++asked > OWNERS_MAX ? admission_forbid(a, err, "more than %d owners that block", OWNERS_MAX)
					  : owner_blocks(a, ref, err);
	}
	strmap_release(&before);
	return rc;
}

static int owners_validate(const struct admission *a, struct err *err)
{
	const struct authz_attrs at = { .user = &a->q->user,
					.verb = SV("delete"),
					.resource_request = true,
					.group = sv_from(a->res->group),
					.version = sv_from(a->res->version),
					.resource = sv_from(a->res->plural),
					.subresource = a->subresource,
					.ns = a->ns,
					.name = a->name };
	int rc = 0;

	if ((a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE) || !a->doc)
		return 0;
	/* Its strategy keeps owners as they are. */
	if (a->res == RES(core_pods) && sv_is(a->subresource, "status"))
		return 0;
	if (val_same(owners_of(a->doc), owners_of(a->old)))
		return 0;
	/* Who makes an object gives it the owners that he likes. */
	if (a->op == ADMIT_UPDATE)
		rc = owners_may(a, &at, "cannot set an ownerRef on a resource you can't delete", err);
	return rc ? rc : owners_blocking(a, err);
}

const struct admission_plugin admission_owner_references = { .name = "OwnerReferencesPermissionEnforcement",
							     .validate = owners_validate };
