/* config_reader.h - configurations of the API server that people write: apiserver.config.k8s.io/v1 and v1beta1.
 *
 *	conf_document() ─▶ conf_shape(), conf_text(), conf_wrong() ... for each part ─▶ conf_end()
 *
 * A document is judged as a whole: every error at its path ("jwt[0].issuer.url"), in upstream's words, a hundred of
 * them at most. Members that are not known are errors.
 *
 * Threads: a struct conf belongs to one. Paths and texts live in its arena.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/cel/cel.h"

struct conf {
	struct arena *a;
	const char *kind;
	struct buf wrong; /* as a list of upstream's is printed */
	size_t n;	  /* errors */
};
void conf_release(struct conf *c); /* for _cleanup_ */

/* The document of c's kind that text is, in the arena a; NULL with ERR_INVALID. */
const struct val *conf_document(struct conf *c, struct arena *a, struct sv text, struct err *err);
/* The document of a file, and what kind it must be; for configurations that are judged where they are used. NULL: *err
 * says why, and of which file. */
const struct val *conf_file(struct arena *a, const char *path, const char *kind, struct err *err);
/* 0: nothing was wrong. */
int conf_end(struct conf *c, struct err *err);

void conf_wrong(struct conf *c, struct sv path, const char *fmt, ...) _printf_(3, 4);
void conf_invalid(struct conf *c, struct sv path, struct sv value, const char *why);

struct sv conf_at(struct conf *c, struct sv path, const char *member);
struct sv conf_item(struct conf *c, struct sv path, size_t i);

/* NULL when it is absent or null. */
const struct val *conf_member(const struct val *v, const char *name);
/* v is a map of no other members than those, each of the type that its first letter says: s string, b boolean, m map,
 * l list. */
void conf_shape(struct conf *c, const struct val *v, struct sv path, const char *const *members);
struct sv conf_text(struct conf *c, const struct val *v, const char *name); /* "" when it is absent */

/* The caller's; NULL: it does not compile, which is told. rule: it must be a boolean. */
struct cel_program *conf_compile(struct conf *c, struct sv path, const struct cel_env *env, struct sv text, bool rule);
