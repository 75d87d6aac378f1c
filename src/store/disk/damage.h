/* damage.h - the words for a file that is not what was written. */
#pragma once

#include "base/err.h"

/* ERR_STORE_READ: file, offset, what is wrong there, and what to do about it. Returns -1. */
int damage_set(struct err *err, const char *path, uint64_t offset, const char *fmt, ...) _printf_(4, 5);
/* The same for a file that is missing or another's as a whole. */
int damage_file(struct err *err, const char *path, const char *fmt, ...) _printf_(3, 4);
