/* Who may write what into the status of a ResourceClaim, beyond the right to the status (KEP-5779): two subresources
 * that nobody asks for stand for its parts.
 *
 * Who changes allocation or reservedFor needs the verb on resourceclaims/binding, in all of the cluster. Who changes
 * devices needs arbitrary-node:VERB on resourceclaims/driver for each driver whose entries change, by its name; a
 * service account's token of the node that the claim is allocated on may have associated-node:VERB instead. */
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "object/feature.h"

#include <stdlib.h>

#define NODE_NAME_EXTRA "authentication.kubernetes.io/node-name"

static int status_may(struct api_req *q, struct sv verb, const char *sub, struct sv ns, struct sv name, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = verb,
		.resource_request = true,
		.group = sv_from(q->res->group),
		.version = sv_from(q->res->version),
		.resource = sv_from(q->res->plural),
		.subresource = sv_from(sub),
		.ns = ns,
		.name = name,
	};

	return authz_require(q, &at, err);
}

/* The node of an allocation that is on one, as allocations say it; "": it is on several. */
static struct sv status_node(const struct val *status)
{
	const struct val *terms = val_get(status, F_allocation, F_nodeSelector, F_nodeSelectorTerms);
	const struct val *term = val_at(terms, 0), *field = val_at(val_get(term, F_matchFields), 0);

	if (val_len(terms) != 1 || val_len(val_get(term, F_matchExpressions)) ||
	    val_len(val_get(term, F_matchFields)) != 1 || !val_is(val_get(field, F_key), "metadata.name") ||
	    !val_is(val_get(field, F_operator), "In") || val_len(val_get(field, F_values)) != 1)
		return SV("");
	return val_str(val_at(val_get(field, F_values), 0));
}

/* He is a service account whose token is of that node. */
static bool status_is_beside(const struct user_info *u, struct sv node)
{
	if (!node.n || !sv_starts(u->name, SV("system:serviceaccount:")))
		return false;
	for (size_t i = 0; i < u->n_extra; i++)
		if (sv_is(u->extra[i].key, NODE_NAME_EXTRA))
			return u->extra[i].n_values == 1 && sv_eq(u->extra[i].values[0], node);
	return false;
}

static struct sv status_key(struct arena *a, const struct val *device)
{
	return arena_svf(a, "%.*s/%.*s/%.*s/%.*s", SV_ARG(val_get_str(device, F_driver)),
			 SV_ARG(val_get_str(device, F_pool)), SV_ARG(val_get_str(device, F_device)),
			 SV_ARG(val_get_str(device, F_shareID)));
}

/* The drivers of entries of one that the other has not, or has otherwise, go into the set. */
static void status_differing(struct arena *a, const struct val *one, const struct val *other, struct strmap *drivers)
{
	_cleanup_(strmap_release) struct strmap have = STRMAP_INIT;

	VAL_EACH(other, d)
		strmap_set(&have, status_key(a, d), (void *)(uintptr_t)d);
	VAL_EACH(one, d) {
		const struct val *same = strmap_get(&have, status_key(a, d));

		if (!same || !val_same(same, d))
			strmap_set(drivers, val_get_str(d, F_driver), drivers);
	}
}

static int status_by_name(const void *x, const void *y)
{
	return sv_cmp(*(const struct sv *)x, *(const struct sv *)y);
}

/* What he lacks for entries of that driver, into fe. */
static int status_driver(struct api_req *q, struct sv driver, bool beside, struct field_errs *fe)
{
	struct fpath status = FPATH_ROOT(F_status), at = FPATH(&status, F_devices);
	struct sv verb = request_verb(q), arbitrary = arena_svf(q->arena, "arbitrary-node:%.*s", SV_ARG(verb)),
		  associated = arena_svf(q->arena, "associated-node:%.*s", SV_ARG(verb));
	_cleanup_(err_release) struct err why = ERR_INIT, more = ERR_INIT;
	int rc = beside ? status_may(q, associated, "driver", q->ns, driver, &why) : -1;

	if (rc >= 0)
		return rc;
	rc = status_may(q, arbitrary, "driver", q->ns, driver, beside ? &more : &why);
	if (rc >= 0)
		return rc;
	fe_forbidden(fe, &at,
		     arena_printf(q->arena,
				  "changing status.devices requires resource=\"resourceclaims/driver\", "
				  "verb=\"[%.*s%s%.*s]\" permission: %s",
				  SV_ARG(beside ? associated : SV("")), beside ? " " : "", SV_ARG(arbitrary),
				  err_msg(&why)));
	return 0;
}

static int status_binding(struct api_req *q, struct field_errs *fe)
{
	struct fpath at = FPATH_ROOT(F_status);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv verb = request_verb(q);
	int rc = status_may(q, verb, "binding", SV(""), SV(""), &why);

	if (rc >= 0)
		return rc;
	fe_forbidden(fe, &at,
		     arena_printf(q->arena,
				  "changing status.allocation or status.reservedFor requires "
				  "resource=\"resourceclaims/binding\", verb=\"%.*s\" permission: %s",
				  SV_ARG(verb), err_msg(&why)));
	return 0;
}

int device_status_permit(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	const struct val *was = val_get(old, F_status), *now = val_get(doc, F_status);
	_cleanup_(strmap_release) struct strmap drivers = STRMAP_INIT;
	struct field_errs fe;
	struct sv *names;
	size_t n = 0;
	int rc = 0;

	if (!feature_on(FG_DRAResourceClaimGranularStatusAuthorization))
		return 0;
	field_errs_init(&fe, q->arena);
	if (!val_same(val_get(was, F_allocation), val_get(now, F_allocation)) ||
	    !val_same(val_get(was, F_reservedFor), val_get(now, F_reservedFor)))
		rc = status_binding(q, &fe);
	status_differing(q->arena, val_get(now, F_devices), val_get(was, F_devices), &drivers);
	status_differing(q->arena, val_get(was, F_devices), val_get(now, F_devices), &drivers);
	names = ARENA_ARRAY(q->arena, struct sv, drivers.n + 1);
	STRMAP_EACH(&drivers, e)
		names[n++] = sv_make(e->key, e->key_n);
	if (n)
		qsort(names, n, sizeof(*names), status_by_name);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = status_driver(q, names[i], status_is_beside(&q->user, status_node(now)), &fe);
	if (rc)
		return rc;
	return field_errs_to_err(&fe, q->res, val_get_str(doc, F_metadata, F_name), err);
}
