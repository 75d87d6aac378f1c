#include "net/grpc_wire.h"

#include <stdio.h>
#include <stdlib.h>

void grpc_prefix(char out[GRPC_PREFIX_N], size_t n)
{
	out[0] = 0;
	out[1] = (char)(n >> 24);
	out[2] = (char)(n >> 16);
	out[3] = (char)(n >> 8);
	out[4] = (char)n;
}

ssize_t grpc_first(struct sv bytes, size_t max)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t n;

	if (bytes.n < GRPC_PREFIX_N)
		return -1;
	n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (p[0] != 0 || n > max)
		return -2;
	return bytes.n - GRPC_PREFIX_N < n ? -1 : (ssize_t)n;
}

void grpc_timeout_text(char out[GRPC_TIMEOUT_TEXT], int64_t left_ns)
{
	static const struct {
		int64_t ns;
		char unit;
	} units[] = { { NS_PER_US, 'u' }, { NS_PER_MS, 'm' }, { NS_PER_SEC, 'S' }, { 3600 * NS_PER_SEC, 'H' } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t n = MAX(left_ns / units[i].ns, 1);

		if (n <= 99999999) {
			snprintf(out, GRPC_TIMEOUT_TEXT, "%" PRId64 "%c", n, units[i].unit);
			return;
		}
	}
	snprintf(out, GRPC_TIMEOUT_TEXT, "99999999H");
}

int grpc_code_read(struct sv header)
{
	uint64_t code;

	return sv_to_u64(header, &code) && code <= GRPC_CODE_MAX ? (int)code : GRPC_UNKNOWN;
}

char *grpc_message_read(struct sv s)
{
	char *out = xmalloc(s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && s.n - i > 2 && hex_value(s.p[i + 1]) >= 0 && hex_value(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = s.p[i];
		}
	}
	out[n] = '\0';
	return out;
}

int grpc_code_of_http(int http_status)
{
	switch (http_status) {
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_INTERNAL;
	}
}

void grpc_answer_header(struct grpc_answer *a, struct sv name, struct sv value)
{
	uint64_t code;

	if (sv_is(name, ":status") && sv_to_u64(value, &code)) {
		a->http_status = (int)MIN(code, 999);
	} else if (sv_is(name, "grpc-status")) {
		a->status = grpc_code_read(value);
	} else if (sv_is(name, "grpc-message")) {
		free(a->message);
		a->message = grpc_message_read(value);
	}
}
