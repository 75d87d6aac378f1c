/* lib-internal.h - shared by the libraries of functions (lib_*.c); nobody else includes it. */
#pragma once

#include "object/cel/func.h"

#define LIB_PATTERN_MAX 128 /* the longest expression behind a named format, for estimates */

/* Before made bytes are put into the arena by a call that upstream counts paid units for: what is more than so many
 * units would make of text, is work that the run has a bound of. 0 or -1. */
int lib_pay(struct cel_call *c, uint64_t made, uint64_t paid);

/* Byte offset of the code point at index i of s, at most s.n. */
size_t lib_rune_offset(struct sv s, size_t i);
/* Of the first match of needle, at from or later, or -1. Linear. */
ssize_t lib_find(struct sv s, struct sv needle, size_t from);

/* Text of a value as string(x) makes it; false: such a value has none. */
bool lib_text(struct arena *a, const struct cel_value *v, struct buf *b);

/* A list of n strings. */
struct cel_value lib_strings(struct arena *a, const struct sv *s, size_t n);

/* Estimates: 1 for each 10 of args[0]; the result has its size, or nothing is known of it. */
cel_estimate_fn lib_est_text, lib_est_read;

extern const struct cel_lib cel_lib_strings, cel_lib_lists, cel_lib_list_ext, cel_lib_sets, cel_lib_regex, cel_lib_urls,
    cel_lib_quantity, cel_lib_ip, cel_lib_cidr, cel_lib_format, cel_lib_semver, cel_lib_authz, cel_lib_jsonpatch,
    cel_lib_optional;
