/* Stored objects for whoever handles another: strategies, admission. */
#include "apiserver/registry/strategy.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"

struct obj *registry_peek(struct api_req *q, const struct resource *r, struct sv ns, struct sv name)
{
	struct obj *o = wc_get(q->server->wc, r, ns, name);

	return o ? obj_link(q->arena, o) : NULL;
}

void registry_each(struct apiserver *s, const struct resource *r, struct sv ns, int (*fn)(struct obj *o, void *ctx),
		   void *ctx)
{
	wc_each(s->wc, r, ns, fn, ctx);
}
