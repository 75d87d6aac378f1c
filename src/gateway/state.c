/* gw_state_make(): one step after the other. */
#include "gateway/gateway-internal.h"

void gw_state_make(struct arena *a, const struct gw_source *s, struct gw_state *ret)
{
	struct gw_make m = { a, s, &ret->grants };

	*ret = (struct gw_state){ .n_classes = 0 };
	gw_grants_of(s->objects[GW_GRANTS], s->n[GW_GRANTS], &ret->grants);
	ret->classes = ARENA_ARRAY(a, const struct obj *, s->n[GW_CLASSES]);
	for (size_t i = 0; i < s->n[GW_CLASSES]; i++)
		if (gw_class_is_ours(obj_root(s->objects[GW_CLASSES][i])))
			ret->classes[ret->n_classes++] = s->objects[GW_CLASSES][i];
	gw_listeners_make(&m, ret);
	gw_routes_make(&m, ret);
}

void gw_state_release(struct gw_state *st)
{
	gw_grants_release(&st->grants);
}
