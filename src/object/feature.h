/* feature.h - feature gates: what of v1.37 is switched on in this process.
 *
 * Which gates there are, their stage, and what is on without anybody's asking is data (api/gates.api). What code has to
 * ask is
 *
 *	if (feature_on(FG_CBORServingAndStorage))
 *
 * and what .api files say of fields and resources with gate(NAME) needs no question: such a field is read and left out
 * while its feature is off (decode.h), such a resource is not served (served.h).
 *
 * The gates are the process's: set once, before its first thread, by whoever reads the command line. Tests may set them
 * again while nothing else runs. A gate that nothing here depends on can be set as well: clients' set-ups name many.
 */
#pragma once

#include "base/err.h"
#include "object/schema.h"

#include "gates.h" /* generated: enum feature */

enum feature_stage { FEATURE_ALPHA, FEATURE_BETA, FEATURE_GA, FEATURE_DEPRECATED };

struct feature_gate {
	const char *name;
	uint8_t stage; /* enum feature_stage */
	bool on;       /* unless it is set */
	bool locked;   /* and it cannot be set to anything else */
};

extern const struct feature_gate feature_all[FG_COUNT]; /* by enum feature; FG_NONE is always on */
extern uint8_t feature_set[FG_COUNT];			/* 0: as feature_all says; 1: on; 2: off */

static inline bool feature_on(enum feature f)
{
	return feature_set[f] ? feature_set[f] == 1 : feature_all[f].on;
}

/* Is a field of a type kept? */
static inline bool field_on(const struct field *f)
{
	return !f->gate || feature_on((enum feature)f->gate);
}

enum feature feature_find(struct sv name); /* FG_NONE: there is none of that name */

/* "A=true,B=false" as --feature-gates has it; AllAlpha and AllBeta stand for all gates of a stage that are not named
 * themselves. All of it or nothing; a gate that is unknown, or locked to the other value, is an error in upstream's
 * words. What is not mentioned stays as it is. */
int features_set(struct sv text, struct err *err);
bool feature_named(enum feature f); /* by features_set(), itself */
void features_reset(void);	    /* as if nothing had been set: for tests */
