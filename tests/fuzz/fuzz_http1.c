/* A server's input as the HTTP/1 side reads it, without the connection around it: the first
 * byte sets the size of the pieces, the rest is the wire. Heads and bodies must come out the
 * same as when all of it arrives at once. */
#include "base/buf.h"
#include "net/http1_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes down everything that was understood, requests one after the other. */
static void read_all(struct sv all, size_t step, struct buf *out)
{
	struct h1_scan scan = { 0 };
	size_t have = 0, at = 0;

	for (;;) {
		struct sv in = sv_sub(all, at, have - at), piece = SV_NULL;
		struct arena a = ARENA_INIT;
		struct h1_chunks c = { 0 };
		const char *why = NULL;
		struct h1_head h;
		ssize_t n = h1_scan(&scan, in);
		int status, more = 1;

		if (n == 0 && have < all.n) {
			have = MIN(all.n, have + step);
			continue;
		}
		if (n <= 0) {
			buf_printf(out, "scan %zd\n", n);
			return;
		}
		BUG_ON((size_t)n > in.n);
		scan = (struct h1_scan){ 0 };
		at += (size_t)n;
		status = h1_parse_head(&a, arena_strndup(&a, in.p, (size_t)n), (size_t)n, &h, &why);
		BUG_ON(status && !why);
		if (status) {
			buf_printf(out, "status %d\n", status);
			arena_release(&a);
			return;
		}
		BUG_ON(h.chunked && h.content_length >= 0);
		buf_printf(out, "%.*s %.*s ? %.*s @ %.*s %d %d %d\n", SV_ARG(h.method), SV_ARG(h.path), SV_ARG(h.query),
			   SV_ARG(h.host), h.minor, h.keep_alive, h.upgrade);
		for (size_t i = 0; i < h.n_headers; i++) {
			BUG_ON(h.headers[i].name.n == 0);
			buf_printf(out, "%.*s: %.*s\n", SV_ARG(h.headers[i].name), SV_ARG(h.headers[i].value));
		}
		arena_release(&a);
		if (h.content_length > 0) {
			piece = sv_sub(all, at, (size_t)h.content_length);
			buf_addsv(out, piece);
			at += piece.n;
			have = MAX(have, at);
		}
		while (h.chunked && more > 0) {
			in = sv_sub(all, at, have - at);
			more = h1_chunks_feed(&c, &in, &piece);
			at = (size_t)(in.p - all.p);
			buf_addsv(out, piece);
			if (more > 0 && in.n == 0) {
				if (have == all.n)
					break;
				have = MIN(all.n, have + step);
			}
		}
		if (h.chunked)
			buf_printf(out, "\nchunks %d\n", more);
		if (more < 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT, pieces = BUF_INIT;

	if (size < 2)
		return 0;
	read_all(sv_make((const char *)data + 1, size - 1), size, &once);
	read_all(sv_make((const char *)data + 1, size - 1), (size_t)data[0] % 37 + 1, &pieces);
	BUG_ON(!sv_eq(buf_sv(&once), buf_sv(&pieces)));
	buf_release(&once);
	buf_release(&pieces);
	return 0;
}
