/* Field selectors: fields.ParseSelector. Terms are separated by commas and split at the first
 * "!=", "==" or "="; in values a backslash escapes itself, the comma and the equals sign.
 * Which labels a resource supports is the registry's business. */
#include "object/selector.h"

#include "base/vec.h"

#include <stdlib.h>

/* Cuts the text before the first comma that is not escaped off *rest. */
static struct sv next_term(struct sv *rest)
{
	struct sv head;
	size_t i = 0;

	for (; i < rest->n && rest->p[i] != ','; i++)
		i += rest->p[i] == '\\';
	i = MIN(i, rest->n);
	head = sv_make(rest->p, i);
	*rest = i < rest->n ? sv_make(rest->p + i + 1, rest->n - i - 1) : SV_NULL;
	return head;
}

static bool split_term(struct sv s, struct field_term *t)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t op = s.p[i] == '=' ? 1 : 0;

		if (i + 1 < s.n && s.p[i + 1] == '=' && (s.p[i] == '=' || s.p[i] == '!'))
			op = 2;
		if (!op)
			continue;
		t->negated = s.p[i] == '!';
		t->label = sv_make(s.p, i);
		t->value = sv_make(s.p + i + op, s.n - i - op);
		return true;
	}
	return false;
}

static int selector_field_unescape(struct arena *a, struct sv *value, struct err *err)
{
	char *out = arena_alloc(a, value->n + 1);
	size_t n = 0;

	for (size_t i = 0; i < value->n; i++) {
		char c = value->p[i];

		if (c == ',' || c == '=')
			return err_set(err, ERR_BAD_REQUEST, "invalid field selector: unescaped character in value: %d",
				       c);
		if (c == '\\') {
			size_t len = 1;

			if (++i < value->n && (value->p[i] == '\\' || value->p[i] == ',' || value->p[i] == '=')) {
				out[n++] = value->p[i];
				continue;
			}
			/* Show the whole character that follows, not its first byte. */
			while (i + len < value->n && ((unsigned char)value->p[i + len] & 0xc0) == 0x80)
				len++;
			return err_set(err, ERR_BAD_REQUEST, "invalid field selector: invalid escape sequence: \\%.*s",
				       i < value->n ? (int)len : 0, i < value->n ? value->p + i : "");
		}
		out[n++] = c;
	}
	out[n] = '\0';
	*value = sv_make(out, n);
	return 0;
}

struct field_selector *field_selector_parse(struct arena *a, struct sv text, struct err *err)
{
	struct field_selector *fs = ARENA_NEW(a, struct field_selector);
	VEC(struct sv) pieces = VEC_INIT;
	struct sv rest = text;

	while (rest.n) {
		struct sv piece = next_term(&rest);

		if (piece.n)
			vec_push(&pieces, piece);
	}
	if (pieces.n)
		qsort(pieces.p, pieces.n, sizeof(*pieces.p), sv_order);
	fs->terms = ARENA_ARRAY(a, struct field_term, pieces.n);
	for (size_t i = 0; i < pieces.n; i++) {
		struct field_term *t = &fs->terms[fs->n++];

		if (!split_term(pieces.p[i], t)) {
			err_set(err, ERR_BAD_REQUEST, "invalid selector: '%.*s'; can't understand '%.*s'", SV_ARG(text),
				SV_ARG(pieces.p[i]));
			fs = NULL;
			break;
		}
		if (selector_field_unescape(a, &t->value, err) < 0) {
			fs = NULL;
			break;
		}
		t->label = arena_sv(a, t->label);
	}
	vec_release(&pieces);
	return fs;
}
