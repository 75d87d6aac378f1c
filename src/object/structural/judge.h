/* judge.h - validation of values, while it goes on; only for the files of this folder. */
#pragma once

#include "object/structural/correlate.h"

/* Steps of one object: values looked at, by every schema of every junctor. */
#define STRUCTURAL_STEPS_MAX ((size_t)10 * 1000 * 1000)
/* What is kept of errors, texts and all; there may be more, which count. */
#define JUDGE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct judge {
	struct arena *a;
	VEC(struct field_err) errs; /* on the heap; those of alternatives that were not taken are dropped again */
	size_t bytes;		    /* of all that were ever made */
	size_t steps;
};

/* What one schema found in one value, beside the errors it left: how well it fits, by which upstream chooses among
 * alternatives, and whether the value is known to differ from the old one. */
struct verdict {
	size_t matches;
	bool differs;
};

/* True when there is no more to be spent: all is said then. */
static inline bool judge_over(const struct judge *j)
{
	return j->steps > STRUCTURAL_STEPS_MAX;
}

/* at: the value's path, NULL: the object itself. */
void judge_add(struct judge *j, enum field_err_type type, const struct fpath *at, const struct val *value,
	       const char *fmt, ...) _printf_(5, 6);
/* "PATH in body SAID", as most are. */
void judge_say(struct judge *j, enum field_err_type type, const struct fpath *at, const struct val *value,
	       const char *fmt, ...) _printf_(5, 6);
/* About all of an alternative: `"PATH" SAID`, of no field. */
void judge_whole(struct judge *j, const struct fpath *at, const char *fmt, ...) _printf_(3, 4);

/* What schema n has against v; its errors are the last ones of j. old: what v was (correlate.h), NULL: nothing. */
struct verdict judge_value(struct judge *j, const struct snode *n, const struct val *v, const struct val *old,
			   const struct fpath *at);

/* What is about one value alone; each returns matches. */
size_t judge_type(struct judge *j, const struct snode *n, const struct val *v, const struct fpath *at);
size_t judge_text(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at);
size_t judge_number(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at);
void judge_enum(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at);

/* All errors of a whole value to fe; its own path is empty, and where it stands (prefix, or NULL) is put in front of
 * the fields alone, as upstream does. */
void judge_root(struct field_errs *fe, const struct snode *n, const struct val *doc, const struct val *old,
		const struct fpath *prefix);
