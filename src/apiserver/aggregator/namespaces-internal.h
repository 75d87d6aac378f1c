/* namespaces-internal.h - one namespace that is emptied of what other servers keep in it.
 *
 * namespaces.c has the table of them and their tasks, emptying.c what is asked of whom.
 */
#pragma once

#include "apiserver/aggregator/aggregator-internal.h"

#define EMPTIED_NS (60 * NS_PER_SEC)	 /* from its first question to its last */
#define OUTCOME_NS (5 * 60 * NS_PER_SEC) /* so long an outcome is kept */

enum emptied_state { EMPTIED_WAITS, EMPTIED_RUNS, EMPTIED_DONE };
enum emptied_next { NEXT_VERSION, NEXT_KIND, NEXT_LIST, NEXT_DELETE_ALL, NEXT_DELETE_EACH, NEXT_REMAINS };

struct agg_emptied {
	struct aggregator *g;
	char *ns;
	env_fn *run; /* its task, posted with each answer */
	/* Under the lock. */
	struct list at; /* among those that wait or are done */
	enum emptied_state state;
	struct list waits; /* who is told of its end */
	int64_t done_ns;   /* monotonic */
	/* While it runs its task's, of which there is one at a time; then who fetches it. */
	struct foreign_left left;
	enum emptied_next next;
	struct webhook_answer *answer; /* to what was asked last */
	int64_t deadline_ns;	       /* monotonic */
	bool anywhere;		       /* it begins at any version, and at any kind of that */
	struct agg_service **all, *e;  /* e: the one that is asked */
	size_t n, from, i;
	struct strmap seen; /* "resource.group" of what a version has shown already */
	struct arena of_version, of_kind;
	const struct val *kinds;
	size_t n_kinds, kinds_from, kind;
	bool available, collection;
	const char *path, *name; /* of the kind: its collection; "things.far.example.io" */
	const struct val *items;
	size_t item;
};

/* Whom it asks, before the first question. The lock is held. */
void emptied_prepare(struct agg_emptied *k);
/* From the answer that came, if one did, to the next question. True: one is asked, and k is its answer's, which posts
 * k->run; false: nothing more is asked. Takes the lock, and waits for nobody. */
bool emptied_go_on(struct agg_emptied *k);
void emptied_free(struct agg_emptied *k); /* in no list any more */
