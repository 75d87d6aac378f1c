/* job_indexes.h - sets of completion indexes, and their text: "0-3,5". Below JOB_INDEXES_MAX. */
#pragma once

#include "base/arena.h"

#define JOB_INDEXES_MAX 100000

/* Sets has[i] for each i of the text below n; malformed parts are left out. */
void indexes_parse(struct sv text, bool *has, int64_t n);
struct sv indexes_format(struct arena *a, const bool *has, int64_t n);
int64_t indexes_count(const bool *has, int64_t n);
