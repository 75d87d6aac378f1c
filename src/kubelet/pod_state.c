/* The edges of a pod's states, and the one place that goes along them. */
#include "kubelet/pod_state.h"

#include "base/log.h"
#include "kubelet/kpod.h"

static const char *const pod_state_names[_POD_STATE_MAX] = { "running", "stopping", "stopped", "gone" };
static const char *const pod_taken_names[_TAKEN_MAX] = { "undecided", "taken", "not taken" };

/* What does not stand here does not happen. Nothing leads back: a pod that was begun to be stopped is never run again,
 * and what was told of it as final stays so. Nothing is left out: a pod that is deleted before anything of it ran goes
 * the same way, with nothing to do in each state. */
static const bool pod_state_edges[_POD_STATE_MAX][_POD_STATE_MAX] = {
	[POD_SYNC][POD_STOPPING] =
	    true, /* deleted, gone from the API, past its deadline, refused, nothing left to run */
	[POD_STOPPING][POD_STOPPED] = true, /* nothing runs, volumes and cgroup are gone */
	[POD_STOPPED][POD_GONE] = true,	    /* the API has it no more: containers, sandboxes and logs are removed */
};

static const bool pod_taken_edges[_TAKEN_MAX][_TAKEN_MAX] = {
	[TAKEN_UNKNOWN][TAKEN_YES] = true, /* admitted, or it ran before the agent started */
	[TAKEN_UNKNOWN][TAKEN_NO] = true,  /* rejected */
	[TAKEN_YES][TAKEN_NO] = true,	   /* through */
};

const char *pod_state_name(enum pod_state s)
{
	return pod_state_names[s];
}

bool pod_state_may(enum pod_state from, enum pod_state to)
{
	return pod_state_edges[from][to];
}

bool pod_taken_may(enum pod_taken from, enum pod_taken to)
{
	return pod_taken_edges[from][to];
}

static bool pod_state_refuse(const struct kpod *p, const char *from, const char *to)
{
	log_error(SYS, "a pod cannot become that, it stays what it is: please report this", "pod", "%s/%s: %s to %s",
		  p->ns, p->name, from, to);
#ifdef CARAVEL_FAILPOINTS
	bug_abort(__FILE__, __LINE__, "an edge between states of a pod that does not exist");
#else
	return false;
#endif
}

bool pod_state_set(struct kpod *p, enum pod_state to)
{
	if (!pod_state_may(p->state, to))
		return pod_state_refuse(p, pod_state_name(p->state), pod_state_name(to));
	p->state = to;
	return true;
}

bool pod_taken_set(struct kpod *p, enum pod_taken to)
{
	enum pod_taken from = p->taken;

	if (!pod_taken_may(from, to))
		return pod_state_refuse(p, pod_taken_names[from], pod_taken_names[to]);
	p->taken = to;
	return true;
}
