#include "scheduler/pod_info.h"
#include "scheduler/cache.h"

#include <stdlib.h>

struct pod_info *pod_info_new(struct cache *c, struct obj *o)
{
	struct pod_info *p = xcalloc(1, sizeof(*p));

	p->obj = obj_ref(o);
	p->shape = pod_shape_get(c, obj_root(o));
	p->deleting = obj_deleting(o);
	p->heap_at = SIZE_MAX;
	list_init(&p->waiting);
	list_init(&p->on_node);
	list_init(&p->in_ns);
	list_init(&p->assumed_link);
	return p;
}

void pod_info_set(struct cache *c, struct pod_info *p, struct obj *o)
{
	struct pod_shape *s = pod_shape_after(c, p, obj_root(o));

	BUG_ON(p->node);
	pod_shape_unref(c, p->shape);
	p->shape = s;
	obj_ref(o);
	obj_unref(p->obj);
	p->obj = o;
	p->deleting = obj_deleting(o);
}

struct pod_info *pod_info_free(struct cache *c, struct pod_info *p)
{
	if (!p)
		return NULL;
	BUG_ON(p->node || p->binding || p->wanted || p->making);
	cache_nominate(c, p, SV(""));
	pod_shape_unref(c, p->shape);
	obj_unref(p->obj);
	free(p);
	return NULL;
}
