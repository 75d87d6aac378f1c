/* gzip of answers: of what there is at once, or of a source while it is sent.
 *
 * The second is for long LISTs, which Go clients always want compressed: a piece at a time holds neither the answer nor
 * its loop's other connections up. Level 1, as upstream. zlib wants 256 KiB
 * for each meanwhile; with smaller windows a list came out twice as long and took twice the time. */
#include "apiserver/apiserver-internal.h"

#include <stdlib.h>
#include <zlib.h>

#define PIECE ((size_t)16 * 1024)

struct gzip_source {
	struct http_source src;
	struct http_source *inner;
	z_stream z;
	struct http_chunk in; /* what zlib reads */
	bool ended, finished; /* inner; and what we make of it */
};

static void start(z_stream *z)
{
	BUG_ON(deflateInit2(z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK);
}

void gzip_bytes(struct buf *b, struct sv bytes)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)bytes.p };
	size_t left = bytes.n;
	int rc;

	start(&z);
	do {
		if (!z.avail_in) {
			z.avail_in = (uInt)MIN(left, (size_t)1 << 30);
			left -= z.avail_in;
		}
		buf_reserve(b, PIECE);
		z.next_out = (unsigned char *)b->p + b->n;
		z.avail_out = PIECE;
		rc = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
		b->n += PIECE - z.avail_out;
	} while (rc == Z_OK);
	BUG_ON(rc != Z_STREAM_END);
	deflateEnd(&z);
	b->p[b->n] = '\0';
}

static void release_in(struct gzip_source *g)
{
	if (g->in.release)
		g->in.release(g->in.owner);
	g->in = (struct http_chunk){ 0 };
}

static bool next(struct http_source *s, struct http_chunk *ret)
{
	struct gzip_source *g = CONTAINER_OF(s, struct gzip_source, src);
	unsigned char *out;

	if (g->finished)
		return false;
	out = xmalloc(PIECE);
	g->z.next_out = out;
	g->z.avail_out = PIECE;
	while (g->z.avail_out && !g->finished) {
		int rc;

		if (!g->z.avail_in && !g->ended) {
			release_in(g);
			g->ended = !g->inner->next(g->inner, &g->in);
			BUG_ON(g->in.data.n > UINT_MAX);
			g->z.next_in = (unsigned char *)(uintptr_t)g->in.data.p;
			g->z.avail_in = (uInt)g->in.data.n;
		}
		rc = deflate(&g->z, g->ended ? Z_FINISH : Z_NO_FLUSH);
		BUG_ON(rc == Z_STREAM_ERROR);
		g->finished = rc == Z_STREAM_END;
	}
	*ret =
	    (struct http_chunk){ .data = sv_make((char *)out, PIECE - g->z.avail_out), .release = free, .owner = out };
	return true;
}

static void gzip_release(struct http_source *s)
{
	struct gzip_source *g = CONTAINER_OF(s, struct gzip_source, src);

	release_in(g);
	deflateEnd(&g->z);
	g->inner->release(g->inner);
	free(g);
}

struct http_source *gzip_source(struct http_source *inner_take)
{
	struct gzip_source *g = xcalloc(1, sizeof(*g));

	g->src = (struct http_source){ .total = -1, .next = next, .release = gzip_release };
	g->inner = inner_take;
	start(&g->z);
	return &g->src;
}
