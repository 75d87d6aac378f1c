/* Whether the container runtime answers, as a flag that everybody reads before a call that would wait. */
#include "kubelet/runtime_down.h"

#include "kubelet/kubelet-internal.h"

#include <stdlib.h>

void runtime_down_init(struct runtime_down *d)
{
	pthread_mutex_init(&d->lock, NULL);
}

void runtime_down_release(struct runtime_down *d)
{
	pthread_mutex_destroy(&d->lock);
	free(d->why);
}

void runtime_down_set(struct runtime_down *d, char *why_take)
{
	bool down = why_take != NULL;

	pthread_mutex_lock(&d->lock);
	free(d->why);
	d->why = why_take;
	pthread_mutex_unlock(&d->lock);
	d->down = down;
}

bool runtime_down(struct kubelet *k)
{
	return k->runtime_down.down;
}

bool runtime_down_why(struct kubelet *k, struct arena *a, const char **ret_why)
{
	struct runtime_down *d = &k->runtime_down;

	if (!d->down)
		return false;
	pthread_mutex_lock(&d->lock);
	*ret_why = arena_printf(a, "container runtime is down: %s", d->why ? d->why : "it does not answer");
	pthread_mutex_unlock(&d->lock);
	return true;
}
