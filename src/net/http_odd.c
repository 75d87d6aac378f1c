/* What peers do that clients need little of: resets, pings, settings, frames of nothing …
 *
 * Each of these floods was an attack of its own once, with a limit of its own. They have one thing in common: they cost
 * the peer less than us. So all of them are taken from one bucket, which fills up with time and a little with requests
 * that were heard out, as clients that work make mistakes in proportion. */
#include "net/http-internal.h"

#define ODD_BURST 2000 /* tokens; and then as many a second: */
#define ODD_RATE 66
#define ODD_WORK 4	       /* answered requests give a token back */
#define ODD_WINDOWS_MAX 100000 /* saved up window updates */
#define ODD_WINDOWS_FIRST 100  /* before anything was sent */
#define ODD_WINDOW_BYTES 1024  /* of body that a client may answer by one, beside two a frame */

static const struct {
	int cost;
	const char *words;
} odds[_ODD_MAX] = {
	[ODD_RESET] = { 2, "resets" },
	[ODD_RESET_SENT] = { 2, "resets it made us send" },
	[ODD_INVALID] = { 2, "invalid frames" },
	[ODD_PING] = { 1, "pings" },
	[ODD_SETTINGS] = { 2, "settings" },
	[ODD_EMPTY] = { 2, "empty frames" },
	[ODD_WINDOW] = { 1, "window updates for nothing" },
	[ODD_PRIORITY] = { 1, "priorities" },
	[ODD_CONTINUATION] = { 2, "continuations" },
	[ODD_HEADERS] = { 20, "header blocks over the limit" },
	[ODD_OTHER] = { 2, "frames of other kinds" },
};

void http_odd_init(struct http_conn *c)
{
	c->odd = (struct http_odds){ .tokens = ODD_BURST,
				     .filled_ns = ev_loop_now_ns(c->lane->loop),
				     .windows = ODD_WINDOWS_FIRST };
}

static void odd_fill(struct http_odds *o, int64_t now_ns)
{
	int64_t gained = (now_ns - o->filled_ns) / (NS_PER_SEC / ODD_RATE);

	o->tokens = MIN(o->tokens + gained, ODD_BURST);
	o->filled_ns += gained * (NS_PER_SEC / ODD_RATE);
}

static void odd_report(struct http_conn *c)
{
	const struct http_server_opts *opts = &c->lane->srv->o;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!opts->calmed)
		return;
	for (int i = 0; i < _ODD_MAX; i++) {
		if (c->odd.seen[i])
			buf_printf(&b, "%s%" PRIu32 " %s", b.n ? ", " : "", c->odd.seen[i], odds[i].words);
	}
	opts->calmed(&c->peer, buf_cstr(&b), opts->ctx);
}

void http_odd_over(struct http_conn *c)
{
	if (!c->odd.over)
		odd_report(c);
	c->odd.over = true;
}

bool http_odd(struct http_conn *c, enum http_odd what)
{
	struct http_odds *o = &c->odd;

	if (o->over)
		return false;
	odd_fill(o, ev_loop_now_ns(c->lane->loop));
	o->seen[what]++;
	o->tokens -= odds[what].cost;
	if (o->tokens >= 0)
		return true;
	http_odd_over(c);
	return false;
}

bool http_odd_window(struct http_conn *c)
{
	if (c->odd.windows > 0) {
		c->odd.windows--;
		return true;
	}
	return http_odd(c, ODD_WINDOW);
}

void http_odd_sent(struct http_conn *c, size_t bytes)
{
	c->odd.windows = MIN(c->odd.windows + 2 + (int64_t)(bytes / ODD_WINDOW_BYTES), ODD_WINDOWS_MAX);
}

void http_odd_answered(struct http_conn *c)
{
	struct http_odds *o = &c->odd;

	http_odd_sent(c, 0);
	if (++o->answered % ODD_WORK == 0)
		o->tokens = MIN(o->tokens + 1, ODD_BURST);
}
