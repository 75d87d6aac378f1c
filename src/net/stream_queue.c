/* What a stream has to send: a list of nodes, of which each loop keeps a few spare ones. */
#include "net/stream-internal.h"

#include <stdlib.h>

#define SPARE_MAX 16

struct out_node *stream_node_new(struct stream_loop *sl)
{
	struct out_node *n = sl->spare;

	if (n) {
		sl->spare = n->next;
		sl->n_spare--;
	} else {
		n = xmalloc(sizeof(*n) + NODE_BYTES);
	}
	*n = (struct out_node){ .p = n->data, .cap = NODE_BYTES };
	return n;
}

static void stream_node_free(struct stream_loop *sl, struct out_node *n)
{
	if (n->release)
		n->release(n->owner);
	if (n->cap && sl->n_spare < SPARE_MAX) {
		n->next = sl->spare;
		sl->spare = n;
		sl->n_spare++;
	} else {
		free(n);
	}
}

void stream_push_node(struct stream *s, struct out_node *n)
{
	if (s->out_tail)
		s->out_tail->next = n;
	else
		s->out = n;
	s->out_tail = n;
}

void stream_sent(struct stream *s, size_t n)
{
	s->queued -= n;
	while (n || (s->out && s->out->off == s->out->n)) {
		struct out_node *o = s->out;
		size_t take = MIN(n, o->n - o->off);

		o->off += take;
		n -= take;
		if (o->off < o->n)
			break;
		s->out = o->next;
		if (!s->out)
			s->out_tail = NULL;
		stream_node_free(s->sl, o);
	}
}

void stream_drop_out(struct stream *s)
{
	while (s->out) {
		struct out_node *o = s->out;

		s->out = o->next;
		stream_node_free(s->sl, o);
	}
	s->out_tail = NULL;
	s->queued = 0;
	free(s->pend.p);
	s->pend.p = NULL;
	s->pend.n = s->pend.off = 0;
}
