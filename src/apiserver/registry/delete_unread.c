/* DELETE of what is set aside (set_aside.h): it goes, whatever it is.
 *
 * Nobody looks at it, so there are no finalizers, no grace and no dependents to think of, and no watcher hears of it:
 * none ever heard that it was there. What cannot be read goes only with
 * ignoreStoreReadErrorWithClusterBreakingPotential, and for that it takes a verb of its own besides "delete"
 * (KEP-3926): another version may be able to read it. */
#include "apiserver/authz.h"
#include "apiserver/registry/registry.h"
#include "apiserver/storekey.h"

#define UNSAFE_VERB "unsafe-delete-ignore-read-errors"

struct unread {
	struct write_op *op;
	bool permitted;
};

static int unread_authorize(struct api_req *q, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = SV(UNSAFE_VERB),
		.resource_request = true,
		.group = q->group,
		.version = q->version,
		.resource = q->plural,
		.ns = q->ns,
		.name = q->name,
	};
	struct sv reason = SV("");
	char qualified[256];
	int rc = authz_ask(q, &at, &reason, err);

	if (rc != 1)
		return rc;
	err_set(err, ERR_FORBIDDEN, "%s \"%.*s\" is forbidden: not permitted to do \"" UNSAFE_VERB "\", reason: %.*s",
		resource_qualified(q->res, qualified, sizeof(qualified)), SV_ARG(q->name), SV_ARG(reason));
	return err_set_object(err, q->group, q->plural, q->name);
}

/* It is there and can be read, or it is not there. */
static int unread_needless(struct api_req *q, struct err *err)
{
	static const char field[] = "ignoreStoreReadErrorWithClusterBreakingPotential",
			  text[] = "Invalid value: true: is exclusively used to delete corrupt object(s), try again by "
				   "removing this option";
	char qualified[256];

	if (!registry_peek(q, q->res, q->ns, q->name))
		return err_not_found(err, q->res, q->name);
	err_set(err, ERR_INVALID, "%s \"%.*s\" is invalid: %s: %s",
		resource_qualified(q->res, qualified, sizeof(qualified)), SV_ARG(q->name), field, text);
	err_add_cause(err, "FieldValueInvalid", sv_from(field), "%s", text);
	return err_set_object(err, q->group, q->plural, q->name);
}

static int unread_conclude(struct write_op *op, struct err *err)
{
	struct commit *c = op->commit;

	if (commit_said(c, err) < 0)
		return -1;
	if (c->said.outcome == STORE_FAILED)
		return err_move(err, &c->said.err);
	if (c->said.outcome == STORE_MISMATCH)
		return c->said.there ? err_modified(err, op->res, op->name) : err_not_found(err, op->res, op->name);
	req_passed(op->q, STEP_COMMITTED);
	answer_doc(op->q, 200, status_success(op->a, op->res, op->name, SV("")));
	return 0;
}

static void unread_answer(struct api_req *q, void *ctx)
{
	struct unread *u = ctx;
	struct err err = ERR_INIT;

	(void)q;
	if (unread_conclude(u->op, &err) < 0)
		write_fail(u->op, &err);
}

static int unread_commit(struct api_req *q, void *ctx, struct err *err)
{
	struct unread *u = ctx;
	struct apiserver *s = q->server;
	const struct delete_options *o = u->op->del;
	struct store_write w;
	int rc = 0;

	if (o->unsafe && !u->permitted)
		rc = unread_authorize(q, err);
	if (rc)
		return rc;
	if (!u->permitted)
		q->has_result = false;
	u->permitted = true;
	rc = write_admit(u->op, false, ADMIT_DELETE, err);
	if (rc)
		return rc;
	w = (struct store_write){
		.key = storekey(q->arena, q->res, u->op->ns, q->name),
		.expect_rev = set_aside_rev(s, q->res, u->op->ns, q->name),
		.tombstone = true,
	};
	/* Who insists on what nobody knows is not obeyed. */
	if (o->uid.n || o->rev.n || q->dry_run)
		return set_aside_error(s, q->res, u->op->ns, q->name, err);
	if (!w.expect_rev)
		return unread_needless(q, err);
	u->op->commit = commit_new(q, resource_storage(q->res));
	commit_go(u->op->commit, &w, unread_answer, u);
	return 0;
}

void delete_unread(struct api_req *q, const struct delete_options *o)
{
	struct unread *u = ARENA_NEW(q->arena, struct unread);

	u->op = write_op_new(q, q->res, q->ns, q->name);
	u->op->del = o;
	req_ask(q, unread_commit, u);
}
