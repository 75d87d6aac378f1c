/* Stored objects for whoever handles another: strategies, admission. */
#include "apiserver/registry/strategy.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"

struct obj *registry_peek(struct api_req *q, const struct resource *r, struct sv ns, struct sv name)
{
	struct obj *o = wc_get(q->server->wc, r, ns, name);

	return o ? obj_link(q->arena, o) : NULL;
}

int registry_absent(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, struct err *err)
{
	return set_aside_rev(q->server, r, ns, name) ? set_aside_error(q->server, r, ns, name, err) : 0;
}

int registry_find(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, struct obj **ret_obj,
		  struct err *err)
{
	*ret_obj = registry_peek(q, r, ns, name);
	return *ret_obj ? 0 : registry_absent(q, r, ns, name, err);
}

int registry_each(struct apiserver *s, const struct resource *r, struct sv ns, int (*fn)(struct obj *o, void *ctx),
		  void *ctx, struct err *err)
{
	wc_each(s->wc, r, ns, fn, ctx);
	if (set_aside_blocked(s, r, ns, err) == 0)
		return 0;
	return err_wrap(err, "not all %s can be read", r->plural);
}
