/* fieldPath: dots and single-quoted names in brackets, no numbers. Each step must be a property, or any name where the
 * schema is that of a map. */
#include "object/structural/rules.h"

#include "base/buf.h"

/* The text between two single quotes that *s begins with, without its escapes. */
static bool path_quoted(struct sv *s, struct buf *ret)
{
	static const char letters[] = "abfnrtv'\\", chars[] = "\a\b\f\n\r\t\v'\\";

	if (!s->n || s->p[0] != '\'')
		return false;
	for (size_t i = 1; i < s->n; i++) {
		const char *letter;

		if (s->p[i] == '\'') {
			*s = sv_sub(*s, i + 1, s->n);
			return true;
		}
		if (s->p[i] != '\\') {
			buf_addc(ret, s->p[i]);
			continue;
		}
		letter = i + 1 < s->n && s->p[i + 1] ? strchr(letters, s->p[++i]) : NULL;
		if (!letter)
			return false;
		buf_addc(ret, chars[letter - letters]);
	}
	return false;
}

static bool path_plain(struct sv *s, struct buf *ret)
{
	size_t n = 0;

	while (n < s->n && !strchr(".[]", s->p[n]))
		n++;
	buf_add(ret, s->p, n);
	*s = sv_sub(*s, n, s->n);
	return n > 0;
}

static bool path_step(struct sv *s, struct buf *name)
{
	bool quoted = s->p[0] == '[';

	if (!quoted && s->p[0] != '.')
		return false;
	*s = sv_sub(*s, 1, s->n);
	if (!(quoted ? path_quoted(s, name) : path_plain(s, name)))
		return false;
	if (!quoted)
		return true;
	if (!s->n || s->p[0] != ']')
		return false;
	*s = sv_sub(*s, 1, s->n);
	return true;
}

bool rule_path(struct arena *a, const struct snode *n, struct sv json_path, struct sv *ret)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, name = BUF_INIT;
	struct sv s = json_path;

	while (s.n) {
		bool named = val_len(val_member(n->src, F_properties)) > 0;

		buf_clear(&name);
		if (!path_step(&s, &name))
			return false;
		n = named ? snode_property(n, buf_sv(&name)) : n->additional;
		if (!n)
			return false;
		if (!named)
			buf_printf(&out, "[%s]", buf_cstr(&name));
		else
			buf_printf(&out, "%s%s", out.n ? "." : "", buf_cstr(&name));
	}
	*ret = arena_sv(a, buf_sv(&out));
	return true;
}
