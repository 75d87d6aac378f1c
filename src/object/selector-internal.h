/* selector-internal.h - what selector_label.c reads and selector_match.c matches. */
#pragma once

#include "object/selector.h"

enum op { OP_IN, OP_NOT_IN, OP_EQUALS, OP_DOUBLE_EQUALS, OP_NOT_EQUALS, OP_EXISTS, OP_NOT_EXISTS, OP_GT, OP_LT };

struct requirement {
	struct sv key;
	enum sym sym; /* of key, or SYM_NONE */
	enum op op;
	struct sv *values; /* sorted */
	size_t n;
	int64_t bound; /* OP_GT, OP_LT */
};

struct selector {
	bool nothing;
	struct requirement *reqs; /* sorted by key */
	size_t n;
	/* Of many requirements: what they come to for each key, sorted by it (selector_ready()). */
	struct key_rule *rules;
	size_t n_rules, n_present; /* and how many of them want a label */
};

/* To be called once the requirements are there: from then on matching costs as much as there are labels, however many
 * requirements there are. */
void selector_ready(struct arena *a, struct selector *s);
