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

struct gzip_pieces {
	z_stream z;
};

struct gzip_pieces *gzip_begin(void)
{
	struct gzip_pieces *g = xcalloc(1, sizeof(*g));

	start(&g->z);
	return g;
}

void gzip_add(struct gzip_pieces *g, struct sv bytes, bool last, struct buf *b)
{
	z_stream *z = &g->z;
	size_t left = bytes.n;
	int rc;

	z->next_in = (unsigned char *)(uintptr_t)bytes.p;
	z->avail_in = 0;
	do {
		if (!z->avail_in) {
			z->avail_in = (uInt)MIN(left, (size_t)1 << 30);
			left -= z->avail_in;
		}
		buf_reserve(b, PIECE);
		z->next_out = (unsigned char *)b->p + b->n;
		z->avail_out = PIECE;
		rc = deflate(z, last && !left ? Z_FINISH : Z_NO_FLUSH);
		b->n += PIECE - z->avail_out;
		BUG_ON(rc == Z_STREAM_ERROR);
	} while (last ? rc != Z_STREAM_END : z->avail_in || left || !z->avail_out);
	if (b->p)
		b->p[b->n] = '\0';
}

void gzip_end(struct gzip_pieces *g)
{
	deflateEnd(&g->z);
	free(g);
}

void gzip_bytes(struct buf *b, struct sv bytes)
{
	struct gzip_pieces *g = gzip_begin();

	gzip_add(g, bytes, true, b);
	gzip_end(g);
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

/* --- and back, of what we compressed ourselves --- */

struct gunzip_source {
	struct http_source src;
	z_stream z;
	void (*let_go)(void *owner);
	void *owner;
	bool finished;
};

static bool gunzip_next(struct http_source *s, struct http_chunk *ret)
{
	struct gunzip_source *g = CONTAINER_OF(s, struct gunzip_source, src);
	unsigned char *out;
	int rc;

	if (g->finished)
		return false;
	out = xmalloc(PIECE);
	g->z.next_out = out;
	g->z.avail_out = PIECE;
	rc = inflate(&g->z, Z_NO_FLUSH);
	BUG_ON(rc != Z_OK && rc != Z_STREAM_END);
	g->finished = rc == Z_STREAM_END;
	if (g->z.avail_out == PIECE) { /* what came before was all */
		free(out);
		return false;
	}
	*ret =
	    (struct http_chunk){ .data = sv_make((char *)out, PIECE - g->z.avail_out), .release = free, .owner = out };
	return true;
}

static void gunzip_release(struct http_source *s)
{
	struct gunzip_source *g = CONTAINER_OF(s, struct gunzip_source, src);

	inflateEnd(&g->z);
	if (g->let_go)
		g->let_go(g->owner);
	free(g);
}

struct http_source *gunzip_source(struct sv gzip, size_t bytes, void (*let_go)(void *owner), void *owner)
{
	struct gunzip_source *g = xcalloc(1, sizeof(*g));

	g->src = (struct http_source){ .total = (int64_t)bytes, .next = gunzip_next, .release = gunzip_release };
	g->let_go = let_go;
	g->owner = owner;
	BUG_ON(gzip.n > UINT_MAX || inflateInit2(&g->z, 15 + 16) != Z_OK);
	g->z.next_in = (unsigned char *)(uintptr_t)gzip.p;
	g->z.avail_in = (uInt)gzip.n;
	return &g->src;
}
