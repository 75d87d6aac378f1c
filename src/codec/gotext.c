/* gotext.c - documents as Go prints them with %v: error texts that clients read hold such. */
#include "codec/doc.h"

#include "base/buf.h"
#include "codec/json.h"

static void gotext_add(struct buf *b, const struct val *v)
{
	bool first = true;

	switch (val_type(v)) {
	case VAL_NULL:
		buf_adds(b, "<nil>");
		return;
	case VAL_STR:
		buf_addsv(b, val_str(v));
		return;
	case VAL_LIST:
		buf_addc(b, '[');
		VAL_EACH(v, it) {
			if (!first)
				buf_addc(b, ' ');
			first = false;
			gotext_add(b, it);
		}
		buf_addc(b, ']');
		return;
	case VAL_MAP:
		buf_adds(b, "map[");
		VAL_EACH_MEMBER(v, m) {
			buf_printf(b, "%s%.*s:", first ? "" : " ", SV_ARG(m.key));
			first = false;
			gotext_add(b, m.value);
		}
		buf_addc(b, ']');
		return;
	default:
		json_encode(b, v);
	}
}

struct sv val_go_text(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	gotext_add(&b, val_sorted(a, v));
	return arena_sv(a, buf_sv(&b));
}
