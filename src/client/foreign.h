/* foreign.h - what other API servers keep.
 *
 * Kinds that an aggregated server answers have no struct resource: no client here reads or writes them. But a namespace
 * goes only when nothing is left in it, theirs included, and what they keep owns and is owned. Who wires a process
 * gives the controllers these functions of their API server; without them there is nothing of others.
 *
 * They wait for nobody: they begin the work, and tell of it when they are asked again. Who says so is woken when it is
 * worth it: its answer is there, or room for its question. From any thread.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/strmap.h"

/* Who can be woken: by key, from any thread, under a lock of those functions: it does no more than queue. */
struct foreign_waker {
	void (*wake)(void *ctx, struct sv key);
	void *ctx;
	/* Theirs; zeroed before the first question. */
	struct list waits;
	bool begun, closed;
};
struct foreign_wake {
	struct foreign_waker *waker; /* NULL: nobody */
	struct sv key;
};
/* It is not woken any more from here on; what it asks from now on nobody is woken for. NULL is fine for both. */
typedef void foreign_forget_fn(void *ctx, struct foreign_waker *w);
/* The same; forget NULL: there are no others. For who ends, before the queue that w wakes. */
void foreign_forget(foreign_forget_fn *forget, void *ctx, struct foreign_waker *w);
/* So long who waits to be woken waits at most: whom nobody wakes, asks. */
#define FOREIGN_ANYWAY_NS (60 * NS_PER_SEC)

struct foreign_left {
	/* "things.far.example.io has 2 resource instances", ...: what is there yet, after all of it was deleted. */
	struct buf kinds;
	size_t remaining;
	struct strmap finalizers; /* of those: name -> how many, as (void *)(uintptr_t) */
	/* Of whom it is not known what they have: "far.example.io/v1: stale GroupVersion discovery: far.example.io/v1".
	 */
	struct buf undiscovered;
	size_t n_undiscovered;
	struct buf failure; /* the first */
	size_t failures;
};

void foreign_left_release(struct foreign_left *l); /* zeroed is fine, and so it is after it */

/* Deletes all that others keep in ns. True: done, and *ret, which was zeroed, says with what; false: it is under way,
 * and `who` is woken at its end. */
typedef bool foreign_empty_fn(void *ctx, struct sv ns, const struct foreign_wake *who, struct foreign_left *ret);

/* A kind that another server says it has, in one version of its group: that which is preferred. */
struct foreign_kind {
	const char *group, *version, *plural, *kind;
	bool namespaced;
	bool gets, lists, watches, deletes;
};
/* Calls fn for each of those servers that are available. False: there are others, of which it is not known. */
typedef bool foreign_kinds_fn(void *ctx, void (*fn)(const struct foreign_kind *k, void *fn_ctx), void *fn_ctx);

struct foreign_question {
	const char *account; /* who asks: a service account of kube-system */
	const char *method;  /* "GET" of an object's metadata, or of a list of such; "PATCH", a merge; "DELETE" */
	const char *group, *version, *plural;
	bool namespaced;
	struct sv ns, name; /* name "": all there are */
	struct sv body;	    /* JSON */
	/* For which decision: an answer is told again to the same one alone, as what it was of may be another by the
	 * next.
	 */
	struct sv of;
	struct foreign_wake who; /* woken when it is told false */
};
struct foreign_answer {
	int status;	 /* 0: there is none, and body says why */
	struct buf body; /* any bytes */
};
/* True: *ret, which was zeroed, is the answer; false: it is under way, or there is no room: ask again. Who asks the
 * same again within FOREIGN_KEPT_NS, for the same decision, is told the same of an object; of a list and of a write it
 * is told once, and of a list only while it is that young. Asked at least each FOREIGN_KEPT_NS / 3, an answer is not
 * missed. */
#define FOREIGN_KEPT_NS (15 * NS_PER_SEC)
typedef bool foreign_ask_fn(void *ctx, const struct foreign_question *q, struct foreign_answer *ret);
