/* command.h - what a running HAProxy is told: from one rendered state to the next, as text; pure but for its last function.
 *
 * A step is a text of one or more commands for one connection, and what its answer has to look like. Whoever gets
 * another answer gives up and lets HAProxy read all of the new state instead.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "ingress/render.h"

#define ING_STEP_MAX 12000 /* bytes; HAProxy's buffer for a command is 16 kB */

struct ing_step {
	struct sv text;
	const char *expect; /* how the answer begins, "" for none at all; NULL: any */
	int map;	    /* >= 0: "prepare map", whose answer holds the version that later steps of the map use as '@' */
};
struct ing_steps {
	VEC(struct ing_step) v;
};

/* False: not by commands. Maps are replaced as a whole, in one instant each; sections that a map leads to exist before. */
bool ing_steps_between(struct arena *a, const struct ing_conf *was, const struct ing_conf *is, struct ing_steps *ret);

/* Sends one text to the socket and reads the answer, all of it within the time. */
int ing_command(struct arena *a, const char *socket, struct sv text, int64_t timeout_ns, struct sv *ret, struct err *err);
