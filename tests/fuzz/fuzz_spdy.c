/* The first byte is the size of the pieces; the rest is the wire. Every frame's parts are read,
 * and header blocks are answered with themselves into a second connection that must agree. */
#include "net/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pair {
	struct spdy *from, *to;
	const struct spdy_frame *sent;
	struct buf wire;
	uint64_t sum;
};

static void again(const struct spdy_frame *f, void *ctx)
{
	struct pair *p = ctx;

	BUG_ON(f->type != SPDY_SYN_REPLY || f->n_headers != p->sent->n_headers || f->fin != p->sent->fin);
	for (size_t i = 0; i < f->n_headers; i++)
		BUG_ON(!sv_eq(f->headers[i].value, p->sent->headers[i].value));
}

static void frame(const struct spdy_frame *f, void *ctx)
{
	struct pair *p = ctx;

	for (size_t i = 0; i < f->data.n; i++)
		p->sum += (unsigned char)f->data.p[i];
	for (size_t i = 0; i < f->n_headers; i++)
		p->sum += sv_hash(f->headers[i].name) + sv_hash(f->headers[i].value);
	if (f->n_headers == 0)
		return;
	p->sent = f;
	buf_clear(&p->wire);
	spdy_syn_reply(p->from, &p->wire, 1, f->headers, f->n_headers, f->fin);
	/* Split values may need more room than they came in: a refusal is fine, a difference is not. */
	if (spdy_feed(p->to, buf_sv(&p->wire), again, p, NULL) < 0) {
		spdy_free(p->from);
		spdy_free(p->to);
		p->from = spdy_new(false);
		p->to = spdy_new(true);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make((const char *)data, size);
	struct spdy *s = spdy_new(false);
	struct pair p = { .from = spdy_new(false), .to = spdy_new(true) };

	for (size_t at = 1; at < size; at += data[0] + 1U)
		if (spdy_feed(s, sv_sub(in, at, data[0] + 1U), frame, &p, NULL) < 0)
			break;
	spdy_free(s);
	spdy_free(p.from);
	spdy_free(p.to);
	buf_release(&p.wire);
	return 0;
}
