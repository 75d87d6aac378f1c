/* std.h - the standard library's tables; for this folder alone. */
#pragma once

#include "object/cel/func.h"

struct re;

/* The expression that a text of text_n bytes is searched with. Counted costs know nothing of what a pattern becomes
 * (a{1000} is eight characters), so making a large one, and searching something large with one, is work. NULL by
 * cel_fail() with the words behind before; the caller's reference. */
struct re *cel_regex(struct cel_call *c, struct sv pattern, size_t text_n, const char *before);

extern const struct cel_lib cel_lib_ops, cel_lib_convert, cel_lib_time, cel_lib_text;
