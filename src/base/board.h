/* board.h - what this process is doing, where it can be read after its death.
 *
 * Every thread writes down what it works on: a request, a reconcile, a stored object it reads. When the process dies,
 * the report says so (base/crash.h), and an object that ended it twice is set aside (base/quarantine.h).
 *
 *	_cleanup_(work_leave) _unused_ int mark = work_enter("request", method, path, user);
 *	work_key(SV("/registry/pods/default/web"));
 *
 * Work nests twice (a reconcile that makes a request); what is deeper is not written down. Texts are copied and cut to
 * fit; they never hold contents of objects, query strings or tokens. An entry costs a copy of some hundred bytes.
 *
 * What a thread does between two rests is a run: a turn of a loop, a task (ev/watchdog.h begins and ends them, and
 * tells of those that last). The instants that somebody reads the clock for anyway are noted and divide it into
 * pieces; of the longest it is kept what was worked on.
 *
 *	work_tick(q->start_ns, "received");
 *
 * The board is static memory until board_use(); `caravel server` puts it into pages it shares with its supervisor, who
 * can then read it whatever ended the server.
 */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

#define WORK_DEPTH 2
#define WORK_SLOTS 128 /* threads that write down their work; more of them just do not */
#define DEATH_FRAMES 48

#define WORK_TEXT 256
#define WORK_TOLD_MAX 1024
#define WORK_PIECE_NS (10 * NS_PER_MS) /* what is shorter is not worth being kept */

struct work_level {
	char what[WORK_TEXT];
	char key[512]; /* a store key, or "reconcile <controller> <key>"; empty: no object to blame */
	struct {
		uint16_t from, to;
	} part[3];	  /* of what: the three that work_enter() was given */
	size_t bytes;	  /* that it was given: a request's body */
	const void *of;	  /* whose work it is; to be compared, for it may be gone */
	int64_t stamp;	  /* which of those that were at that address; 0: not known */
	int64_t since_ns; /* the last instant noted before it began; 0: none was */
};

/* A stretch of a run. */
struct work_piece {
	char what[WORK_TOLD_MAX]; /* work_tell(); empty: nothing was written down */
	bool after;		  /* that work was left in it: it may be another one near it */
	size_t bytes;
	const char *step; /* what it ended with; NULL: with the run */
	int64_t ns;
};

struct work_run {
	_Atomic int64_t since_ns;  /* monotonic; 0: the thread rests */
	atomic_int kind;	   /* enum run_kind of ev/watchdog.h */
	atomic_uint number;	   /* of runs this thread has begun */
	unsigned nested;	   /* runs begun inside of it, which are none of their own */
	unsigned works;		   /* begun in it, not nested */
	void (*fn)(void *ctx);	   /* what was called last; NULL: unknown */
	const char *step;	   /* that was noted last */
	int64_t at_ns;		   /* when */
	struct work_piece longest; /* ns 0: none was worth it */
};

struct work {
	atomic_int tid; /* 0: nobody's */
	char thread[16];
	atomic_uint version; /* odd while its thread changes what follows */
	atomic_int depth;
	struct work_level level[WORK_DEPTH];
	struct work_run run;
};

enum death_state { DEATH_NONE, DEATH_BEING_NOTED, DEATH_NOTED };

/* Written by the dying thread. */
struct death {
	atomic_int state; /* enum death_state */
	int signum, code, tid;
	int slot;  /* of its work; -1: none */
	bool ours; /* a fault of this thread's own: not a signal that somebody sent */
	uint64_t address;
	size_t n_frames;
	void *frames[DEATH_FRAMES]; /* innermost first */
	char words[256];	    /* of BUG_ON(), or empty */
};

struct board {
	pid_t supervisor; /* 0: none */
	atomic_int slots; /* of work, from the first: those that any thread ever had. Nobody reads others: they may be
			   * pages that are not there yet */
	struct death death;
	struct work work[WORK_SLOTS];
};

struct board *board(void);
static inline size_t board_slots(const struct board *b)
{
	int n = atomic_load(&((struct board *)b)->slots);

	return n > 0 && n <= WORK_SLOTS ? (size_t)n : 0; /* its process may have died of anything */
}
/* From now on the board is *b, which is all zero and stays valid (NULL: static memory again); before any other thread
 * exists. */
void board_use(struct board *b);
/* Who is to be ended, or named to people, to end this process: its supervisor, or itself. */
pid_t board_main_pid(void);

/* Begins a piece of work of the calling thread, "kind a b c"; empty views are left out. The mark is for work_leave().
 */
int work_enter_sv(struct sv kind, struct sv a, struct sv b, struct sv c);
static inline int work_enter(const char *kind, struct sv a, struct sv b, struct sv c)
{
	return work_enter_sv(sv_from(kind), a, b, c); /* of a constant the length is one, too */
}
void work_leave(const int *mark);
/* The object that the innermost piece of work handles from now on. */
void work_key(struct sv key);
void work_key_of(struct sv a, struct sv b, struct sv c, struct sv d); /* the four, joined */
/* The innermost piece of work is one of `of`, which was given n bytes and has that stamp. */
void work_of(const void *of, int64_t stamp, size_t n);
/* Begins again what work_of() was told of, when the calling thread has just left that, or is in it (then nothing nests,
 * and the key stays): the mark; -1: neither, and work_enter() is called for. */
int work_again(const void *of, int64_t stamp);
/* It is now_ns (monotonic): step, a constant, has been reached. */
void work_tick(int64_t now_ns, const char *step);
/* The slot of the calling thread, -1 when it has none; async-signal-safe. */
int work_slot(void);

/* The calling thread's, which it is given if one is left; else NULL. */
struct work *work_mine(void);
/* What thread slot is doing, from another one. False: nobody's slot, or it changes all the time. Pointers in it are
 * good as long as the process. */
bool work_peek(size_t slot, struct work *ret);
struct sv work_part(const struct work_level *l, int i);
/* "request GET /x jane, object KEY, in it: ...": depth levels of w, of the calling thread or peeked at. */
void work_tell(const struct work *w, int depth, char out[WORK_TOLD_MAX]);
/* Closes the stretch of w's run that ends at now_ns. Of the calling thread. */
void work_piece_end(struct work *w, int64_t now_ns, const char *step);

/* Called by whoever is about to abort, with a stack that is better than the handler's: said first wins. */
void death_note(const char *words, void *const *frames, size_t n);

/* The object to blame for a death: that of the innermost work of the thread that died by a fault of its own. */
const char *board_blame(const struct board *b); /* "" when there is none */
