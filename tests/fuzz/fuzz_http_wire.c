/* The first byte is the size of the pieces and whether the request was a HEAD; the rest is the
 * response. Cut in pieces or whole, the same must be read. */
#include "net/http_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sums {
	uint64_t head, body_n, body;
};

static int on_head(const struct http_response *head, void *ctx)
{
	struct sums *s = ctx;

	s->head = (uint64_t)head->status;
	for (size_t i = 0; i < head->n_headers; i++)
		s->head = s->head * 31 + sv_hash(head->headers[i].name) + 7 * sv_hash(head->headers[i].value);
	return 0;
}

static int on_data(struct sv bytes, void *ctx)
{
	struct sums *s = ctx;

	s->body_n += bytes.n;
	for (size_t i = 0; i < bytes.n; i++)
		s->body = s->body * 31 + (unsigned char)bytes.p[i];
	return 0;
}

/* How much was read, or -1. */
static ssize_t read_all(struct sv in, size_t piece, bool head, struct sums *s)
{
	ssize_t at = 0, used = 0;
	struct http_wire w;

	http_wire_init(&w, head ? "HEAD" : "GET", on_head, on_data, s);
	while ((size_t)at < in.n && !w.complete && used >= 0) {
		used = http_wire_feed(&w, sv_sub(in, (size_t)at, piece), NULL);
		at += used;
	}
	if (used >= 0 && http_wire_eof(&w, NULL) < 0)
		used = -1;
	http_wire_release(&w);
	return used < 0 ? -1 : at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make((const char *)data, size);
	struct sums whole = { 0 }, cut = { 0 };
	ssize_t a, b;

	if (size < 2)
		return 0;
	in = sv_sub(in, 1, in.n);
	a = read_all(in, in.n, data[0] & 1, &whole);
	b = read_all(in, (size_t)(data[0] >> 1) + 1, data[0] & 1, &cut);
	BUG_ON(a != b);
	BUG_ON(a >= 0 && (whole.head != cut.head || whole.body_n != cut.body_n || whole.body != cut.body));
	return 0;
}
