/* The first byte chooses the side and the size of the pieces; the rest is the wire. Whatever is
 * decoded goes through the encoder and must come out of the other side's decoder unchanged. */
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct ws *w;
	enum ws_op op;
	struct sv payload;
	int n;
};

static void again(enum ws_op op, struct sv payload, void *ctx)
{
	struct seen *s = ctx;

	BUG_ON(op != s->op || !sv_eq(payload, s->payload));
	s->n++;
}

static void message(enum ws_op op, struct sv payload, void *ctx)
{
	struct ws *w = ctx, from, to;
	struct buf wire = BUF_INIT;
	struct seen s = { .w = w, .op = op, .payload = payload };

	BUG_ON(payload.n > w->max_message);
	ws_init(&from, !w->client, w->max_message);
	ws_init(&to, w->client, w->max_message);
	ws_frame(&from, &wire, op, payload, 0x01020304);
	BUG_ON(ws_feed(&to, buf_sv(&wire), again, &s, NULL) < 0 || s.n != 1);
	buf_release(&wire);
	ws_release(&from);
	ws_release(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make((const char *)data, size);
	struct ws w;
	size_t piece;

	if (size == 0)
		return 0;
	ws_init(&w, data[0] & 1, 4096);
	piece = (data[0] >> 1) + 1U;
	for (size_t at = 1; at < size; at += piece)
		if (ws_feed(&w, sv_sub(in, at, piece), message, &w, NULL) < 0)
			break;
	ws_release(&w);
	return 0;
}
