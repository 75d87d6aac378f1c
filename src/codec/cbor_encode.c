/* Documents to CBOR. */
#include "codec/cbor.h"
#include "codec/cbor-internal.h"
#include "codec/json.h"

#include <math.h>

static void cbor_put(struct buf *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		buf_addc(b, (char)(v >> (8 * i)));
}

static void cbor_head(struct buf *b, enum cbor_major major, uint64_t n)
{
	unsigned extra = n < CBOR_ONE ? 0 : n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : n <= UINT32_MAX ? 4 : 8;
	unsigned info = extra == 0 ? (unsigned)n : extra == 1 ? 24 : extra == 2 ? 25 : extra == 4 ? 26 : 27;

	buf_addc(b, (char)((unsigned)major << 5 | info));
	cbor_put(b, n, extra);
}

void cbor_map_head(struct buf *b, size_t n)
{
	cbor_head(b, CBOR_MAP, n);
}

void cbor_list_head(struct buf *b, size_t n)
{
	cbor_head(b, CBOR_LIST, n);
}

void cbor_string(struct buf *b, struct sv s)
{
	cbor_head(b, CBOR_BYTES, s.n);
	buf_addsv(b, s);
}

/* The 16 bits that are exactly v; false when there are none. v is a float, not NaN. */
static bool half_of(float v, uint16_t *ret)
{
	uint32_t u, fraction, sign;
	int exponent;

	memcpy(&u, &v, sizeof(u));
	sign = u >> 31 << 15;
	exponent = (int)(u >> 23 & 0xff) - 127;
	fraction = u & 0x7fffff;
	if (v == 0) {
		*ret = (uint16_t)sign;
		return true;
	}
	if (exponent >= -14 && exponent <= 15) {
		*ret = (uint16_t)(sign | (uint32_t)(exponent + 15) << 10 | fraction >> 13);
		return (fraction & 0x1fff) == 0;
	}
	if (exponent < -24 || exponent > 15)
		return false;
	/* Too small for an exponent of its own: a number of 2^-24. */
	fraction |= 0x800000;
	exponent = -exponent - 14 + 13;
	*ret = (uint16_t)(sign | fraction >> exponent);
	return (fraction & ((1u << exponent) - 1)) == 0;
}

static void cbor_float(struct buf *b, double v)
{
	float single = fabs(v) <= 3.4028234663852886e38 ? (float)v : 0;
	uint64_t u;
	uint32_t u32;
	uint16_t u16;

	if (!((double)single < v) && !((double)single > v) && !isnan(v)) {
		if (half_of(single, &u16)) {
			buf_addc(b, (char)(CBOR_OTHER << 5 | 25));
			cbor_put(b, u16, 2);
			return;
		}
		memcpy(&u32, &single, sizeof(u32));
		buf_addc(b, (char)(CBOR_OTHER << 5 | 26));
		cbor_put(b, u32, 4);
		return;
	}
	memcpy(&u, &v, sizeof(u));
	buf_addc(b, (char)(CBOR_OTHER << 5 | 27));
	cbor_put(b, u, 8);
}

/* What is kept as text is read for the occasion. */
static void cbor_raw(struct buf *b, const struct val *v)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	cbor_encode(b, json_decode(&a, val_raw(v), &(struct json_opts){ .borrow_text = true }, NULL));
}

void cbor_encode(struct buf *b, const struct val *v)
{
	switch (val_type(v)) {
	case VAL_BOOL:
		buf_addc(b, (char)(CBOR_OTHER << 5 | (v->b ? CBOR_TRUE : CBOR_FALSE)));
		return;
	case VAL_INT:
		if (v->i >= 0)
			cbor_head(b, CBOR_UINT, (uint64_t)v->i);
		else
			cbor_head(b, CBOR_NEGATIVE, ~(uint64_t)v->i);
		return;
	case VAL_FLOAT:
		cbor_float(b, v->d);
		return;
	case VAL_STR:
		cbor_string(b, val_str(v));
		return;
	case VAL_RAW:
		cbor_raw(b, v);
		return;
	case VAL_LIST:
		cbor_list_head(b, val_len(v));
		VAL_EACH(v, one)
			cbor_encode(b, one);
		return;
	case VAL_MAP:
		cbor_map_head(b, val_len(v));
		VAL_EACH_MEMBER(v, m) {
			cbor_string(b, m.key);
			cbor_encode(b, m.value);
		}
		return;
	default:
		buf_addc(b, (char)(CBOR_OTHER << 5 | CBOR_NULL));
		return;
	}
}
