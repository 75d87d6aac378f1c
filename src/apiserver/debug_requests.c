/* Requests: those that have left their thread are known (inflight.h), those that stand, too (standing.h); what only
 * runs is on the board. Where both show the same one, the board adds its thread. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/debug.h"
#include "apiserver/inflight.h"
#include "apiserver/standing.h"
#include "base/board.h"
#include "base/strmap.h"

#include <stdio.h>
#include <stdlib.h>

/* A request on the board. */
struct on_thread {
	const void *q;
	char thread[16 + 16];
	struct work_level level;
	const char *step;
	bool shown;
};

struct looking {
	struct debug_page *p;
	int64_t now_ns;
	struct on_thread *threads; /* WORK_SLOTS */
	size_t n_threads;
	struct strmap in_flight; /* request_key() */
};

static void look_at_threads(struct looking *k)
{
	struct work *w = xmalloc(sizeof(*w));

	for (size_t i = 0; i < board_slots(board()); i++) {
		struct on_thread *t = &k->threads[k->n_threads];
		int depth;

		if (!work_peek(i, w))
			continue;
		depth = MIN(atomic_load(&w->depth), WORK_DEPTH);
		if (depth < 1 || !sv_starts(sv_from(w->level[depth - 1].what), SV("request ")))
			continue;
		k->n_threads++;
		*t = (struct on_thread){ .q = w->level[depth - 1].of,
					 .level = w->level[depth - 1],
					 .step = w->run.step };
		(void)snprintf(t->thread, sizeof(t->thread), "%.15s/%d", w->thread, atomic_load(&w->tid));
	}
	free(w);
}

static void row(struct looking *k, const char *state, struct sv verb, struct sv url, struct sv user, int64_t start_ns,
		size_t bytes, const char *step, const char *thread)
{
	if (!debug_row(k->p))
		return;
	debug_text(k->p, "state", sv_from(state));
	debug_text(k->p, "verb", verb);
	debug_text(k->p, "url", url);
	debug_text(k->p, "user", user);
	if (start_ns)
		debug_time(k->p, "age", k->now_ns - start_ns);
	debug_text(k->p, "step", step ? sv_from(step) : SV(""));
	debug_number(k->p, "bytes", (int64_t)bytes);
	debug_text(k->p, "thread", sv_from(thread));
	debug_row_end(k->p);
}

/* By its address, which is only compared. */
static struct sv request_key(const void *const *q)
{
	return sv_make((const char *)q, sizeof(*q));
}

static void one_in_flight(const struct inflight_look *l, void *ctx)
{
	struct looking *k = ctx;
	char state[80] = "queued";
	struct on_thread *t = NULL;

	for (size_t i = 0; i < k->n_threads && !t; i++)
		if (k->threads[i].q == l->q && sv_eq(work_part(&k->threads[i].level, 0), l->verb))
			t = &k->threads[i];
	if (l->waits)
		(void)snprintf(state, sizeof(state), "waits for %s", l->waits);
	row(k, t ? "runs" : state, l->verb, l->url, l->user, l->start_ns, l->bytes, req_step_name(l->step),
	    t ? t->thread : "");
	if (t)
		t->shown = true;
	strmap_set(&k->in_flight, request_key(&l->q), k);
}

/* What waits for its answer may stand already (a proxied one): that it waits says more. */
static void one_that_stands(const struct api_req *q, void *ctx)
{
	struct looking *k = ctx;

	if (!strmap_has(&k->in_flight, request_key((const void *const[]){ q })))
		row(k, "stands", api_req_verb(q), q->path, q->user.name, q->start_ns, 0, NULL, "");
}

void debug_requests(struct apiserver *s, struct debug_page *p)
{
	struct looking k = { .p = p,
			     .now_ns = env_mono_ns(s->env),
			     .threads = xcalloc(WORK_SLOTS, sizeof(struct on_thread)),
			     .in_flight = STRMAP_INIT };

	look_at_threads(&k);
	debug_table(p, "requests");
	inflight_each(s, one_in_flight, &k);
	for (size_t i = 0; i < k.n_threads; i++) {
		const struct on_thread *t = &k.threads[i];

		if (!t->shown)
			row(&k, "runs", work_part(&t->level, 0), work_part(&t->level, 1), work_part(&t->level, 2),
			    t->level.since_ns, t->level.bytes, t->step, t->thread);
	}
	standing_each(s, one_that_stands, &k);
	debug_table_end(p);
	strmap_release(&k.in_flight);
	free(k.threads);
}
