/* What the runtime has of a pod: its sandboxes and containers, the newest first, and what their annotations say. */
#include "kubelet/pod_actual.h"

#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_table.h"

#include <stdlib.h>

/* By attempt, which grows: the runtime may have lost when one was made together with the rest of its record. */
static int newer(uint32_t attempt_a, int64_t created_a, uint32_t attempt_b, int64_t created_b)
{
	if (attempt_a != attempt_b)
		return attempt_a < attempt_b ? 1 : -1;
	return (created_b > created_a) - (created_b < created_a);
}

static int newer_sandbox(const void *x, const void *y)
{
	const struct rt_sandbox *a = x, *b = y;

	return newer(a->attempt, a->created_ns, b->attempt, b->created_ns);
}

static int newer_container(const void *x, const void *y)
{
	const struct rt_container *a = x, *b = y;

	return newer(a->attempt, a->created_ns, b->attempt, b->created_ns);
}

int pod_actual_read(struct kubelet *k, struct arena *a, struct sv uid, struct pod_actual *ret, struct err *err)
{
	size_t n = 0;

	*ret = (struct pod_actual){ 0 };
	if (k->rt->ops->list_sandboxes(k->rt, a, uid, &ret->sandboxes, &ret->n_sandboxes, err) < 0 ||
	    k->rt->ops->list_containers(k->rt, a, uid, &ret->containers, &ret->n_containers, err) < 0)
		return err_wrap(err, "asking the runtime");
	for (size_t i = 0; i < ret->n_sandboxes; i++)
		kubelet_know_container(k, ret->sandboxes[i].id, uid);
	/* The list says little; how one started and ended is in its status. It may be gone by now. */
	for (size_t i = 0; i < ret->n_containers; i++) {
		struct sv sandbox_id = ret->containers[i].sandbox_id;
		struct err e = ERR_INIT;

		kubelet_know_container(k, ret->containers[i].id, uid);
		if (k->rt->ops->container_status(k->rt, a, ret->containers[i].id, &ret->containers[n], &e) < 0) {
			if (e.reason != ERR_NOT_FOUND)
				return err_move(err, &e);
			err_release(&e);
			continue;
		}
		ret->containers[n++].sandbox_id = sandbox_id;
	}
	ret->n_containers = n;
	qsort(ret->sandboxes, ret->n_sandboxes, sizeof(*ret->sandboxes), newer_sandbox);
	qsort(ret->containers, ret->n_containers, sizeof(*ret->containers), newer_container);
	if (ret->n_sandboxes && ret->sandboxes[0].ready)
		ret->sandbox = &ret->sandboxes[0];
	return 0;
}

struct rt_container *pod_actual_find(const struct pod_actual *x, struct sv name, size_t nth)
{
	for (size_t i = 0; i < x->n_containers; i++)
		if (sv_eq(x->containers[i].name, name) && nth-- == 0)
			return &x->containers[i];
	return NULL;
}

struct sv rt_annotation(const struct rt_container *c, const char *key)
{
	for (size_t i = 0; i < c->n_annotations; i++)
		if (sv_is(c->annotations[i].key, key))
			return c->annotations[i].value;
	return SV("");
}

int rt_restart_count(const struct rt_container *c)
{
	int64_t n;

	return sv_to_i64(rt_annotation(c, "io.kubernetes.container.restartCount"), &n) && n >= 0 && n < INT_MAX
		   ? (int)n
		   : (int)c->attempt;
}
