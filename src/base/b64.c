#include "base/b64.h"

#define COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char standard[] = COMMON "+/", url[] = COMMON "-_";

/* To out, which has room for n / 3 * 4 + 4 bytes; returns how many were written. */
static size_t b64_encode_with(char *out, const char *digits, bool padded, struct sv s)
{
	const unsigned char *in = (const unsigned char *)s.p;
	char *at = out;

	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v =
		    (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);

		*at++ = digits[v >> 18 & 63];
		*at++ = digits[v >> 12 & 63];
		if (left > 1 || padded)
			*at++ = left > 1 ? digits[v >> 6 & 63] : '=';
		if (left > 2 || padded)
			*at++ = left > 2 ? digits[v & 63] : '=';
	}
	return (size_t)(at - out);
}

static size_t b64_room_for(struct sv bytes)
{
	BUG_ON(bytes.n > SIZE_MAX / 2);
	return bytes.n / 3 * 4 + 5;
}

void b64_add(struct buf *b, struct sv bytes)
{
	char four[4];

	for (size_t i = 0; i < bytes.n; i += 3)
		buf_add(b, four, b64_encode_with(four, standard, true, sv_sub(bytes, i, 3)));
}

static struct sv encode_new(struct arena *a, const char *digits, bool padded, struct sv bytes)
{
	char *out = arena_alloc(a, b64_room_for(bytes));
	size_t n = b64_encode_with(out, digits, padded, bytes);

	out[n] = '\0';
	return sv_make(out, n);
}

struct sv b64_encode(struct arena *a, struct sv bytes)
{
	return encode_new(a, standard, true, bytes);
}

struct sv b64url_encode(struct arena *a, struct sv bytes)
{
	return encode_new(a, url, false, bytes);
}

static int b64_value_of(char c, const char *digits)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == digits[62] ? 62 : c == digits[63] ? 63 : -1;
}

/* Appends the bytes to out (NULL: only checks), which has room for text.n / 4 * 3 + 3. */
static ssize_t b64_decode_with(struct sv text, const char *digits, bool padded, char *out, size_t *ret_n)
{
	size_t n_digits = 0, pads = 0, n = 0;
	uint32_t v = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		int d;

		if (c == '\n' || c == '\r')
			continue;
		if (c == '=') {
			if (n_digits % 4 < 2 || ++pads > 4 - n_digits % 4)
				return (ssize_t)i;
			continue;
		}
		d = b64_value_of(c, digits);
		if (pads || d < 0)
			return (ssize_t)i;
		v = v << 6 | (uint32_t)d;
		/* Four digits are 24 bits; each but the first completes a byte. */
		if (n_digits++ % 4 > 0) {
			if (out)
				out[n] = (char)(v >> (6 - 2 * ((n_digits - 1) % 4)) & 0xff);
			n++;
		}
	}
	if ((padded || pads ? (n_digits + pads) % 4 : n_digits % 4 == 1) != 0)
		return (ssize_t)text.n;
	if (ret_n)
		*ret_n = n;
	return -1;
}

ssize_t b64_check(struct sv text)
{
	return b64_decode_with(text, standard, true, NULL, NULL);
}

static bool decode_new(struct arena *a, struct sv text, const char *digits, bool padded, struct sv *ret)
{
	char *out = arena_alloc(a, text.n / 4 * 3 + 4);
	size_t n;

	if (b64_decode_with(text, digits, padded, out, &n) >= 0)
		return false;
	out[n] = '\0';
	*ret = sv_make(out, n);
	return true;
}

bool b64_decode(struct arena *a, struct sv text, struct sv *ret)
{
	return decode_new(a, text, standard, true, ret);
}

bool b64url_decode(struct arena *a, struct sv text, struct sv *ret)
{
	return decode_new(a, text, url, false, ret);
}

bool b64url_decode_exact(struct arena *a, struct sv text, struct sv *ret)
{
	return b64url_decode(a, text, ret) && sv_eq(b64url_encode(a, *ret), text);
}
