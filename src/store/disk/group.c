/* What is decided about a group of records before anything of it is written: each write against the group so far, the
 * overlay and the tables; those of several records as one. */
#include "store/disk/group.h"

#include <stdlib.h>

static void ver_of_rec(const struct rec *r, bool in_group, struct ver *ret)
{
	*ret = (struct ver){ (int64_t)r->head.rev, (int64_t)r->head.create_rev,
			     r->head.create_rev ? rec_disk_bytes(r) : 0, r, in_group };
}

static int ver_find(struct snap *sn, const struct recmap *group, const struct rec *of, struct ver *ret, struct err *err)
{
	struct sv key = rec_key(of);
	const struct rec *r = recmap_get(group, key, of->key_hash);
	struct wal_record h;
	struct sv k, v;
	int got;

	*ret = (struct ver){ 0 };
	if (r) {
		ver_of_rec(r, true, ret);
		return 0;
	}
	for (int i = 0; i < sn->n; i++) {
		r = recmap_get(&sn->gens[i]->keys, key, of->key_hash);
		if (r) {
			ver_of_rec(r, false, ret);
			return 0;
		}
	}
	got = db_find(sn->set, key, UINT64_MAX, &sn->look, &h, &k, &v, err);
	if (got > 0)
		*ret = (struct ver){ .mod_rev = (int64_t)h.rev,
				     .create_rev = (int64_t)h.create_rev,
				     .bytes = h.create_rev ? wal_record_bytes(&h) : 0 };
	return got < 0 ? -1 : 0;
}

int ver_at_rev(const struct snap *sn, const struct overlay *o, struct sv key, int64_t rev, struct table_hold *hold,
	       struct store_kv *ret, struct err *err)
{
	const struct rec *r = overlay_rev(o, rev);
	struct wal_record h;
	int got;

	if (r) {
		*ret = rec_kv(r);
		return !ret->deleted;
	}
	*ret = (struct store_kv){ .deleted = false };
	/* By its revision first: by its key it stands behind all newer versions, and each block of them would be read.
	 */
	got = db_find_rev(sn->set, (uint64_t)rev, hold, &h, &ret->key, &ret->value, NULL);
	if (got <= 0)
		got = db_find(sn->set, key, (uint64_t)rev, hold, &h, &ret->key, &ret->value, err);
	if (got <= 0 || h.rev != (uint64_t)rev)
		return MIN(got, 0);
	ret->create_rev = (int64_t)h.create_rev;
	ret->mod_rev = rev;
	ret->deleted = h.flags & WAL_TOMBSTONE;
	return !ret->deleted;
}

const struct store_kv *ver_kv(struct snap *sn, struct sv key, const struct ver *v, struct store_kv *buf)
{
	struct overlay o;

	if (!v->create_rev)
		return NULL;
	if (v->rec) {
		*buf = rec_kv(v->rec);
		return buf;
	}
	o = overlay_of(sn);
	return ver_at_rev(sn, &o, key, v->mod_rev, &sn->prev, buf, NULL) > 0 ? buf : NULL;
}

/* On a full disk: a step towards a deletion may make its value somewhat longer, and all of them together, or whoever
 * has many objects that are being deleted could write until not even a deletion fits. */
static bool group_takes_step(const struct snap *sn, const struct group *g, const struct rec *r, const struct ver *was)
{
	size_t bytes = rec_disk_bytes(r);

	return r->for_deletion && was->create_rev &&
	       (bytes <= was->bytes ||
		(bytes <= was->bytes + DELETION_GROWTH && g->live_bytes + (bytes - was->bytes) <= sn->growth_upto));
}

/* The same of a guard. Many writes of a group go by the same few (a namespace, a definition), which are rarely written
 * between them, and lie in tables since long: each look would read a block. */
static int guard_find(struct snap *sn, struct group *g, const struct rec *r, struct ver *ret, struct err *err)
{
	struct sv key = rec_key(r);

	for (size_t i = 0; i < MIN(g->n_guards, (size_t)GROUP_GUARDS); i++) {
		const struct group_guard *had = &g->guards[i];

		if (had->r->key_hash == r->key_hash && sv_eq(rec_key(had->r), key) &&
		    !recmap_get(&g->keys, key, r->key_hash)) {
			*ret = had->ver;
			return 0;
		}
	}
	if (ver_find(sn, &g->keys, r, ret, err) < 0)
		return -1;
	if (!ret->in_group)
		g->guards[g->n_guards++ % GROUP_GUARDS] = (struct group_guard){ r, *ret };
	return 0;
}

/* May e's record be written? A failure has its reason in rec->why. */
static void group_judge(struct snap *sn, struct group *g, struct group_entry *e)
{
	struct rec *r = e->rec;
	bool tombstone = r->head.flags & WAL_TOMBSTONE;
	struct err why = ERR_INIT;

	e->outcome = STORE_FAILED;
	if (r->why)
		return;
	if ((r->guard ? guard_find(sn, g, r, &e->before, &why) : ver_find(sn, &g->keys, r, &e->before, &why)) < 0) {
		r->why = xmemdup(&why, sizeof(why));
		return;
	}
	if (r->guard || !store_write_applies(r->expect_rev, tombstone, e->before.create_rev ? e->before.mod_rev : 0)) {
		e->outcome = STORE_MISMATCH;
		return;
	}
	if (sn->full && !tombstone && !group_takes_step(sn, g, r, &e->before)) {
		r->why = xcalloc(1, sizeof(*r->why));
		err_set(r->why, ERR_UNAVAILABLE,
			"no space left on device: only deletions are accepted until there is room "
			"for data again");
		r->why->retry_after_s = RETRY_AFTER_S;
		g->refused = true;
		return;
	}
	e->outcome = STORE_OK;
}

/* e's record is the next one of the group. */
static void group_add(struct group *g, struct group_entry *e)
{
	struct rec *r = e->rec;
	bool tombstone = r->head.flags & WAL_TOMBSTONE, live = e->before.create_rev != 0;

	r->head.rev = (uint64_t)g->next_rev++;
	r->head.prev_rev = (uint64_t)e->before.mod_rev;
	r->head.create_rev = tombstone ? 0 : live ? (uint64_t)e->before.create_rev : r->head.rev;
	wal_record_seal(&r->head, r->data_crc);
	recmap_put(&g->keys, r);
	r->prev_bytes = e->before.bytes;
	g->live += (uint64_t)!tombstone - (uint64_t)live;
	g->live_bytes += (tombstone ? 0 : rec_disk_bytes(r)) - r->prev_bytes;
	g->applied++;
}

static bool entry_is_idle(const struct group_entry *e)
{
	return e->outcome == STORE_MISMATCH &&
	       store_write_is_idle(e->rec->expect_rev, e->rec->head.flags & WAL_TOMBSTONE, e->rec->guard,
				   e->before.create_rev ? e->before.mod_rev : 0);
}

/* One of the n - 1 entries beside own's does not hold: none does. */
static void group_drop(struct group_entry *first, size_t n, size_t i)
{
	struct group_entry *own = &first[n - 1], *e = &first[i];

	own->outcome = e->outcome;
	own->before = e->before;
	own->which = i + 1;
	own->key = rec_key(e->rec);
	own->rec->why = TAKE(e->rec->why);
}

/* One write: the records from r on. Returns its last one. */
static struct rec *group_decide(struct snap *sn, struct group *g, struct rec *r)
{
	size_t n = r->n_also + 1;
	struct group_entry *first = &g->e[g->n], *own = &first[n - 1];

	for (size_t i = 0; i < n; i++) {
		first[i] = (struct group_entry){ .rec = r, .outcome = STORE_MISMATCH };
		if (i + 1 < n)
			r = LIST_ENTRY(r->link.next, struct rec, link);
	}
	g->n += n;
	group_judge(sn, g, own);
	for (size_t i = 0; i + 1 < n && own->outcome == STORE_OK; i++) {
		group_judge(sn, g, &first[i]);
		if (first[i].outcome != STORE_OK && !entry_is_idle(&first[i]))
			group_drop(first, n, i);
	}
	for (size_t i = 0; i < n; i++) {
		if (own->outcome != STORE_OK)
			first[i].outcome = i + 1 < n ? STORE_MISMATCH : own->outcome;
		else if (first[i].outcome == STORE_OK)
			group_add(g, &first[i]);
	}
	return r;
}

void group_form(struct disk_store *s, struct snap *sn, struct group *g, struct list *taken)
{
	g->n = g->applied = 0;
	g->refused = false;
	g->n_guards = 0;
	g->keys = (struct recmap){ 0 };
	g->next_rev = s->rev + 1;
	g->live = s->live;
	g->live_bytes = s->live_bytes;
	g->err = ERR_INIT;
	for (struct list *l = taken->next; l != taken; l = l->next)
		l = &group_decide(sn, g, LIST_ENTRY(l, struct rec, link))->link;
}
