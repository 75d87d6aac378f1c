#include "kubelet/runtime_class.h"

#include "client/informer_lazy.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_table.h"

#include <stdlib.h>

struct runtime_classes {
	struct kubelet *k;
	struct informer_lazy lazy;
};

static void runtime_class_came(struct obj *o, void *ctx)
{
	struct runtime_classes *c = ctx;

	(void)o;
	kubelet_kick_all(c->k);
}

static void runtime_class_changed(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		runtime_class_came(neu, ctx);
}

struct runtime_classes *runtime_classes_new(struct kubelet *k)
{
	struct runtime_classes *c = xcalloc(1, sizeof(*c));

	c->k = k;
	informer_lazy_init(&c->lazy);
	return c;
}

struct runtime_classes *runtime_classes_free(struct runtime_classes *c)
{
	if (!c)
		return NULL;
	informer_lazy_release(&c->lazy);
	free(c);
	return NULL;
}

int runtime_class_handler(struct runtime_classes *c, struct arena *a, struct sv name, struct sv *ret, struct err *err)
{
	static const struct informer_handler handler = { .add = runtime_class_came, .update = runtime_class_changed };
	struct err e = ERR_INIT;
	struct informer *i;
	struct obj *o;

	*ret = SV("");
	if (!name.n)
		return 0;
	i = informer_lazy_get(&c->lazy, c->k->client, RES(node_runtimeclasses), NULL, &handler, c);
	o = informer_lookup(i, SV(""), name);
	if (!o && client_get(c->k->client, RES(node_runtimeclasses), SV(""), name, &o, &e) < 0) {
		if (e.reason == ERR_NOT_FOUND) {
			err_release(&e);
			return err_set(err, ERR_NOT_FOUND, "runtimeclass.node.k8s.io \"%.*s\" not found", SV_ARG(name));
		}
		err_wrap(&e, "failed to lookup RuntimeClass %.*s", SV_ARG(name));
		return err_move(err, &e);
	}
	*ret = arena_sv(a, val_str(obj_get(o, F_handler)));
	obj_unref(o);
	return 0;
}

int runtime_class_look(struct runtime_classes *c, struct arena *a, struct sv name, struct rt_handler *ret,
		       struct err *err)
{
	struct runtime *rt = c->k->rt;
	struct rt_status st;

	*ret = (struct rt_handler){ 0 };
	if (runtime_class_handler(c, a, name, &ret->name, err) < 0 || rt->ops->status(rt, a, &st, err) < 0)
		return -1;
	for (size_t i = 0; i < st.features.n_handlers; i++)
		if (sv_eq(st.features.handlers[i].name, ret->name))
			*ret = st.features.handlers[i];
	return 0;
}
