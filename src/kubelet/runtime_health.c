#include "kubelet/runtime_health.h"

#include "base/log.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/node_status.h"
#include "kubelet/pod_table.h"
#include "kubelet/runtime_down.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* With the time that a question may take: whoever is not there has been missed, and a report of the node that waits for
 * an answer itself has been written, within ten seconds. */
#define PERIOD_NS (2 * NS_PER_SEC)
#define AGAIN_NS NS_PER_SEC
#define REFUSED_NS (3 * NS_PER_SEC) /* a restart takes less */
#define HANG_NS (20 * NS_PER_SEC)
#define ENDED_NS (60 * NS_PER_SEC) /* not reported again before */

struct rt_health {
	struct kubelet *k; /* the thread holds a reference */
	_Atomic int refs;  /* the kubelet, the thread */
	int stop_fd;
	_Atomic bool stop;
	/* Of the one that asks. */
	int64_t failing_ns; /* mono; 0: it answers */
	int64_t ended_ns;
	bool hangs;
};

static void rt_health_unref(struct rt_health *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	close(h->stop_fd);
	free(h);
}

/* Everybody waits for it, or for what it says: now. */
static void rt_health_tell(struct kubelet *k, bool all)
{
	node_status_hurry(k);
	if (all)
		kubelet_kick_all(k);
}

static void rt_health_up(struct rt_health *h)
{
	struct kubelet *k = h->k;
	bool was = runtime_down(k);

	h->failing_ns = h->ended_ns = 0;
	h->hangs = false;
	if (!was)
		return;
	runtime_down_set(&k->runtime_down, NULL);
	log_info(SYS, "the container runtime answers again", "node", "%s", k->node_name);
	node_status_event(k, "Normal", "ContainerRuntimeUp", "The container runtime answers again");
	rt_health_tell(k, true);
}

static void rt_health_fail(struct rt_health *h, int64_t began, const struct err *err)
{
	struct kubelet *k = h->k;
	int64_t now = env_mono_ns(k->env);

	if (!h->failing_ns)
		h->failing_ns = MAX(began, 1);
	h->hangs = err->reason == ERR_TIMEOUT;
	if (!runtime_down(k) && (h->hangs || now - h->failing_ns >= REFUSED_NS)) {
		char *why = xasprintf("%s: %s", h->hangs ? "it hangs" : "it is gone", err_msg(err));

		runtime_down_set(&k->runtime_down, why);
		log_warn(SYS,
			 "the container runtime does not answer, pods wait: start it, or check "
			 "--container-runtime-endpoint",
			 "why", "%s", why);
		node_status_event(k, "Warning", "ContainerRuntimeDown", "The container runtime does not answer: %s",
				  why);
		rt_health_tell(k, false);
	}
	if (runtime_down(k) && h->hangs && k->runtime_hangs && now - h->failing_ns >= HANG_NS &&
	    (!h->ended_ns || now - h->ended_ns >= ENDED_NS)) {
		h->ended_ns = now;
		k->runtime_hangs(k->runtime_ctx);
	}
}

/* One question; returns when to ask next. */
static int64_t rt_health_ask(struct rt_health *h)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct kubelet *k = h->k;
	int64_t began = env_mono_ns(k->env);
	struct rt_version v;

	if (k->rt->ops->version(k->rt, &a, &v, &err) == 0)
		rt_health_up(h);
	else
		rt_health_fail(h, began, &err);
	return h->failing_ns ? AGAIN_NS : PERIOD_NS;
}

static void rt_health_thread(void *ctx)
{
	struct rt_health *h = ctx;
	struct kubelet *k = h->k;
	int64_t wait = PERIOD_NS;

	while (!h->stop) {
		struct pollfd p = { .fd = h->stop_fd, .events = POLLIN };

		(void)poll(&p, 1, (int)(wait / NS_PER_MS));
		if (h->stop || !ktask_enter(k))
			break;
		wait = rt_health_ask(h);
		ktask_leave(k);
	}
	rt_health_unref(h);
	kubelet_unref(k);
}

static void rt_health_fired(void *ctx)
{
	struct kubelet *k = ctx;

	if (!kubelet_fired(k, &k->health_timer))
		return;
	kubelet_rearm(k, &k->health_timer, ENV_NODE, rt_health_ask(k->health), rt_health_fired);
	kubelet_fired_end(k);
}

struct rt_health *rt_health_new(struct kubelet *k)
{
	struct rt_health *h = xcalloc(1, sizeof(*h));

	h->k = k;
	h->refs = 2;
	h->stop_fd = eventfd(0, EFD_CLOEXEC);
	BUG_ON(h->stop_fd < 0);
	k->health = h;
	kubelet_ref(k);
	if (env_thread(k->env, "runtime-health", rt_health_thread, h) < 0) {
		h->refs = 1;
		kubelet_unref(k);
		kubelet_rearm(k, &k->health_timer, ENV_NODE, PERIOD_NS, rt_health_fired);
	}
	return h;
}

struct rt_health *rt_health_free(struct rt_health *h)
{
	if (!h)
		return NULL;
	h->stop = true;
	(void)eventfd_write(h->stop_fd, 1);
	rt_health_unref(h);
	return NULL;
}
