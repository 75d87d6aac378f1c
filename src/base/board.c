#include "base/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static void give_back(void *p)
{
	struct work *w = p;

	mine = NULL;
	none_left = true; /* of this thread nothing is written down any more */
	w->depth = 0;
	atomic_store(&w->tid, 0);
}

static void make_key(void)
{
	(void)pthread_key_create(&at_exit, give_back);
}

static struct work *slot(void)
{
	int tid;

	if (mine || none_left)
		return mine;
	pthread_once(&once, make_key);
	tid = (int)syscall(SYS_gettid);
	for (size_t i = 0; i < WORK_SLOTS; i++) {
		int nobody = 0;

		if (!atomic_compare_exchange_strong(&now->work[i].tid, &nobody, tid))
			continue;
		mine = &now->work[i];
		mine->depth = 0;
		(void)prctl(PR_GET_NAME, mine->thread);
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

static size_t add(char *to, size_t at, size_t size, struct sv s)
{
	size_t n = MIN(s.n, size - 1 - at);

	if (n)
		memcpy(to + at, s.p, n);
	return at + n;
}

int work_enter(const char *kind, struct sv a, struct sv b, struct sv c)
{
	const struct sv parts[] = { a, b, c };
	struct work *w = slot();
	struct work_level *l;
	size_t n;

	if (!w)
		return 0;
	if (w->depth >= WORK_DEPTH)
		return w->depth++;
	l = &w->level[w->depth];
	l->key[0] = '\0';
	n = add(l->what, 0, sizeof(l->what), sv_from(kind));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (!parts[i].n)
			continue;
		n = add(l->what, n, sizeof(l->what), SV(" "));
		n = add(l->what, n, sizeof(l->what), parts[i]);
	}
	l->what[n] = '\0';
	atomic_signal_fence(memory_order_release);
	return w->depth++;
}

void work_leave(const int *mark)
{
	if (mine)
		mine->depth = *mark;
}

#ifdef CARAVEL_FAILPOINTS
/* Tests name an object here that is to end the process. */
static void deadly(struct sv key)
{
	const char *which = getenv("CARAVEL_TEST_DEADLY");

	BUG_ON(which && sv_is(key, which));
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
	struct work_level *l;
	size_t n = 0;

	if (!w || w->depth < 1 || w->depth > WORK_DEPTH)
		return;
	l = &w->level[w->depth - 1];
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		n = add(l->key, n, sizeof(l->key), parts[i]);
	/* A key that does not fit is none: half a key could be another object's. */
	l->key[n < sizeof(l->key) - 1 ? n : 0] = '\0';
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
	d->words[add(d->words, 0, sizeof(d->words), sv_from(words))] = '\0';
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
	for (int i = MIN(w->depth, WORK_DEPTH); i-- > 0;)
		if (w->level[i].key[0])
			return w->level[i].key;
	return "";
}
