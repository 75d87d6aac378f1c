/* double.h - doubles as text, as Go writes them: the fewest digits that read back as the same number, and of those the
 * nearest to it. C has no conversion that does this. Pure; any thread. */
#pragma once

#include "base/buf.h"

#define DOUBLE_DIGITS_MAX 17

/* The digits of |d|, which is finite, without trailing zeros and not terminated; *ret_exp10 is the first one's place:
 * 12.5 is "125" and 1. Zero is "0" and 0. Returns how many. */
int double_shortest(double d, char ret[DOUBLE_DIGITS_MAX], int *ret_exp10);

/* As strconv's format 'g' with the shortest precision, which is what %v and %g print: below 1e-4 and from 1e6 on with
 * an exponent of two digits at least; NaN, +Inf, -Inf. */
void double_g(struct buf *b, double d);
/* As encoding/json: below 1e-6 and from 1e21 on with an exponent, of as few digits as it has. d is finite. */
void double_json(struct buf *b, double d);
