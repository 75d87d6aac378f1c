/* vec.h - a growing array of any type, as macros over a small struct.
 *
 *	VEC(int) v = VEC_INIT;
 *	vec_push(&v, 3);
 *	for (size_t i = 0; i < v.n; i++) use(v.p[i]);
 *	vec_release(&v);
 */
#pragma once

#include "base/base.h"

#include <stdlib.h>

#define VEC(type)              \
	struct {               \
		type *p;       \
		size_t n, cap; \
	}
#define VEC_INIT           \
	{                  \
		NULL, 0, 0 \
	}

#define vec_push(v, item)                                                      \
	do {                                                                   \
		if ((v)->n == (v)->cap) {                                      \
			(v)->cap = (v)->cap ? (v)->cap * 2 : 8;                \
			BUG_ON((v)->cap > SIZE_MAX / 2 / sizeof(*(v)->p));     \
			(v)->p = xrealloc((v)->p, (v)->cap * sizeof(*(v)->p)); \
		}                                                              \
		(v)->p[(v)->n++] = (item);                                     \
	} while (0)

#define vec_pop(v) ((v)->p[--(v)->n])
#define vec_last(v) ((v)->p[(v)->n - 1])

/* Removes entry i in order; _swap fills the hole with the last entry instead. */
#define vec_remove(v, i)                                                                       \
	do {                                                                                   \
		size_t at_ = (i);                                                              \
		BUG_ON(at_ >= (v)->n);                                                         \
		memmove((v)->p + at_, (v)->p + at_ + 1, ((v)->n - at_ - 1) * sizeof(*(v)->p)); \
		(v)->n--;                                                                      \
	} while (0)
#define vec_remove_swap(v, i)                   \
	do {                                    \
		size_t at_ = (i);               \
		BUG_ON(at_ >= (v)->n);          \
		(v)->p[at_] = (v)->p[--(v)->n]; \
	} while (0)

/* Gives back room that many entries needed and those that are left do not. May move them. */
#define vec_tighten(v)                                                         \
	do {                                                                   \
		if ((v)->cap > 64 && (v)->n < (v)->cap / 8) {                  \
			(v)->cap /= 4;                                         \
			(v)->p = xrealloc((v)->p, (v)->cap * sizeof(*(v)->p)); \
		}                                                              \
	} while (0)

#define vec_clear(v) ((v)->n = 0)
#define vec_release(v)                 \
	do {                           \
		free((v)->p);          \
		(v)->p = NULL;         \
		(v)->n = (v)->cap = 0; \
	} while (0)
