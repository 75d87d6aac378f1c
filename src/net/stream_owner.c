/* Whose streams have much to send: each of those whom they belong to is as many as one. */
#include "net/stream-internal.h"

#include <stdlib.h>

void stream_owner_init(struct stream *s)
{
	s->owner = &s->alone;
	s->alone.refs = 1;
	list_init(&s->alone.link);
	list_init(&s->alone.streams);
}

static void stream_owner_unref(struct stream_loop *sl, struct stream_owner *o)
{
	if (--o->refs)
		return;
	list_del(&o->link);
	if (!o->id)
		return; /* it is part of its stream */
	(void)strmap_del(&sl->owners, sv_make((const char *)&o->id, sizeof(o->id)));
	free(o);
}

void stream_owner_release(struct stream *s)
{
	list_del(&s->dirty);
	stream_owner_unref(s->sl, s->owner);
	s->owner = NULL;
}

void stream_belongs(struct stream *s, uint64_t id)
{
	struct stream_owner *was = s->owner, *o;
	void **slot;

	if (s->closing || !id || was->id == id)
		return;
	slot = strmap_slot(&s->sl->owners, sv_make((const char *)&id, sizeof(id)));
	if (!*slot) {
		*slot = o = xcalloc(1, sizeof(*o));
		o->id = id;
		list_init(&o->link);
		list_init(&o->streams);
	}
	o = *slot;
	o->refs++;
	s->owner = o;
	/* The last of its old one may be waiting there. */
	if (was->refs == 1 && !list_empty(&was->streams))
		stream_bulk(s);
	stream_owner_unref(s->sl, was);
}

void stream_bulk(struct stream *s)
{
	struct stream_owner *o = s->owner;

	list_del(&s->dirty);
	list_add_tail(&o->streams, &s->dirty);
	if (list_empty(&o->link))
		list_add_tail(&s->sl->bulk, &o->link);
}

struct stream *stream_bulk_take(struct stream_loop *sl)
{
	while (!list_empty(&sl->bulk)) {
		struct stream_owner *o = LIST_ENTRY(sl->bulk.next, struct stream_owner, link);
		struct stream *s;

		list_del(&o->link);
		if (list_empty(&o->streams)) /* they have ended meanwhile */
			continue;
		s = LIST_ENTRY(o->streams.next, struct stream, dirty);
		list_del(&s->dirty);
		if (!list_empty(&o->streams))
			list_add_tail(&sl->bulk, &o->link);
		return s;
	}
	return NULL;
}
