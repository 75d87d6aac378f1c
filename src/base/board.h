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
 * The board is static memory until board_use(); `caravel server` puts it into pages it shares with its supervisor, who
 * can then read it whatever ended the server.
 */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

#define WORK_DEPTH 2
#define WORK_SLOTS 128 /* threads that write down their work; more of them just do not */
#define DEATH_FRAMES 48

struct work_level {
	char what[160];
	char key[512]; /* a store key, or "reconcile <controller> <key>"; empty: no object to blame */
};

struct work {
	atomic_int tid; /* 0: nobody's */
	char thread[16];
	int depth;
	struct work_level level[WORK_DEPTH];
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
	struct death death;
	struct work work[WORK_SLOTS];
};

struct board *board(void);
/* From now on the board is *b, which is all zero and stays valid (NULL: static memory again); before any other thread
 * exists. */
void board_use(struct board *b);
/* Who is to be ended, or named to people, to end this process: its supervisor, or itself. */
pid_t board_main_pid(void);

/* Begins a piece of work of the calling thread, "kind a b c"; empty views are left out. The mark is for work_leave().
 */
int work_enter(const char *kind, struct sv a, struct sv b, struct sv c);
void work_leave(const int *mark);
/* The object that the innermost piece of work handles from now on. */
void work_key(struct sv key);
void work_key_of(struct sv a, struct sv b, struct sv c, struct sv d); /* the four, joined */
/* The slot of the calling thread, -1 when it has none; async-signal-safe. */
int work_slot(void);

/* Called by whoever is about to abort, with a stack that is better than the handler's: said first wins. */
void death_note(const char *words, void *const *frames, size_t n);

/* The object to blame for a death: that of the innermost work of the thread that died by a fault of its own. */
const char *board_blame(const struct board *b); /* "" when there is none */
