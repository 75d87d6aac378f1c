/* Signals, through libuv's self-pipe: fn runs on the loop, where anything is allowed. */
#include "ev/ev-internal.h"

#include <stdlib.h>

struct ev_signal {
	uv_signal_t uv;
	struct list link; /* ev_loop.signals */
	void (*fn)(int signum, void *ctx);
	void *ctx;
};

static void signal_on(uv_signal_t *h, int signum)
{
	struct ev_signal *s = h->data;

	ev_loop_busy(CONTAINER_OF(h->loop, struct ev_loop, uv));
	s->fn(signum, s->ctx);
}

static void signal_on_close(uv_handle_t *h)
{
	free(h->data);
}

int ev_signal_watch(struct ev_loop *l, int signum, void (*fn)(int signum, void *ctx), void *ctx, struct err *err)
{
	struct ev_signal *s = xcalloc(1, sizeof(*s));
	int r;

	BUG_ON(uv_signal_init(&l->uv, &s->uv) != 0);
	s->uv.data = s;
	s->fn = fn;
	s->ctx = ctx;
	r = uv_signal_start(&s->uv, signal_on, signum);
	if (r < 0) {
		uv_close((uv_handle_t *)&s->uv, signal_on_close);
		return err_set_errno(err, -r, "watching signal %d", signum);
	}
	list_add_tail(&l->signals, &s->link);
	return 0;
}

void ev_signals_release(struct ev_loop *l)
{
	LIST_EACH(&l->signals, it) {
		list_del(it);
		uv_close((uv_handle_t *)&LIST_ENTRY(it, struct ev_signal, link)->uv, signal_on_close);
	}
}
