#include "store/layout.h"
#include "base/arena.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdio.h>

#define PORTION_KEYS ((size_t)256)
#define PORTION_BYTES ((size_t)4 * 1024 * 1024)

/* One value on its way. */
struct move_item {
	struct move_run *run;
	struct sv from, to, value;
	int64_t rev;
};

/* A step under way; its callbacks come from the store's thread. */
struct move_run {
	struct store *s;
	const struct store_move *m;
	char next[STORE_KEY_MAX + 1]; /* of the prefix, the first key behind those that have moved */
	size_t next_n;
	struct arena arena; /* of the portion */
	VEC(struct move_item) items;
	size_t bytes;
	int64_t last_rev; /* of what was written */

	pthread_mutex_t mu;
	pthread_cond_t cond;
	/* Guarded by mu. */
	size_t open;
	struct err *err;
	bool failed;
};

/* Where to say why: only the first reason counts, and under the lock while
 * writes are open. */
static struct err *move_failed(struct move_run *run)
{
	bool first = !run->failed;

	run->failed = true;
	return first ? run->err : NULL;
}

static int portion_take(const struct store_kv *kv, void *ctx)
{
	struct move_run *run = ctx;
	size_t cut = strlen(run->m->from);
	struct move_item it = { .run = run, .from = arena_sv(&run->arena, kv->key), .rev = kv->mod_rev };

	/* Not to be had (transform.h): a copy would be of nothing, and the removal for good. */
	if (!kv->value.p) {
		err_set(move_failed(run), ERR_STORE_READ, "the value of '%.*s' cannot be read", SV_ARG(kv->key));
		return 1;
	}
	it.value = arena_sv(&run->arena, kv->value);
	it.to = arena_svf(&run->arena, "%s%.*s", run->m->to, (int)(kv->key.n - cut), kv->key.p + cut);
	vec_push(&run->items, it);
	run->bytes += kv->value.n;
	return run->bytes >= PORTION_BYTES;
}

static void move_answered(struct move_run *run, const struct store_result *r)
{
	if (r->outcome == STORE_OK)
		run->last_rev = MAX(run->last_rev, r->rev);
	if (--run->open == 0)
		pthread_cond_signal(&run->cond);
}

static void copy_done(const struct store_result *r, void *ctx)
{
	const struct move_item *it = ctx;
	struct move_run *run = it->run;

	pthread_mutex_lock(&run->mu);
	if (r->outcome == STORE_FAILED)
		err_set(move_failed(run), r->err->reason, "cannot write '%.*s': %s", SV_ARG(it->to), err_msg(r->err));
	/* A copy from before the interruption. */
	else if (r->outcome == STORE_MISMATCH && !(r->current && sv_eq(r->current->value, it->value)))
		err_set(move_failed(run), ERR_CONFLICT,
			"'%.*s' is there already, and is not what is under the old key '%.*s'", SV_ARG(it->to),
			SV_ARG(it->from));
	move_answered(run, r);
	pthread_mutex_unlock(&run->mu);
}

static void remove_done(const struct store_result *r, void *ctx)
{
	const struct move_item *it = ctx;
	struct move_run *run = it->run;

	pthread_mutex_lock(&run->mu);
	if (r->outcome != STORE_OK)
		err_set(move_failed(run), r->err ? r->err->reason : ERR_CONFLICT, "cannot remove '%.*s': %s",
			SV_ARG(it->from), r->err ? err_msg(r->err) : "somebody else has changed it");
	move_answered(run, r);
	pthread_mutex_unlock(&run->mu);
}

/* Copies, or removes, the portion: all at once, so that many share a sync. */
static int portion_write(struct move_run *run, bool copies)
{
	run->open = run->items.n + 1;
	store_gather(run->s, true);
	for (size_t i = 0; i < run->items.n; i++) {
		struct move_item *it = &run->items.p[i];
		struct store_write w = { .key = copies ? it->to : it->from,
					 .value = it->value,
					 .expect_rev = copies ? 0 : it->rev,
					 .tombstone = !copies };

		store_commit(run->s, &w, copies ? copy_done : remove_done, it);
	}
	store_gather(run->s, false);
	pthread_mutex_lock(&run->mu);
	run->open--;
	while (run->open)
		pthread_cond_wait(&run->cond, &run->mu);
	pthread_mutex_unlock(&run->mu);
	return run->failed ? -1 : 0;
}

/* 1: there was a portion, 0: there is none. */
static int portion_move(struct move_run *run)
{
	struct sv prefix = sv_from(run->m->from), last;
	struct sv to = arena_svf(&run->arena, "%.*s%c", (int)prefix.n - 1, prefix.p, prefix.p[prefix.n - 1] + 1);

	/* From where the portion before ended: what it removed is still there to be passed by. */
	if (store_range(run->s, sv_make(run->next, run->next_n), to, 0, PORTION_KEYS, portion_take, run, NULL,
			run->err) < 0 ||
	    run->failed)
		return -1;
	/* Not one before the other is known to be on the disk: a full one still takes removals. */
	if (!run->items.n)
		return 0;
	last = run->items.p[run->items.n - 1].from;
	memcpy(run->next, last.p, last.n);
	run->next[last.n] = '\0';
	run->next_n = last.n + 1;
	return portion_write(run, true) < 0 || portion_write(run, false) < 0 ? -1 : 1;
}

static int prefix_move(struct move_run *run)
{
	int r;

	BUG_ON(sv_starts(sv_from(run->m->to), sv_from(run->m->from)));
	run->next_n = strlen(run->m->from);
	memcpy(run->next, run->m->from, run->next_n);
	do {
		r = portion_move(run);
		run->items.n = run->bytes = 0;
		arena_reset(&run->arena);
	} while (r > 0);
	return r;
}

static int step_move(struct store *s, int layout, const struct store_move *moves, size_t n, struct err *err)
{
	struct move_run run = { .s = s, .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .err = err };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		run.m = &moves[i];
		if (run.m->layout == layout)
			r = prefix_move(&run);
	}
	/* Whoever watches from a revision with old keys would be told nothing of what they became. Also when the
	 * removals were those of an earlier run: no revision of this step is one to go on from. */
	if (r == 0) {
		struct store_stats st;

		store_stats(s, &st);
		r = store_compact(s, st.rev, err);
	}
	arena_release(&run.arena);
	vec_release(&run.items);
	pthread_cond_destroy(&run.cond);
	pthread_mutex_destroy(&run.mu);
	return r;
}

/* What the database says of itself. */
struct mark {
	int layout; /* 0: it says none */
	bool under_way;
	bool unread; /* not to be had for now (transform.h) */
	int64_t rev; /* of the mark; 0: there is none */
};

static int mark_take(const struct store_kv *kv, void *ctx)
{
	struct mark *m = ctx;
	struct sv number = kv->value;
	int64_t layout;

	m->rev = kv->mod_rev;
	m->unread = !number.p;
	m->under_way = sv_ends(number, SV("<"));
	if (m->under_way)
		number.n--;
	m->layout = sv_to_i64(number, &layout) && layout > 0 && layout <= INT_MAX ? (int)layout : 0;
	return 1;
}

static int mark_write(struct store *s, struct mark *m, int layout, bool under_way, struct err *err)
{
	char text[16];
	struct store_write w = { .key = SV(STORE_LAYOUT_KEY), .expect_rev = m->rev };
	int r;

	w.value = sv_make(text, (size_t)snprintf(text, sizeof(text), "%d%s", layout, under_way ? "<" : ""));
	r = store_commit_wait(s, &w, &m->rev, err);
	if (r == 0)
		return err_set(err, ERR_CONFLICT, "another program changes the layout of this database");
	m->layout = layout;
	m->under_way = under_way;
	return r < 0 ? err_wrap(err, "noting the layout of the database") : 0;
}

static int layout_any(_unused_ const struct store_kv *kv, void *ctx)
{
	*(bool *)ctx = true;
	return 1;
}

int store_layout_bring(struct store *s, int newest, const struct store_move *moves, size_t n, struct err *err)
{
	struct mark m = { .layout = 1 };
	bool full = false;

	if (store_range(s, SV(STORE_LAYOUT_KEY), SV_NULL, 0, 0, mark_take, &m, NULL, err) < 0)
		return err_wrap(err, "reading the layout of the database");
	if (m.unread)
		return err_set(err, ERR_STORE_READ, "the value of '%s' cannot be read", STORE_LAYOUT_KEY);
	if (m.layout == 0)
		return err_set(err, ERR_STORE_READ, "what '%s' says is no layout: restore the database from a backup",
			       STORE_LAYOUT_KEY);
	if (m.layout > newest)
		return err_set(
		    err, ERR_BAD_REQUEST,
		    "the database has layout %d, this program knows %d: use the version of Caravel that wrote "
		    "it, or a newer one, or a backup from before",
		    m.layout, newest);
	/* Not by store_stats(): an etcd has not counted yet. */
	if (newest > 1 && store_range(s, SV("/"), SV("0"), 0, 1, layout_any, &full, NULL, err) < 0)
		return err_wrap(err, "reading the database");
	if (newest > 1 && !full)
		return mark_write(s, &m, newest, false, err);
	while (m.layout < newest || m.under_way) {
		if (!m.under_way && mark_write(s, &m, m.layout + 1, true, err) < 0)
			return -1;
		if (step_move(s, m.layout, moves, n, err) < 0)
			return err_wrap(err, "moving the database to layout %d", m.layout);
		if (mark_write(s, &m, m.layout, false, err) < 0)
			return -1;
	}
	return 0;
}
