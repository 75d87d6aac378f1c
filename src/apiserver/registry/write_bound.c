/* What an object that is made needs there: its namespace, and the definition of its kind; and what whatever a leader
 * writes needs: that no other one has followed it (fence.h).
 *
 * Between the door, where both were seen, and the commit lies all of admission: webhooks take their seconds, and
 * meanwhile a namespace that is empty goes, or a definition without objects. What is committed behind that would be
 * found by nobody, and by whoever makes a namespace or a definition of that name. So both are looked up once more, in
 * memory, and their revisions go with the write as guards (store_write.guard): it is made while they are as they were
 * seen, or not at all. Whoever sees one of them going then sees all that was ever made under it. */
#include "apiserver/late_kind.h"
#include "apiserver/registry/registry.h"
#include "apiserver/storekey.h"

int write_open(const struct resource *r, struct err *err)
{
	const struct late_kind *late = late_kind_of(r);

	if (!late || !atomic_load(&late->terminating))
		return 0;
	return err_set(err, ERR_METHOD_NOT_ALLOWED,
		       "create not allowed while custom resource definition is terminating");
}

static void bound_add(struct write_op *op, const struct resource *r, const struct obj *o)
{
	op->bounds[op->n_bounds++] = (struct store_write){ .key = storekey(op->a, r, SV(""), obj_name(o)),
							   .expect_rev = obj_rev(o),
							   .guard = true };
}

static int bound_namespace(struct write_op *op, struct err *err)
{
	struct admission ad = {
		.q = op->q, .op = ADMIT_CREATE, .res = op->res, .ns = op->ns, .name = op->name, .doc = op->doc
	};
	struct obj *ns = NULL;

	if (!op->res->namespaced || !admission_asks_namespace(&ad))
		return 0;
	if (admission_namespace(&ad, &ns, err) < 0)
		return -1;
	bound_add(op, RES(core_namespaces), ns);
	return 0;
}

static int bound_definition(struct write_op *op, struct err *err)
{
	const struct resource *crds = RES(apiextensions_customresourcedefinitions);
	const struct late_kind *late = late_kind_of(op->res);
	struct obj *crd;

	if (!late || !late->definition.n)
		return 0;
	if (write_open(op->res, err) < 0)
		return -1;
	crd = registry_peek(op->q, crds, SV(""), late->definition);
	if (!crd || !sv_eq(obj_uid(crd), late->definition_uid))
		return err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
	bound_add(op, crds, crd);
	return 0;
}

int write_bound(struct write_op *op, struct err *err)
{
	op->n_bounds = 0;
	if (op->q->fence_rev)
		op->bounds[op->n_bounds++] =
		    (struct store_write){ .key = op->q->fence_key, .expect_rev = op->q->fence_rev, .guard = true };
	if (!op->creating || op->raw || op->tombstone)
		return 0;
	return bound_namespace(op, err) < 0 ? -1 : bound_definition(op, err);
}
