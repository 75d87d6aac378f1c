/* A script of both ends: each step is a byte that says whose bytes follow and how many, then the
 * bytes. Whatever they say, the translator's output must be well-formed for both sides and the
 * session must end after both have left. */
#include "net/rc_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ends {
	struct ws client;
	struct spdy *backend;
	bool closed;
};

static void client_saw(enum ws_op op, struct sv payload, void *ctx)
{
	struct ends *e = ctx;

	(void)payload;
	BUG_ON(e->closed); /* nothing follows a close frame but its answer's answer */
	e->closed = op == WS_CLOSE;
}

static void backend_saw(const struct spdy_frame *f, void *ctx)
{
	(void)f;
	(void)ctx;
}

static void check(struct rc_core *c, struct ends *e)
{
	if (!e->closed)
		BUG_ON(ws_feed(&e->client, buf_sv(&c->to_client), client_saw, e, NULL) < 0);
	BUG_ON(spdy_feed(e->backend, buf_sv(&c->to_backend), backend_saw, e, NULL) < 0);
	buf_clear(&c->to_client);
	buf_clear(&c->to_backend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ends e = { 0 };
	struct rc_core *c;

	if (size < 1)
		return 0;
	c = rc_core_new(rc_subprotocols[data[0] % 6], data[0] & 0x10, data[0] & 0x20, data[0] & 0x40, data[0] & 0x80);
	ws_init(&e.client, true, SIZE_MAX / 2);
	e.backend = spdy_new(false);
	if (data[0] & 8)
		rc_core_start(c);
	for (size_t at = 1; at < size;) {
		size_t n = MIN((size_t)(data[at] >> 1), size - at - 1);
		struct sv bytes = sv_make((const char *)data + at + 1, n);

		if (data[at] & 1)
			rc_core_client(c, bytes);
		else
			rc_core_backend(c, bytes);
		check(c, &e);
		at += n + 1;
	}
	rc_core_ping(c);
	rc_core_backend_end(c, NULL);
	check(c, &e);
	BUG_ON(c->state < RC_ENDED || !e.closed);
	rc_core_free(c);
	ws_release(&e.client);
	spdy_free(e.backend);
	return 0;
}
