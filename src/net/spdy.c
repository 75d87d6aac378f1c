/* SPDY/3.1 framing. Two kinds of frames, eight bytes of header each:
 *
 *	control	1 | version 3 (15) | type (16)   flags (8) | length (24)
 *	data	0 | stream (31)                  flags (8) | length (24)
 *
 * Control frames are bounded and wait in s->in until whole; the payload of a data frame is
 * handed out as it arrives, so that no frame size costs memory. Header blocks are one zlib
 * stream a direction, flushed at the end of each block: a block that is not inflated would
 * break all that follow, hence every error in one is final. */
#include "net/spdy.h"
#include "net/spdy_dict.h"

#include <stdlib.h>

#include <zlib.h>

enum {
	FRAME_HEAD_N = 8,
	SPDY_VERSION = 3,
	FLAG_FIN = 1,
	CONTROL_MAX = 64 * 1024, /* a control frame's payload, compressed */
	HEADERS_MAX = 64 * 1024, /* a header block, inflated */
	HEADERS_COUNT_MAX = 256,
	DATA_MAX = 0xffffff,
};

struct spdy {
	uint32_t next_stream, last_peer_stream;
	bool failed;
	z_stream inflate, deflate;
	struct buf in;	    /* an incomplete frame header or control frame */
	struct buf block;   /* the header block of the current frame, inflated */
	struct arena arena; /* headers of the current frame */
	/* The data frame whose payload is being received. */
	uint32_t data_stream;
	size_t data_left;
	bool data_fin;
};

struct spdy *spdy_new(bool client)
{
	struct spdy *s = xcalloc(1, sizeof(*s));
	int r;

	s->next_stream = client ? 1 : 2;
	r = inflateInit(&s->inflate);
	/* A small window: the dictionary and a few headers, some tens of bytes each, fit. */
	if (r == Z_OK)
		r = deflateInit2(&s->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 11, 2, Z_DEFAULT_STRATEGY);
	if (r == Z_OK)
		r = deflateSetDictionary(&s->deflate, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_N);
	BUG_ON(r != Z_OK); /* out of memory aborts, and the parameters are constant */
	return s;
}

struct spdy *spdy_free(struct spdy *s)
{
	if (!s)
		return NULL;
	inflateEnd(&s->inflate);
	deflateEnd(&s->deflate);
	buf_release(&s->in);
	buf_release(&s->block);
	arena_release(&s->arena);
	free(s);
	return NULL;
}

uint32_t spdy_next_stream(struct spdy *s)
{
	uint32_t id = s->next_stream;

	BUG_ON(id > INT32_MAX - 2U); /* nobody opens a thousand million streams */
	s->next_stream += 2;
	return id;
}

/* --- reading --- */

static uint32_t be32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Inflates one header block into s->block. */
static int block_inflate(struct spdy *s, struct sv in, struct err *err)
{
	z_stream *z = &s->inflate;

	buf_clear(&s->block);
	z->next_in = (Bytef *)(uintptr_t)in.p; /* zlib does not write to it */
	z->avail_in = (uInt)in.n;
	for (;;) {
		size_t before = s->block.n;
		int r;

		buf_reserve(&s->block, 4096);
		z->next_out = (Bytef *)s->block.p + before;
		z->avail_out = 4096;
		r = inflate(z, Z_SYNC_FLUSH);
		s->block.n += 4096 - z->avail_out;
		if (r == Z_NEED_DICT) {
			r = inflateSetDictionary(z, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_N);
			if (r == Z_OK)
				continue;
		}
		if (s->block.n > HEADERS_MAX)
			return err_set(err, ERR_TOO_LARGE, "spdy header block is longer than %d bytes", HEADERS_MAX);
		/* Z_BUF_ERROR: nothing left to do, which is the usual end of a flushed block. */
		if (r != Z_OK && r != Z_BUF_ERROR)
			return err_set(err, ERR_BAD_REQUEST, "spdy header block does not decompress");
		if (z->avail_out > 0)
			break; /* room was left: all of the input is used and flushed */
	}
	if (z->avail_in > 0)
		return err_set(err, ERR_BAD_REQUEST, "spdy header block does not decompress");
	return 0;
}

/* Takes a length-prefixed string off *rest. */
static bool take_string(struct sv *rest, struct sv *ret)
{
	size_t n;

	if (rest->n < 4)
		return false;
	n = be32(rest->p);
	if (n > rest->n - 4)
		return false;
	*ret = sv_make(rest->p + 4, n);
	*rest = sv_make(rest->p + 4 + n, rest->n - 4 - n);
	return true;
}

static int headers_parse(struct spdy *s, struct sv compressed, struct spdy_frame *f, struct err *err)
{
	struct sv rest;
	uint32_t count;

	if (block_inflate(s, compressed, err) < 0)
		return -1;
	rest = buf_sv(&s->block);
	if (rest.n < 4)
		return err_set(err, ERR_BAD_REQUEST, "spdy header block is cut short");
	count = be32(rest.p);
	rest = sv_make(rest.p + 4, rest.n - 4);
	if (count > HEADERS_COUNT_MAX)
		return err_set(err, ERR_TOO_LARGE, "spdy header block has %" PRIu32 " headers", count);
	f->headers = ARENA_ARRAY(&s->arena, struct http_header, HEADERS_COUNT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct sv name, values, value;

		if (!take_string(&rest, &name) || !take_string(&rest, &values) || name.n == 0)
			return err_set(err, ERR_BAD_REQUEST, "spdy header block is cut short");
		/* Several values of one name are joined by NUL. */
		if (values.n == 0)
			values = SV("");
		while (sv_split(&values, '\0', &value)) {
			if (f->n_headers == HEADERS_COUNT_MAX)
				return err_set(err, ERR_TOO_LARGE, "spdy header block has too many values");
			f->headers[f->n_headers++] = (struct http_header){ name, value };
		}
	}
	if (rest.n > 0)
		return err_set(err, ERR_BAD_REQUEST, "spdy header block has bytes behind its end");
	return 0;
}

/* Bytes before the header block, or of the whole payload where there is none, per type. */
static size_t fixed_n(uint32_t type)
{
	switch (type) {
	case SPDY_SYN_STREAM:
		return 10;
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
	case SPDY_SETTINGS:
	case SPDY_PING:
		return 4;
	case SPDY_RST_STREAM:
	case SPDY_GOAWAY:
	case SPDY_WINDOW_UPDATE:
		return 8;
	default:
		return 0;
	}
}

static int control_take(struct spdy *s, uint32_t type, uint8_t flags, struct sv p,
			void (*frame)(const struct spdy_frame *f, void *ctx), void *ctx, struct err *err)
{
	struct spdy_frame f = { .type = (enum spdy_type)type, .fin = flags & FLAG_FIN };
	size_t fixed = fixed_n(type);

	if (fixed == 0)
		return 0; /* unknown types are skipped, as the protocol asks */
	if (p.n < fixed)
		return err_set(err, ERR_BAD_REQUEST, "spdy frame of type %" PRIu32 " is cut short", type);
	switch (type) {
	case SPDY_SYN_STREAM:
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
		f.stream = be32(p.p) & INT32_MAX;
		if (f.stream == 0)
			return err_set(err, ERR_BAD_REQUEST, "spdy stream id is zero");
		if (headers_parse(s, sv_sub(p, fixed, p.n), &f, err) < 0)
			return -1;
		if (type == SPDY_SYN_STREAM)
			s->last_peer_stream = f.stream;
		break;
	case SPDY_RST_STREAM:
	case SPDY_GOAWAY:
	case SPDY_WINDOW_UPDATE:
		f.stream = be32(p.p) & INT32_MAX;
		f.status = be32(p.p + 4);
		f.fin = false;
		break;
	case SPDY_PING:
		f.status = be32(p.p);
		f.fin = false;
		break;
	default: /* SETTINGS: nothing in there concerns us */
		f.fin = false;
		break;
	}
	frame(&f, ctx);
	arena_reset(&s->arena);
	return 0;
}

/* Hands out what is there of the data frame under way. */
static size_t data_take(struct spdy *s, struct sv bytes, void (*frame)(const struct spdy_frame *f, void *ctx),
			void *ctx)
{
	size_t n = MIN(bytes.n, s->data_left);
	struct spdy_frame f = { .type = SPDY_DATA, .stream = s->data_stream, .data = sv_make(bytes.p, n) };

	s->data_left -= n;
	f.fin = s->data_fin && s->data_left == 0;
	if (n > 0 || f.fin)
		frame(&f, ctx);
	return n;
}

/* One step at the front of bytes: returns how many were used, 0 when more are needed. */
static ssize_t spdy_step(struct spdy *s, struct sv bytes, void (*frame)(const struct spdy_frame *f, void *ctx),
			 void *ctx, struct err *err)
{
	uint32_t word, rest;
	size_t length;
	uint8_t flags;

	if (s->data_left > 0)
		return (ssize_t)data_take(s, bytes, frame, ctx);
	if (bytes.n < FRAME_HEAD_N)
		return 0;
	word = be32(bytes.p);
	rest = be32(bytes.p + 4);
	flags = (uint8_t)(rest >> 24);
	length = rest & 0xffffff;
	if (!(word >> 31)) {
		if (word == 0)
			return err_set(err, ERR_BAD_REQUEST, "spdy stream id is zero");
		s->data_stream = word;
		s->data_left = length;
		s->data_fin = flags & FLAG_FIN;
		if (length == 0)
			data_take(s, SV_NULL, frame, ctx);
		return FRAME_HEAD_N;
	}
	if ((word >> 16 & 0x7fff) != SPDY_VERSION)
		return err_set(err, ERR_BAD_REQUEST, "spdy version is not 3");
	if (length > CONTROL_MAX)
		return err_set(err, ERR_TOO_LARGE, "spdy control frame is longer than %d bytes", CONTROL_MAX);
	if (bytes.n - FRAME_HEAD_N < length)
		return 0;
	if (control_take(s, word & 0xffff, flags, sv_sub(bytes, FRAME_HEAD_N, length), frame, ctx, err) < 0)
		return -1;
	return (ssize_t)(FRAME_HEAD_N + length);
}

int spdy_feed(struct spdy *s, struct sv bytes, void (*frame)(const struct spdy_frame *f, void *ctx), void *ctx,
	      struct err *err)
{
	if (s->failed)
		return err_set(err, ERR_BAD_REQUEST, "the spdy connection failed before");
	while (bytes.n > 0) {
		struct sv from = bytes;
		ssize_t used;

		/* Most data arrives with nothing waiting and is handed out where it lies. */
		if (s->in.n > 0) {
			buf_addsv(&s->in, bytes);
			from = buf_sv(&s->in);
		}
		used = spdy_step(s, from, frame, ctx, err);
		if (used < 0) {
			s->failed = true;
			return -1;
		}
		if (s->in.n > 0) {
			size_t waiting = s->in.n - bytes.n;

			if (used == 0)
				return 0; /* all of it waits now */
			/* The step used what waited and some of bytes: a waiting part never holds
			 * a whole frame. */
			bytes = sv_sub(bytes, (size_t)used - waiting, bytes.n);
			buf_clear(&s->in);
		} else if (used == 0) {
			buf_addsv(&s->in, bytes);
			return 0;
		} else {
			bytes = sv_sub(bytes, (size_t)used, bytes.n);
		}
	}
	return 0;
}

/* --- writing --- */

static void add_be32(struct buf *b, uint32_t v)
{
	const unsigned char p[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8),
				     (unsigned char)v };

	buf_add(b, p, 4);
}

static void add_control(struct buf *out, enum spdy_type type, bool fin, size_t length)
{
	BUG_ON(length > DATA_MAX);
	add_be32(out, UINT32_C(0x80000000) | SPDY_VERSION << 16 | (uint32_t)type);
	add_be32(out, (fin ? FLAG_FIN << 24 : 0) | (uint32_t)length);
}

static void add_string(struct buf *b, struct sv s)
{
	BUG_ON(s.n > HEADERS_MAX);
	add_be32(b, (uint32_t)s.n);
	buf_addsv(b, s);
}

/* A control frame with a header block behind `fixed`. Names are written as given: lower case. */
static void add_headers(struct spdy *s, struct buf *out, enum spdy_type type, struct sv fixed,
			const struct http_header *h, size_t n, bool fin)
{
	z_stream *z = &s->deflate;
	_cleanup_(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;

	add_be32(&plain, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		add_string(&plain, h[i].name);
		add_string(&plain, h[i].value);
	}
	z->next_in = (Bytef *)plain.p;
	z->avail_in = (uInt)plain.n;
	do {
		size_t before = packed.n;

		buf_reserve(&packed, 1024);
		z->next_out = (Bytef *)packed.p + before;
		z->avail_out = 1024;
		BUG_ON(deflate(z, Z_SYNC_FLUSH) == Z_STREAM_ERROR);
		packed.n += 1024 - z->avail_out;
	} while (z->avail_out == 0);
	add_control(out, type, fin, fixed.n + packed.n);
	buf_addsv(out, fixed);
	buf_addsv(out, buf_sv(&packed));
}

void spdy_syn_stream(struct spdy *s, struct buf *out, uint32_t stream, const struct http_header *h, size_t n, bool fin)
{
	_cleanup_(buf_release) struct buf fixed = BUF_INIT;

	add_be32(&fixed, stream);
	add_be32(&fixed, 0);	  /* associated with none */
	buf_add(&fixed, "\0", 2); /* priority and slot: both 0 */
	add_headers(s, out, SPDY_SYN_STREAM, buf_sv(&fixed), h, n, fin);
}

void spdy_syn_reply(struct spdy *s, struct buf *out, uint32_t stream, const struct http_header *h, size_t n, bool fin)
{
	_cleanup_(buf_release) struct buf fixed = BUF_INIT;

	add_be32(&fixed, stream);
	add_headers(s, out, SPDY_SYN_REPLY, buf_sv(&fixed), h, n, fin);
}

void spdy_data(struct spdy *s, struct buf *out, uint32_t stream, struct sv data, bool fin)
{
	(void)s;
	do {
		struct sv piece = sv_sub(data, 0, DATA_MAX);

		data = sv_sub(data, piece.n, data.n);
		add_be32(out, stream);
		add_be32(out, (fin && data.n == 0 ? FLAG_FIN << 24 : 0) | (uint32_t)piece.n);
		buf_addsv(out, piece);
	} while (data.n > 0);
}

void spdy_rst(struct spdy *s, struct buf *out, uint32_t stream, uint32_t status)
{
	(void)s;
	add_control(out, SPDY_RST_STREAM, false, 8);
	add_be32(out, stream);
	add_be32(out, status);
}

void spdy_ping(struct spdy *s, struct buf *out, uint32_t id)
{
	(void)s;
	add_control(out, SPDY_PING, false, 4);
	add_be32(out, id);
}

void spdy_goaway(struct spdy *s, struct buf *out, uint32_t status)
{
	add_control(out, SPDY_GOAWAY, false, 8);
	add_be32(out, s->last_peer_stream);
	add_be32(out, status);
}
