#include "base/board.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PEEKS 100

static struct board here;
static struct board *now = &here;
static _Thread_local struct work *mine;
static _Thread_local bool none_left; /* asked once, was full */
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct board *board(void)
{
	return now;
}

void board_use(struct board *b)
{
	now = b ? b : &here;
	mine = NULL;
}

pid_t board_main_pid(void)
{
	return now->supervisor ? now->supervisor : getpid();
}

/* Who reads from another thread (work_peek()) sees an odd version, or another one, and reads again. Fences, which the
 * thread sanitizer does not know, are free on most machines; to it the reader's reads are hidden. */
static void work_open(struct work *w)
{
	atomic_store_explicit(&w->version, atomic_load_explicit(&w->version, memory_order_relaxed) + 1,
			      memory_order_relaxed);
#ifndef __SANITIZE_THREAD__
	atomic_thread_fence(memory_order_release);
#endif
}

static void work_close(struct work *w)
{
	atomic_store_explicit(&w->version, atomic_load_explicit(&w->version, memory_order_relaxed) + 1,
			      memory_order_release);
}

static void set_depth(struct work *w, int depth)
{
	atomic_store_explicit(&w->depth, depth, memory_order_relaxed);
}

static int depth_of(const struct work *w)
{
	return atomic_load_explicit(&((struct work *)w)->depth, memory_order_relaxed);
}

static void board_give_back(void *p)
{
	struct work *w = p;

	mine = NULL;
	none_left = true; /* of this thread nothing is written down any more */
	set_depth(w, 0);
	atomic_store(&w->run.since_ns, 0);
	atomic_store(&w->tid, 0);
}

static void make_key(void)
{
	(void)pthread_key_create(&at_exit, board_give_back);
}

static struct work *slot(void)
{
	int tid;

	if (mine || none_left)
		return mine;
	pthread_once(&once, make_key);
	tid = (int)syscall(SYS_gettid);
	for (int i = 0; i < WORK_SLOTS; i++) {
		int nobody = 0, known = atomic_load(&now->slots);

		if (!atomic_compare_exchange_strong(&now->work[i].tid, &nobody, tid))
			continue;
		mine = &now->work[i];
		while (known <= i && !atomic_compare_exchange_weak(&now->slots, &known, i + 1))
			;
		work_open(mine);
		set_depth(mine, 0);
		mine->run.nested = mine->run.works = 0;
		(void)prctl(PR_GET_NAME, mine->thread);
		work_close(mine);
		(void)pthread_setspecific(at_exit, mine);
		return mine;
	}
	none_left = true;
	return NULL;
}

int work_slot(void)
{
	return mine ? (int)(mine - now->work) : -1;
}

static size_t board_add(char *to, size_t at, size_t size, struct sv s)
{
	size_t n = MIN(s.n, size - 1 - at);

	if (n)
		memcpy(to + at, s.p, n);
	return at + n;
}

/* For people: what does not fit is cut between characters. */
static size_t board_say(char *to, size_t at, size_t size, struct sv s)
{
	size_t room = size - 1 - at;

	return board_add(to, at, size, s.n > room ? utf8_cut(s, room) : s);
}

int work_enter_sv(struct sv kind, struct sv a, struct sv b, struct sv c)
{
	const struct sv parts[] = { a, b, c };
	struct work *w = slot();
	struct work_level *l;
	int depth;
	size_t n;

	if (!w)
		return 0;
	depth = depth_of(w);
	if (depth < WORK_DEPTH) {
		l = &w->level[depth];
		work_open(w);
		l->key[0] = '\0';
		l->bytes = 0;
		l->of = NULL;
		l->since_ns = w->run.at_ns;
		n = board_say(l->what, 0, sizeof(l->what), kind);
		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			if (parts[i].n && n < sizeof(l->what) - 1)
				l->what[n++] = ' ';
			l->part[i].from = (uint16_t)n;
			n = board_say(l->what, n, sizeof(l->what), parts[i]);
			l->part[i].to = (uint16_t)n;
		}
		l->what[n] = '\0';
		w->run.works += depth == 0;
		work_close(w);
	}
	set_depth(w, depth + 1);
	return depth;
}

void work_leave(const int *mark)
{
	if (mine)
		set_depth(mine, *mark);
}

static struct work_level *innermost(struct work *w)
{
	int depth = w ? depth_of(w) : 0;

	return depth < 1 || depth > WORK_DEPTH ? NULL : &w->level[depth - 1];
}

static bool work_is_of(const struct work_level *l, const void *of, int64_t stamp)
{
	return l && l->of == of && l->stamp == stamp;
}

int work_again(const void *of, int64_t stamp)
{
	int depth = mine ? depth_of(mine) : 0;
	struct work_level *l;

	if (!mine || !stamp)
		return -1;
	if (work_is_of(innermost(mine), of, stamp))
		return depth; /* in itself: it just goes on */
	if (depth >= WORK_DEPTH)
		return -1;
	l = &mine->level[depth];
	if (!work_is_of(l, of, stamp))
		return -1;
	l->key[0] = '\0';
	set_depth(mine, depth + 1);
	return depth;
}

void work_of(const void *of, int64_t stamp, size_t n)
{
	struct work_level *l = innermost(mine);

	if (!l)
		return;
	l->of = of;
	l->stamp = stamp;
	l->bytes = n;
}

struct sv work_part(const struct work_level *l, int i)
{
	return sv_make(l->what + l->part[i].from, (size_t)(l->part[i].to - l->part[i].from));
}

void work_tell(const struct work *w, int depth, char out[WORK_TOLD_MAX])
{
	size_t n = 0;

	for (int i = 0; i < MIN(depth, WORK_DEPTH); i++) {
		const struct work_level *l = &w->level[i];

		if (i)
			n = board_say(out, n, WORK_TOLD_MAX, SV(", in it: "));
		n = board_say(out, n, WORK_TOLD_MAX, sv_make(l->what, strnlen(l->what, sizeof(l->what))));
		if (!l->key[0])
			continue;
		n = board_say(out, n, WORK_TOLD_MAX, SV(", object "));
		n = board_say(out, n, WORK_TOLD_MAX, sv_make(l->key, strnlen(l->key, sizeof(l->key))));
	}
	out[n] = '\0';
}

__attribute__((noinline)) static void keep_piece(struct work *w, int64_t ns, const char *step)
{
	int depth = MIN(depth_of(w), WORK_DEPTH);
	struct work_piece *p = &w->run.longest;

	*p = (struct work_piece){ .ns = ns, .step = step, .after = depth == 0 };
	if (depth == 0)
		depth = w->run.works > 0; /* that one has been left */
	work_tell(w, depth, p->what);
	p->bytes = depth ? w->level[depth - 1].bytes : 0;
}

static inline void piece_end(struct work *w, int64_t now_ns, const char *step)
{
	int64_t ns = now_ns - w->run.at_ns;

	if (__builtin_expect(ns > WORK_PIECE_NS && ns > w->run.longest.ns, 0) && w->run.at_ns) {
		work_open(w);
		keep_piece(w, ns, step);
		work_close(w);
	}
	w->run.at_ns = now_ns;
	w->run.step = step;
}

void work_piece_end(struct work *w, int64_t now_ns, const char *step)
{
	piece_end(w, now_ns, step);
}

void work_tick(int64_t now_ns, const char *step)
{
	if (mine)
		piece_end(mine, now_ns, step);
}

struct work *work_mine(void)
{
	return slot();
}

/* What another thread may be writing, by words that are each read once; looked at only when the version says that it
 * was all of one moment. */
__attribute__((no_sanitize("thread"))) static void copy_racing(struct work *to, const struct work *from)
{
	const volatile uint64_t *f = (const volatile uint64_t *)from;
	uint64_t *t = (uint64_t *)to;

	_Static_assert(sizeof(struct work) % sizeof(uint64_t) == 0, "a copy by words leaves nothing over");
	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] = f[i];
}

bool work_peek(size_t at, struct work *ret)
{
	struct work *w = &now->work[at];

	for (int i = 0; i < PEEKS; i++) {
		unsigned before = atomic_load_explicit(&w->version, memory_order_acquire);

		if (!atomic_load(&w->tid))
			return false;
		copy_racing(ret, w);
#ifndef __SANITIZE_THREAD__
		atomic_thread_fence(memory_order_acquire);
#endif
		if (!(before & 1) && atomic_load_explicit(&w->version, memory_order_relaxed) == before)
			return true;
	}
	return false;
}

#ifdef CARAVEL_FAILPOINTS
/* Tests name an object here that is to end the process, or one that holds whoever handles it: "KEY MS". */
static void deadly(struct sv key)
{
	const char *which = getenv("CARAVEL_TEST_DEADLY"), *hold = getenv("CARAVEL_TEST_HOLD");

	BUG_ON(which && sv_is(key, which));
	if (hold && sv_starts(sv_from(hold), key) && hold[key.n] == ' ') {
		long ms = strtol(hold + key.n, NULL, 10);
		struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS };

		while (nanosleep(&t, &t) < 0)
			; /* asked for its stack */
	}
}
#else
static void deadly(struct sv key)
{
	(void)key;
}
#endif

void work_key_of(struct sv a, struct sv b, struct sv c, struct sv d)
{
	const struct sv parts[] = { a, b, c, d };
	struct work *w = slot();
	struct work_level *l = innermost(w);
	size_t n = 0;

	if (!l)
		return;
	work_open(w);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		n = board_add(l->key, n, sizeof(l->key), parts[i]);
	/* A key that does not fit is none: half a key could be another object's. */
	l->key[n < sizeof(l->key) - 1 ? n : 0] = '\0';
	work_close(w);
	deadly(sv_make(l->key, n));
}

void work_key(struct sv key)
{
	work_key_of(key, SV(""), SV(""), SV(""));
}

void death_note(const char *words, void *const *frames, size_t n)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	struct death *d = &now->death;

	if (atomic_flag_test_and_set(&said) || atomic_load(&d->state) != DEATH_NONE)
		return;
	d->tid = (int)syscall(SYS_gettid);
	d->words[board_say(d->words, 0, sizeof(d->words), sv_from(words))] = '\0';
	d->n_frames = MIN(n, (size_t)DEATH_FRAMES);
	if (d->n_frames)
		memcpy(d->frames, frames, d->n_frames * sizeof(*frames));
}

const char *board_blame(const struct board *b)
{
	const struct death *d = &b->death;
	const struct work *w;

	if (d->state != DEATH_NOTED || !d->ours || d->slot < 0 || d->slot >= WORK_SLOTS)
		return "";
	w = &b->work[d->slot];
	for (int i = MIN(depth_of(w), WORK_DEPTH); i-- > 0;)
		if (w->level[i].key[0])
			return w->level[i].key;
	return "";
}
