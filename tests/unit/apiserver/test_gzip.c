/* gzip of sources: what comes out, unpacked, is what went in, whatever the pieces. */
#include "unit.h"

#include "apiserver/apiserver-internal.h"

#include <stdlib.h>
#include <zlib.h>

struct pieces {
	struct http_source src;
	size_t n, at, piece;
	int released, held; /* chunks handed out and not released */
};

static struct pieces *current;

static char byte_at(size_t i)
{
	return (char)(i * 2654435761U >> 27); /* compresses, but not to nothing */
}

static void release_piece(void *p)
{
	current->held--;
	free(p);
}

static bool next(struct http_source *s, struct http_chunk *ret)
{
	struct pieces *p = (struct pieces *)s;
	size_t take = MIN(p->piece, p->n - p->at);
	char *bytes;

	if (!take)
		return false;
	bytes = xmalloc(take);
	for (size_t i = 0; i < take; i++)
		bytes[i] = byte_at(p->at + i);
	p->at += take;
	p->held++;
	*ret = (struct http_chunk){ .data = { bytes, take }, .release = release_piece, .owner = bytes };
	return true;
}

static void release(struct http_source *s)
{
	((struct pieces *)s)->released++;
}

static size_t unpack(struct sv packed, char *out, size_t room)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)packed.p,
		       .avail_in = (unsigned int)packed.n,
		       .next_out = (unsigned char *)out,
		       .avail_out = (unsigned int)room };

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	inflateEnd(&z);
	return room - z.avail_out;
}

static int let_go;

static void count(void *owner)
{
	assert_ptr_equal(owner, &let_go);
	let_go++;
}

/* Uncompressed while it is sent, it is what it was. */
static void check_back(struct sv gzip, size_t n)
{
	struct http_source *g = gunzip_source(gzip, n, count, &let_go);
	struct http_chunk c;
	size_t at = 0;

	let_go = 0;
	assert_int_equal(g->total, n);
	while (g->next(g, &c)) {
		assert_true(c.data.n > 0);
		for (size_t i = 0; i < c.data.n; i++)
			assert_true(c.data.p[i] == byte_at(at++));
		c.release(c.owner);
	}
	assert_int_equal(at, n);
	assert_int_equal(let_go, 0);
	g->release(g);
	assert_int_equal(let_go, 1);
}

static void check(size_t n, size_t piece)
{
	struct gzip_pieces *z;
	struct pieces p = { .src = { .total = (int64_t)n, .next = next, .release = release }, .n = n, .piece = piece };
	struct http_source *g;
	struct http_chunk c;
	struct buf packed = BUF_INIT;
	char *out = xmalloc(n + 1);

	current = &p;
	g = gzip_source(&p.src);
	assert_int_equal(g->total, -1);
	while (g->next(g, &c)) {
		assert_true(c.data.n > 0 && c.data.n <= 16384);
		assert_true(p.held <= 1);
		buf_addsv(&packed, c.data);
		c.release(c.owner);
	}
	assert_false(g->next(g, &c)); /* and stays at its end */
	g->release(g);
	assert_int_equal(p.released, 1);
	assert_int_equal(p.held, 0);
	assert_int_equal(unpack(buf_sv(&packed), out, n + 1), n);
	for (size_t i = 0; i < n; i++)
		assert_true(out[i] == byte_at(i));

	/* The same at once. */
	buf_clear(&packed);
	gzip_bytes(&packed, sv_make(out, n));
	assert_int_equal(unpack(buf_sv(&packed), out, n + 1), n);
	for (size_t i = 0; i < n; i++)
		assert_true(out[i] == byte_at(i));
	check_back(buf_sv(&packed), n);
	buf_release(&packed);

	/* And piece by piece. */
	z = gzip_begin();
	for (size_t at = 0; at < n; at += MIN(piece, n - at))
		gzip_add(z, sv_make(out + at, MIN(piece, n - at)), false, &packed);
	gzip_add(z, SV(""), true, &packed);
	gzip_end(z);
	check_back(buf_sv(&packed), n);
	buf_release(&packed);
	free(out);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 3, 16383, 16384, 16385, 300000 }, pieces[] = { 1, 2500, 16384, 1000000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++)
			check(sizes[i], pieces[k]);
}

static void test_given_up(void **state)
{
	struct pieces p = { .src = { .next = next, .release = release }, .n = 1000000, .piece = 5000 };
	struct http_source *g = gzip_source(&p.src);
	struct http_chunk c;

	(void)state;
	current = &p;
	assert_true(g->next(g, &c));
	c.release(c.owner);
	g->release(g);
	assert_int_equal(p.released, 1);
	assert_int_equal(p.held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests_name("apiserver/gzip", tests, NULL, NULL);
}
