/* words.h - what Events tell the owners of Ingresses: each once, until it has been otherwise.
 *
 * While a model is made, words are gathered; when all that it is made of was known, they are told. What one run says
 * and the next does not is news again when it comes back.
 *
 * Threads: one at a time.
 */
#pragma once

#include "base/strmap.h"
#include "base/vec.h"
#include "ingress/from_ingress.h"

struct recorder;

struct ing_word {
	const struct obj *ingress;
	const char *reason, *message;
	bool own; /* of this node alone, whoever else tells */
};

struct ing_words {
	VEC(struct ing_word) now; /* of this run; borrowed */
	struct strmap said;	  /* "uid message", and still holds; no values */
};
void ing_words_release(struct ing_words *w);

void ing_words_begin(struct ing_words *w);
/* Message and object live until the run ends. */
void ing_words_add(struct ing_words *w, const struct obj *ingress, const char *reason, const char *message);
/* What holds for all of ours on this node: it says so itself. */
void ing_words_add_all(struct ing_words *w, const struct ing_source *s, const char *reason, const char *message);
/* tells: this node is the one that speaks for all. */
void ing_words_tell(struct ing_words *w, struct arena *a, struct recorder *r, bool tells);
