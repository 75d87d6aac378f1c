/* CBOR to documents, item by item. Lengths are believed when what follows is as long. */
#include "base/b64.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "codec/cbor-internal.h"
#include "codec/cbor.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"

#include <math.h>

#define TAG_TIME 0
#define TAG_SECONDS 1
#define TAG_BIG 2
#define TAG_BIG_NEGATIVE 3
#define TAG_BASE64URL 21
#define TAG_BASE64 22
#define TAG_BASE16 23

struct cbor_reader {
	struct arena *a;
	const unsigned char *at, *end;
	struct budget *values;
	struct err *err;
	int depth;
	bool unpaid; /* below fieldsV1: values are not counted */
};

struct cbor_item {
	enum cbor_major major;
	unsigned info; /* CBOR_INDEFINITE, or how n was said */
	uint64_t n;
};

static struct val *cbor_value(struct cbor_reader *r, uint64_t tag);
#define NO_TAG UINT64_MAX

static int cbor_bad(struct cbor_reader *r, const char *what)
{
	return err_set(r->err, ERR_BAD_REQUEST, "cbor: %s", what);
}

static struct val *cbor_none(struct cbor_reader *r, const char *what)
{
	cbor_bad(r, what);
	return NULL;
}

static int cbor_next(struct cbor_reader *r, struct cbor_item *ret)
{
	unsigned extra;

	if (r->at == r->end)
		return cbor_bad(r, "unexpected EOF");
	*ret = (struct cbor_item){ .major = (enum cbor_major)(*r->at >> 5), .info = *r->at & 31 };
	r->at++;
	ret->n = ret->info;
	if (ret->info < CBOR_ONE)
		return 0;
	if (ret->info == CBOR_INDEFINITE)
		return ret->major >= CBOR_BYTES && ret->major != CBOR_TAG
			   ? 0
			   : cbor_bad(r, "an item of this type has no indefinite length");
	if (ret->info > CBOR_EIGHT)
		return cbor_bad(r, "an item's head is malformed");
	extra = 1u << (ret->info - CBOR_ONE);
	if ((size_t)(r->end - r->at) < extra)
		return cbor_bad(r, "unexpected EOF");
	for (ret->n = 0; extra; extra--)
		ret->n = ret->n << 8 | *r->at++;
	return 0;
}

static bool cbor_is_break(struct cbor_reader *r)
{
	if (r->at == r->end || *r->at != (CBOR_OTHER << 5 | CBOR_INDEFINITE))
		return false;
	r->at++;
	return true;
}

/* --- strings --- */

/* The bytes of a string, which are in pieces when its length is indefinite. A view of the text, or in the arena. */
static int cbor_bytes(struct cbor_reader *r, const struct cbor_item *it, struct sv *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct cbor_item piece;

	if (it->info != CBOR_INDEFINITE) {
		if (it->n > (size_t)(r->end - r->at))
			return cbor_bad(r, "unexpected EOF");
		*ret = sv_make((const char *)r->at, (size_t)it->n);
		r->at += it->n;
		return it->major != CBOR_TEXT || utf8_valid(*ret) ? 0 : cbor_bad(r, "invalid UTF-8 string");
	}
	while (!cbor_is_break(r)) {
		struct sv bytes;

		if (cbor_next(r, &piece) < 0)
			return -1;
		if (piece.major != it->major || piece.info == CBOR_INDEFINITE)
			return cbor_bad(r, "a string's piece is of another type");
		if (cbor_bytes(r, &piece, &bytes) < 0)
			return -1;
		buf_addsv(&b, bytes);
	}
	*ret = arena_sv(r->a, buf_sv(&b));
	return 0;
}

static struct sv cbor_hex(struct arena *a, struct sv bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *text = arena_alloc(a, 2 * bytes.n + 1);

	for (size_t i = 0; i < bytes.n; i++) {
		text[2 * i] = digits[(unsigned char)bytes.p[i] >> 4];
		text[2 * i + 1] = digits[(unsigned char)bytes.p[i] & 15];
	}
	return sv_make(text, 2 * bytes.n);
}

static struct sv cbor_readable(struct arena *a, struct sv s)
{
	char *repaired;

	if (utf8_valid(s))
		return arena_sv(a, s);
	repaired = arena_alloc(a, 3 * s.n);
	return sv_make(repaired, utf8_repair(s, repaired));
}

static struct val *cbor_text(struct cbor_reader *r, const struct cbor_item *it, uint64_t tag)
{
	struct sv s;

	if (cbor_bytes(r, it, &s) < 0)
		return NULL;
	if (it->major == CBOR_BYTES && tag == TAG_BASE64)
		s = b64_encode(r->a, s);
	else if (it->major == CBOR_BYTES && tag == TAG_BASE64URL)
		s = b64url_encode(r->a, s);
	else if (it->major == CBOR_BYTES && tag == TAG_BASE16)
		s = cbor_hex(r->a, s);
	else
		s = cbor_readable(r->a, s);
	return val_new_str_ref(r->a, s);
}

/* --- numbers and words --- */

static double cbor_half(unsigned u)
{
	int exponent = u >> 10 & 31;
	double fraction = u & 0x3ff, v;

	if (exponent == 31)
		return fraction > 0 ? NAN : (u & 0x8000) ? -INFINITY : INFINITY;
	v = exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24);
	return u & 0x8000 ? -v : v;
}

static struct val *cbor_number(struct cbor_reader *r, const struct cbor_item *it)
{
	uint32_t u32 = (uint32_t)it->n;
	float single;
	double v;

	if (it->info == 25) {
		v = cbor_half((unsigned)it->n);
	} else if (it->info == 26) {
		memcpy(&single, &u32, sizeof(single));
		v = (double)single;
	} else {
		memcpy(&v, &it->n, sizeof(v));
	}
	return isfinite(v) ? val_new_float(r->a, v) : cbor_none(r, "a number is not finite");
}

static struct val *cbor_other(struct cbor_reader *r, const struct cbor_item *it)
{
	if (it->info > CBOR_ONE && it->info <= CBOR_EIGHT)
		return cbor_number(r, it);
	switch (it->info == CBOR_ONE ? 0 : it->n) {
	case CBOR_FALSE:
	case CBOR_TRUE:
		return val_new_bool(r->a, it->n == CBOR_TRUE);
	case CBOR_NULL:
	case CBOR_UNDEFINED:
		return val_new_null(r->a);
	default:
		return cbor_none(r, it->info == CBOR_INDEFINITE ? "unexpected \"break\" code"
								: "a simple value that JSON does not have");
	}
}

/* Seconds since 1970 as the text that a time is. */
static struct val *cbor_seconds(struct cbor_reader *r)
{
	struct val *v = cbor_value(r, NO_TAG);
	char text[TIME_TEXT_MAX];

	if (!v)
		return NULL;
	if (v->type != VAL_INT || v->i < TIME_SEC_MIN || v->i > TIME_SEC_MAX)
		return cbor_none(r, "a time is out of range");
	return val_new_str(r->a, time_format_sec(v->i, 0, false, text));
}

/* --- lists and maps --- */

static struct val *cbor_list(struct cbor_reader *r, const struct cbor_item *it)
{
	struct val *list = val_new_list(r->a), *v;
	bool open = it->info == CBOR_INDEFINITE;

	if (!open && it->n > (size_t)(r->end - r->at))
		return cbor_none(r, "unexpected EOF");
	for (uint64_t i = 0; open ? !cbor_is_break(r) : i < it->n; i++) {
		v = cbor_value(r, NO_TAG);
		if (!v)
			return NULL;
		val_push(r->a, list, v);
	}
	return list;
}

static int cbor_key(struct cbor_reader *r, struct sv *ret)
{
	struct cbor_item it;

	if (cbor_next(r, &it) < 0)
		return -1;
	if (it.major != CBOR_BYTES && it.major != CBOR_TEXT)
		return cbor_bad(r, "a map's key is no string");
	if (cbor_bytes(r, &it, ret) < 0)
		return -1;
	*ret = cbor_readable(r->a, *ret);
	return 0;
}

static int cbor_members(struct cbor_reader *r, const struct cbor_item *it, struct val_index *x)
{
	bool open = it->info == CBOR_INDEFINITE, unpaid = r->unpaid;

	for (uint64_t i = 0; open ? !cbor_is_break(r) : i < it->n; i++) {
		struct val *v;
		struct sv key;

		if (cbor_key(r, &key) < 0)
			return -1;
		if (val_index_get(x, key))
			return err_set(r->err, ERR_BAD_REQUEST,
				       "cbor: found duplicate map key \"%.*s\" at map element "
				       "index %" PRIu64,
				       (int)MIN(key.n, (size_t)256), key.p, i);
		r->unpaid = unpaid || sv_is(key, "fieldsV1");
		v = cbor_value(r, NO_TAG);
		r->unpaid = unpaid;
		if (!v)
			return -1;
		val_index_set(x, r->a, key, v);
	}
	return 0;
}

static struct val *cbor_map(struct cbor_reader *r, const struct cbor_item *it)
{
	struct val *map = val_new_map(r->a);
	_cleanup_(val_index_release) struct val_index x = val_index_changing(map);

	if (it->info != CBOR_INDEFINITE && it->n > (size_t)(r->end - r->at) / 2)
		return cbor_none(r, "unexpected EOF");
	return cbor_members(r, it, &x) < 0 ? NULL : map;
}

/* --- any --- */

static struct val *cbor_tagged(struct cbor_reader *r, uint64_t tag)
{
	if (tag == TAG_BIG || tag == TAG_BIG_NEGATIVE)
		return cbor_none(r, "a number is too large for an int64");
	return tag == TAG_SECONDS ? cbor_seconds(r) : cbor_value(r, tag);
}

static struct val *cbor_item(struct cbor_reader *r, const struct cbor_item *it, uint64_t tag)
{
	switch (it->major) {
	case CBOR_UINT:
	case CBOR_NEGATIVE:
		if (it->n > INT64_MAX)
			return cbor_none(r, "a number is too large for an int64");
		return val_new_int(r->a, it->major == CBOR_UINT ? (int64_t)it->n : -1 - (int64_t)it->n);
	case CBOR_BYTES:
	case CBOR_TEXT:
		return cbor_text(r, it, tag);
	case CBOR_LIST:
		return cbor_list(r, it);
	case CBOR_MAP:
		return cbor_map(r, it);
	case CBOR_TAG:
		return cbor_tagged(r, it->n);
	case CBOR_OTHER:
		return cbor_other(r, it);
	}
	return NULL;
}

/* tag: of what is next. */
static struct val *cbor_value(struct cbor_reader *r, uint64_t tag)
{
	struct cbor_item it;
	struct val *v;

	if (cbor_next(r, &it) < 0)
		return NULL;
	if (it.major != CBOR_TAG && !r->unpaid && budget_spend(r->values, 1, r->err) < 0)
		return NULL;
	if (it.major < CBOR_LIST || it.major == CBOR_OTHER)
		return cbor_item(r, &it, tag);
	/* Tags in tags are levels, too. */
	if (r->depth >= CBOR_DEPTH_MAX)
		return cbor_none(r, "exceeded max nested level 64");
	r->depth++;
	v = cbor_item(r, &it, tag);
	r->depth--;
	return v;
}

struct val *cbor_decode(struct arena *a, struct sv bytes, struct budget *values, struct err *err)
{
	const unsigned char *p = (const unsigned char *)(bytes.p ? bytes.p : "");
	struct cbor_reader r = { .a = a, .at = p, .end = p + bytes.n, .values = values, .err = err };
	struct val *v = cbor_value(&r, NO_TAG);

	if (v && r.at != r.end) {
		err_set(err, ERR_BAD_REQUEST, "cbor: %zu bytes of extraneous data starting at index %zu",
			(size_t)(r.end - r.at), (size_t)(r.at - p));
		return NULL;
	}
	return v;
}
