/* Changes of the past, revision by revision: what a watch that lags is told, and who looks back by himself. */
#include "store/disk/group.h"

#include "store/store-internal.h"

#include <stdlib.h>

int snap_change(struct snap *sn, const struct overlay *o, int64_t rev, struct store_kv *ret, int64_t *ret_prev_rev,
		struct err *err)
{
	const struct rec *r = overlay_rev(o, rev);
	struct wal_record h;
	struct sv key, value;
	int got;

	if (r) {
		*ret = rec_kv(r);
		*ret_prev_rev = (int64_t)r->head.prev_rev;
		return 0;
	}
	got = db_find_rev(sn->set, (uint64_t)rev, &sn->kv, &h, &key, &value, err);
	/* A change that cannot be read must not be skipped in silence. */
	if (got == 0)
		err_set(err, ERR_STORE_READ, "revision %" PRId64 " is missing", rev);
	if (got <= 0)
		return -1;
	*ret = (struct store_kv){ .key = key,
				  .value = value,
				  .create_rev = (int64_t)h.create_rev,
				  .mod_rev = (int64_t)h.rev,
				  .deleted = h.flags & WAL_TOMBSTONE };
	*ret_prev_rev = (int64_t)h.prev_rev;
	return 0;
}

struct looking {
	struct snap sn;
	struct overlay o;
	struct sv from, to;
	store_change_fn *fn;
	void *ctx;
};

/* 1: stop, 0: go on, -1. */
static int disk_look(struct looking *l, int64_t rev, struct err *err)
{
	struct store_change c = { 0 };
	struct store_kv prev;
	int64_t prev_rev;

	if (snap_change(&l->sn, &l->o, rev, &c.kv, &prev_rev, err) < 0)
		return -1;
	if (!store_in_range(c.kv.key, l->from, l->to))
		return 0;
	if (prev_rev && ver_at_rev(&l->sn, &l->o, c.kv.key, prev_rev, &l->sn.prev, &prev, NULL) > 0)
		c.prev = &prev;
	return l->fn(&c, l->ctx) ? 1 : 0;
}

int disk_changes(struct store *store, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		 void *ctx, int64_t *ret_rev, struct err *err)
{
	struct disk_store *s = DISK_STORE(store);
	struct looking l = { .from = from, .to = to, .fn = fn, .ctx = ctx };
	int64_t upto, last;
	int r;

	pthread_mutex_lock(&s->mu);
	snap_open(s, true, &l.sn);
	r = store_check_watch_rev(since, l.sn.compact_rev, err);
	l.o = overlay_of(&l.sn);
	overlay_keep(&l.o);
	pthread_mutex_unlock(&s->mu);
	upto = MAX(MIN(since, l.sn.rev), STORE_FIRST_REV);
	last = most < (size_t)(l.sn.rev - upto) ? upto + (int64_t)most : l.sn.rev;
	while (r == 0 && upto < last)
		r = disk_look(&l, ++upto, err);
	free(l.o.copy);
	snap_close(s, &l.sn);
	if (r >= 0)
		*ret_rev = MAX(upto, since);
	return MIN(r, 0);
}
