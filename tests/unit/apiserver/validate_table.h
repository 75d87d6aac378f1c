/* validate_table.h - rows of documents and what the rules of their kind have against them. */
#pragma once

#include "../object/docs.h"

#include "apiserver/registry/validate/validate_kinds.h"
#include "object/decode.h"

#include <stdlib.h>

/* Decodes, defaults and validates as a write does (without metadata); the errors behind
 * "is invalid: ", or "" when valid. */
static inline const char *errors(struct arena *a, const struct resource *r, const char *text, const char *old_text,
				 const char *sub)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v, *old = NULL;
	validate_kind_fn *fn = validate_kind_for(r);
	struct field_errs fe;

	assert_non_null(fn);
	v = decode_typed(a, r->schema, doc(a, text), NULL, &err);
	if (!v)
		fail_msg("%s: %s", text, err_msg(&err));
	default_typed(a, r->schema, v);
	if (old_text) {
		old = decode_typed(a, r->schema, doc(a, old_text), NULL, &err);
		assert_non_null(old);
		default_typed(a, r->schema, old);
	}
	field_errs_init(&fe, a);
	fn(&fe, v, old, sub);
	if (field_errs_to_err(&fe, r, SV("x"), &err) == 0)
		return "";
	return arena_strdup(a, strstr(err_msg(&err), "is invalid: ") + strlen("is invalid: "));
}

struct kind_case {
	const struct resource *r;
	const char *doc, *old, *sub, *want; /* want NULL: valid */
};

static inline void run(const struct kind_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *got = errors(&a, cases[i].r, cases[i].doc, cases[i].old, cases[i].sub);
		const char *want = cases[i].want ? unquote(&a, cases[i].want) : "";

		if (strcmp(unquote(&a, got), want) != 0)
			fail_msg("%s\ngot  %s\nwant %s", cases[i].doc, got, want);
	}
}
