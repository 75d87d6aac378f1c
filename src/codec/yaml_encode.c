/* Documents to YAML for people: block style, sequences not indented under their key, as kubectl
 * prints them. Whatever is written is read back to an equal document by yaml_decode(). */
#include "codec/yaml.h"

#include "codec/json.h"
#include "codec/yaml_scalar.h"

static void indent(struct buf *b, int n)
{
	for (int i = 0; i < n; i++)
		buf_addc(b, ' ');
}

/* A line of a literal block may hold tabs and any printable text. */
static bool literal_safe(struct sv s)
{
	if (s.p[0] == ' ' || s.p[0] == '\n' || s.p[0] == '\t')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i], next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			return false;
		/* line breaks to YAML alone, and what its reader refuses */
		if ((c == 0xc2 && next < 0xa0) || (c == 0xe2 && next == 0x80) || (c == 0xef && next >= 0xbb))
			return false;
	}
	return true;
}

static void double_quoted(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		size_t left = s.n - i;

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c == '\r')
			buf_adds(b, "\\r");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else if (c == 0xc2 && left > 1 && (unsigned char)s.p[i + 1] < 0xa0)
			buf_printf(b, "\\x%02x", (unsigned char)s.p[++i]);
		else if ((c == 0xe2 && left > 2 && (unsigned char)s.p[i + 1] == 0x80) ||
			 (c == 0xef && left > 2 && (unsigned char)s.p[i + 1] >= 0xbb)) {
			buf_printf(b, "\\u%04x", (c & 15u) << 12 | (s.p[i + 1] & 63u) << 6 | (s.p[i + 2] & 63u));
			i += 2;
		} else {
			buf_addc(b, (char)c);
		}
	}
	buf_addc(b, '"');
}

/* On one line. */
static void flow_string(struct buf *b, struct sv s)
{
	if (yaml_plain_is_string(s)) {
		buf_addsv(b, s);
		return;
	}
	double_quoted(b, s);
}

static void yaml_scalar(struct buf *b, const struct val *v, int at)
{
	struct sv s = val_str(v), rest, line;

	if (val_type(v) != VAL_STR) {
		json_encode(b, v);
		return;
	}
	if (!memchr(s.p, '\n', s.n) || !literal_safe(s)) {
		flow_string(b, s);
		return;
	}
	buf_addc(b, '|');
	if (s.p[s.n - 1] != '\n')
		buf_addc(b, '-');
	else if (s.n > 1 && s.p[s.n - 2] == '\n')
		buf_addc(b, '+');
	rest = s.p[s.n - 1] == '\n' ? sv_make(s.p, s.n - 1) : s;
	while (sv_split(&rest, '\n', &line)) {
		buf_addc(b, '\n');
		if (line.n)
			indent(b, MAX(at, 2)); /* at the root, too: text there could read as YAML */
		buf_addsv(b, line);
	}
}

static void node(struct buf *b, const struct val *v, int at, bool first_inline);

static bool is_block(const struct val *v)
{
	return (val_type(v) == VAL_MAP || val_type(v) == VAL_LIST) && v->n > 0;
}

/* What follows "key:". */
static void member_value(struct buf *b, const struct val *v, int at)
{
	if (is_block(v)) {
		buf_addc(b, '\n');
		node(b, v, v->type == VAL_MAP ? at + 2 : at, false);
		return;
	}
	buf_addc(b, ' ');
	yaml_scalar(b, v, at + 2);
	buf_addc(b, '\n');
}

static void yaml_list_item(struct buf *b, const struct val *v, int at)
{
	buf_adds(b, "- ");
	node(b, v, at + 2, true);
}

/* first_inline: the first line begins where the buffer stands, behind "- ". */
static void node(struct buf *b, const struct val *v, int at, bool first_inline)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;

	if (val_type(v) == VAL_RAW)
		v = json_decode(&tmp, val_raw(v), NULL, NULL);
	if (!is_block(v)) {
		if (!first_inline)
			indent(b, at);
		yaml_scalar(b, v, at);
		buf_addc(b, '\n');
		return;
	}
	if (v->type == VAL_LIST) {
		for (size_t i = 0; i < v->n; i++) {
			if (i || !first_inline)
				indent(b, at);
			yaml_list_item(b, &v->items[i], at);
		}
		return;
	}
	VAL_EACH_MEMBER(v, m) {
		const struct val *value = m.value;

		if (!first_inline)
			indent(b, at);
		first_inline = false;
		flow_string(b, m.key);
		buf_addc(b, ':');
		if (val_type(value) == VAL_RAW)
			value = json_decode(&tmp, val_raw(value), NULL, NULL);
		member_value(b, value, at);
	}
}

void yaml_encode(struct buf *b, const struct val *v)
{
	node(b, v, 0, false);
}

void yaml_encode_item(struct buf *b, const struct val *v)
{
	yaml_list_item(b, v, 0);
}
