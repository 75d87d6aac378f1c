/* RFC 6455 section 5. Bytes collect in w->in until a frame is whole; its payload is unmasked in
 * place and handed out, or appended to w->msg when the message is fragmented. Everything is
 * bounded: a frame longer than its limit is refused from its header alone, before its payload
 * is waited for. */
#include "net/ws.h"

enum { WS_CONTROL_MAX = 125 };

/* One frame header, decoded. */
struct head {
	bool fin;
	int op;
	bool masked;
	uint64_t payload_n;
	size_t head_n; /* bytes before the payload, mask included */
	unsigned char mask[4];
};

void ws_init(struct ws *w, bool client, size_t max_message)
{
	*w = (struct ws){ .client = client, .max_message = max_message, .msg_op = -1 };
}

void ws_release(struct ws *w)
{
	buf_release(&w->in);
	buf_release(&w->msg);
}

static uint64_t read_be(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* 1: *h is filled; 0: needs more bytes. Says nothing about validity. */
static int head_parse(const char *bytes, size_t n, struct head *h)
{
	const unsigned char *p = (const unsigned char *)bytes;
	size_t ext;

	if (n < 2)
		return 0;
	h->fin = p[0] & 0x80;
	h->op = p[0] & 0x7f; /* the reserved bits stay in: they make the opcode an unknown one */
	h->masked = p[1] & 0x80;
	h->payload_n = p[1] & 0x7f;
	ext = h->payload_n == 126 ? 2 : h->payload_n == 127 ? 8 : 0;
	h->head_n = 2 + ext + (h->masked ? 4 : 0);
	if (n < h->head_n)
		return 0;
	if (ext)
		h->payload_n = read_be(p + 2, ext);
	if (h->masked)
		memcpy(h->mask, p + 2 + ext, 4);
	return 1;
}

static void unmask(char *p, size_t n, const unsigned char mask[4])
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)((unsigned char)p[i] ^ mask[i & 3]);
}

/* Codes a peer may send (RFC 6455 section 7.4): the reserved ones stand for "no code". */
static bool close_code_valid(unsigned code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static int head_check(const struct ws *w, const struct head *h, struct err *err)
{
	if (h->masked == w->client)
		return err_set(err, ERR_BAD_REQUEST,
			       w->client ? "websocket frame from a server is masked"
					 : "websocket frame from a client is not masked");
	switch (h->op) {
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		if (!h->fin || h->payload_n > WS_CONTROL_MAX)
			return err_set(err, ERR_BAD_REQUEST, "websocket control frame is fragmented or too long");
		return 0;
	case WS_CONT:
		if (w->msg_op < 0)
			return err_set(err, ERR_BAD_REQUEST, "websocket continuation without a message");
		break;
	case WS_TEXT:
	case WS_BINARY:
		if (w->msg_op >= 0)
			return err_set(err, ERR_BAD_REQUEST, "websocket message begins inside another");
		break;
	default:
		return err_set(err, ERR_BAD_REQUEST, "websocket frame has an unknown opcode");
	}
	if (h->payload_n > w->max_message || w->msg.n > w->max_message - h->payload_n)
		return err_set(err, ERR_TOO_LARGE, "websocket message is longer than %zu bytes", w->max_message);
	return 0;
}

/* Hands out one whole, checked frame. */
static int frame_take(struct ws *w, const struct head *h, struct sv payload,
		      void (*message)(enum ws_op op, struct sv payload, void *ctx), void *ctx, struct err *err)
{
	if (h->op == WS_PING || h->op == WS_PONG) {
		message((enum ws_op)h->op, payload, ctx);
		return 0;
	}
	if (h->op == WS_CLOSE) {
		if (payload.n == 1 ||
		    (payload.n >= 2 && !close_code_valid((unsigned)read_be((const unsigned char *)payload.p, 2))))
			return err_set(err, ERR_BAD_REQUEST, "websocket close code is not valid");
		w->closing = true; /* what follows a close frame is not looked at */
		message(WS_CLOSE, payload, ctx);
		return 0;
	}
	if (h->fin && h->op != WS_CONT) {
		message((enum ws_op)h->op, payload, ctx);
		return 0;
	}
	if (h->op != WS_CONT)
		w->msg_op = h->op;
	buf_addsv(&w->msg, payload);
	if (h->fin) {
		int op = w->msg_op;

		w->msg_op = -1;
		message((enum ws_op)op, buf_sv(&w->msg), ctx);
		buf_clear(&w->msg);
	}
	return 0;
}

int ws_feed(struct ws *w, struct sv bytes, void (*message)(enum ws_op op, struct sv payload, void *ctx), void *ctx,
	    struct err *err)
{
	size_t at = 0;
	int r = 0;

	if (w->closing || bytes.n == 0)
		return 0;
	buf_addsv(&w->in, bytes);
	while (!w->closing) {
		struct head h;
		char *payload;

		if (!head_parse(w->in.p + at, w->in.n - at, &h))
			break;
		r = head_check(w, &h, err);
		if (r < 0)
			break;
		if (w->in.n - at - h.head_n < h.payload_n) /* checked: payload_n <= max_message */
			break;
		payload = w->in.p + at + h.head_n;
		if (h.masked)
			unmask(payload, (size_t)h.payload_n, h.mask);
		at += h.head_n + (size_t)h.payload_n;
		r = frame_take(w, &h, sv_make(payload, (size_t)h.payload_n), message, ctx, err);
		if (r < 0)
			break;
	}
	if (w->closing || r < 0) {
		w->closing = true;
		buf_clear(&w->in);
	} else {
		buf_drop_front(&w->in, at);
	}
	return r;
}

void ws_frame(const struct ws *w, struct buf *out, enum ws_op op, struct sv payload, uint32_t mask)
{
	unsigned char h[14];
	size_t n = 0, start;

	h[n++] = (unsigned char)(0x80 | op);
	if (payload.n < 126) {
		h[n++] = (unsigned char)payload.n;
	} else {
		size_t ext = payload.n <= UINT16_MAX ? 2 : 8;

		h[n++] = ext == 2 ? 126 : 127;
		for (size_t i = ext; i-- > 0;)
			h[n++] = (unsigned char)((uint64_t)payload.n >> (8 * i));
	}
	if (!w->client) {
		buf_add(out, h, n);
		buf_addsv(out, payload);
		return;
	}
	h[1] |= 0x80;
	for (size_t i = 4; i-- > 0;)
		h[n++] = (unsigned char)(mask >> (8 * i));
	buf_add(out, h, n);
	start = out->n;
	buf_addsv(out, payload);
	if (!out->overflow)
		unmask(out->p + start, payload.n, h + n - 4);
}

void ws_close_frame(const struct ws *w, struct buf *out, uint16_t code, struct sv reason, uint32_t mask)
{
	char payload[WS_CONTROL_MAX];
	size_t n = MIN(reason.n, sizeof(payload) - 2);

	payload[0] = (char)(code >> 8);
	payload[1] = (char)(code & 0xff);
	if (n)
		memcpy(payload + 2, reason.p, n);
	ws_frame(w, out, WS_CLOSE, sv_make(payload, n + 2), mask);
}
