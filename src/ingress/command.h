/* command.h - what a running HAProxy is told: from one rendered state to the next, as texts; pure.
 *
 * A step is the text for one connection to HAProxy's socket and what its answer has to be. Whoever gets another answer
 * gives up and lets HAProxy read all of the new state instead.
 */
#pragma once

#include "base/vec.h"
#include "ingress/render.h"

enum ing_answer {
	ING_ANSWER_EMPTY,
	ING_ANSWER_SERVER,  /* lines that are empty or say what changed */
	ING_ANSWER_VERSION, /* of "prepare map": the number for ING_VERSION in the next steps */
	ING_ANSWER_SUCCESS  /* of certificates */
};
#define ING_VERSION '\x01' /* in a text: where the version goes */

struct ing_step {
	struct sv text;
	enum ing_answer answer;
};
struct ing_steps {
	struct ing_step *p; /* in the arena */
	size_t n;
};

/* Are the same certificates shown for the same names at the same ports? */
bool ing_lists_same(const struct ing_conf *x, const struct ing_conf *y);
/* False: not by commands. A map to which lines only come gets these; else it is replaced as a whole in one instant. The
 * sections that it leads to are there before. */
bool ing_steps_between(struct arena *a, const struct ing_conf *was, const struct ing_conf *is, struct ing_steps *ret);
/* Until HAProxy reads such a state: the endpoints of those sections that it has already. was's slots become what it is
 * told then. */
void ing_steps_endpoints(struct arena *a, struct ing_conf *was, const struct ing_conf *is, struct ing_steps *ret);
/* Is that the answer? version: set by that of ING_ANSWER_VERSION. */
bool ing_step_answered(const struct ing_step *s, struct sv answer, uint64_t *version);
/* The text as it is sent. */
struct sv ing_step_text(struct arena *a, const struct ing_step *s, uint64_t version);
