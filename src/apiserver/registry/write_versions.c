/* A write to a resource in several versions: all of it happens in the version of the request, between a conversion of
 * what is there and one to what is stored.
 *
 *	cache ─▶ version of the request ─▶ change, admission, rules ─▶ storage version ─▶ store
 *	                    ▲                                                 │
 *	                    └── what is answered, before it is committed ◀────┘
 *
 * It is converted back before the commit: what nobody could read again in the version it came in is refused while it
 * can be, and the answer is what is stored, not what was sent. */
#include "apiserver/encryption/encryption.h"
#include "apiserver/registry/registry.h"
#include "apiserver/storekey.h"
#include "apiserver/versions.h"
#include "object/structural.h"

struct write_versions {
	struct write_op *op;
	struct obj *seen; /* owned */
	struct views views;
	bool looking, stale;
	/* To what is stored and back. */
	struct conversion to, back;
	const struct val *sent, *kept;
	struct val *stored, *shown;
	/* As the versions of the field managers have it, in the order in which they were asked for: asked again for the
	 * same write, they are the same. */
	struct apply_versions owners;
	struct conversion as;
	const struct val *as_doc;
	struct val *as_out;
	const struct val **had;
	size_t n_had, room, next;
	bool converting, waits;
};

static void write_versions_drop(void *p)
{
	struct write_versions *w = p;

	views_release(&w->views);
	obj_unref(w->seen);
}

void write_versions_new(struct write_op *op)
{
	op->versions = ARENA_NEW(op->a, struct write_versions);
	op->versions->op = op;
	arena_defer(op->a, write_versions_drop, op->versions);
}

int write_versions_old(struct write_op *op, struct err *err)
{
	struct write_versions *w = op->versions;
	int rc = 0;

	if (!w->looking) {
		w->looking = true;
		w->stale = version_is_stale(op->res, op->old);
		w->seen = obj_ref(op->old);
		views_init(&w->views, op->q, op->res, &w->seen, 1);
	}
	if (views_needed(op->res))
		rc = views_make(&w->views, err);
	if (rc == 0)
		op->old = obj_link(op->a, obj_ref(w->seen));
	return rc;
}

bool write_versions_stale(const struct write_op *op)
{
	struct encryption *e = op->q->server->o.encryption;

	return (op->versions && op->versions->stale) ||
	       (e && encryption_stale(e, storekey(op->a, op->res, op->ns, op->name)));
}

static void conversion_of(struct conversion *c, struct write_op *op, const struct resource *from,
			  const struct resource *to, const struct val *const *doc, struct val **out)
{
	*c = (struct conversion){ .q = op->q,
				  .a = op->a,
				  .of = versions_of(op->res),
				  .from = from,
				  .to = to,
				  .docs = doc,
				  .n = 1,
				  .out = out };
}

int write_versions_stored(struct write_op *op, struct err *err)
{
	struct write_versions *w = op->versions;
	const struct resource *storage = versions_of(op->res)->storage;
	int rc;

	if (op->res == storage)
		return 0;
	if (!w->to.n) {
		w->sent = op->doc;
		conversion_of(&w->to, op, op->res, storage, &w->sent, &w->stored);
	}
	if (!w->back.n) {
		rc = conversion_run(&w->to, err);
		if (rc)
			return rc;
		/* What comes out of the store has the defaults of its version; they are part of the answer. */
		if (storage->schema->custom && structural_default(storage->schema->custom, op->a, w->stored, err) < 0)
			return -1;
		w->kept = w->stored;
		conversion_of(&w->back, op, storage, op->res, &w->kept, &w->shown);
	}
	rc = conversion_run(&w->back, err);
	if (rc)
		return rc;
	op->stored = w->stored;
	op->doc = w->shown;
	return 0;
}

/* --- field ownership --- */

static void owners_keep(struct write_versions *w, const struct val *doc)
{
	if (w->n_had == w->room) {
		const struct val **more = ARENA_ARRAY(w->op->a, const struct val *, w->room * 2 + 8);

		if (w->n_had)
			memcpy(more, w->had, w->n_had * sizeof(*more));
		w->had = more;
		w->room = w->room * 2 + 8;
	}
	w->had[w->n_had++] = doc;
}

static int owners_as(void *ctx, const struct val *doc, struct sv api_version, struct apply_version *ret,
		     struct err *err)
{
	struct write_versions *w = ctx;
	const struct versions *of = versions_of(w->op->res);
	const struct resource *from = versions_form(of, doc), *to = versions_named(of, api_version);
	int rc;

	if (!to)
		return APPLY_NO_VERSION;
	*ret = (struct apply_version){ .schema = to->schema, .doc = doc, .reset_fields = kept_fields(to, w->op->sub) };
	if (from == to || !val_len(doc))
		return 0;
	if (w->next == w->n_had) {
		if (!w->converting) {
			w->as_doc = doc;
			conversion_of(&w->as, w->op, from ? from : w->op->res, to, &w->as_doc, &w->as_out);
		}
		rc = conversion_run(&w->as, err);
		w->converting = w->waits = rc == REQ_LATER;
		if (rc)
			return rc;
		owners_keep(w, w->as_out);
	}
	ret->doc = w->had[w->next++];
	return 0;
}

const struct apply_versions *write_versions_owners(struct write_op *op)
{
	struct write_versions *w = op->versions;

	w->next = 0;
	w->waits = false;
	w->owners = (struct apply_versions){ .as = owners_as, .ctx = w };
	return &w->owners;
}

bool write_versions_waits(const struct write_op *op)
{
	return op->versions && op->versions->waits;
}
