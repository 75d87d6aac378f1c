/* kpod.h - a pod of this node, and what is remembered of its containers beside what the runtime tells.
 *
 * Ownership and threads. Each struct kpod is counted: the table (pod_table.h) holds one reference, every task about it
 * (probe, hook, pull) another. Its sync runs one at a time (workq, key: uid); what tasks beside it write is under
 * kpod.lock, which is never held across a call to the client, the runtime or the host.
 */
#pragma once

#include "base/retry.h"
#include "base/strmap.h"
#include "kubelet/cgroups.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_state.h"

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, _PROBE_KIND_MAX };
enum probe_result { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE, _PROBE_RESULT_MAX };
enum pull_state { PULL_NONE, PULL_RUNNING, PULL_DONE, PULL_FAILED };
enum hook_state { HOOK_NONE, HOOK_RUNNING, HOOK_DONE, HOOK_FAILED };

/* What comes next for a container that is being stopped, as noted for an agent after us. */
enum stop_stage { STOP_HOOK, STOP_TERM, STOP_END };

/* CrashLoopBackOff and ImagePullBackOff, upstream's: the first failure costs nothing yet but starts the count; ten
 * quiet minutes forget it. */
extern const struct retry_policy kcont_retry;

struct pod_cert;
struct prober;

/* What is remembered of a container of a pod beside what the runtime tells. */
struct kcont {
	char *name;
	char *id; /* the instance that probes, hooks and stopping below are about; NULL: none yet */
	struct prober *probers[_PROBE_KIND_MAX];
	uint64_t probed[_PROBE_KIND_MAX][_PROBE_RESULT_MAX]; /* how often with which outcome; under kpod.lock */
	enum hook_state post_start, pre_stop;
	char *hook_message;
	/* Stopping: 0 / NEVER_NS when not begun. */
	int64_t kill_at_ns, stop_grace_s;
	bool stop_wanted, term_sent, killed;
	bool stop_call; /* a stop task is under way */
	enum stop_stage noted;
	bool unanswered;   /* it was not seen running, and the runtime has not said how its start went */
	bool start_failed; /* the last try to make an instance, or to start it */
	/* Why it is not running: survives instances. NULL: no reason. */
	char *wait_reason, *wait_message;
	struct retry crashed; /* CrashLoopBackOff */
	/* Its image (images.c). */
	enum pull_state pull;
	char *pull_error;
	struct retry unpulled; /* ImagePullBackOff */
	/* What the instance was last given (pod_resize.c), and why it has not got what the spec says. */
	struct cont_limits {
		bool known;
		int64_t cpu_shares, cpu_quota, memory_bytes;
	} limits;
	const char *resize_reason; /* constant: "Infeasible", "Error"; NULL: nothing is outstanding */
	char *resize_message;
};

struct pod_token {
	char *token;
	int64_t refresh_ns; /* wall clock */
};

/* Where a claim of the pod was found to be. */
struct kpod_claim {
	char *volume, *claim, *path;
	char *outside; /* the PersistentVolume's name where a driver outside has it; NULL: it is of this machine */
	bool block;
};

struct kpod {
	struct kubelet *k;
	_Atomic int refs;
	char *uid, *ns, *name;

	_Atomic enum pod_taken taken; /* pod_taken_set() */

	pthread_mutex_t lock;	/* the fields up to the next comment */
	struct obj *obj;	/* newest version, or the last before it vanished; owned */
	bool vanished;		/* the API has it no more */
	bool lost;		/* a restored cluster does not know it (lost.h): it is let go of as it is */
	bool refresh;		/* volumes are to be looked at again */
	char *noticed;		/* a container said to have ended; NULL: seen ended, or none */
	unsigned noticed_looks; /* how often the runtime did not know yet */
	bool preempted;		/* it goes for a critical pod */
	VEC(struct kpod_claim) claims;
	VEC(char *) handed; /* names of local volumes that it may mount at any time (kubelet_hands()) */

	/* Owned by the sync of this pod. */
	enum pod_state state; /* pod_state_set() */
	VEC(struct kcont *) conts;
	bool dirs_made, finished_runtime;
	_Atomic bool volumes_ready, torn_down; /* whoever counts volumes reads them */
	bool watching, network_waited;	       /* its ConfigMaps and Secrets; for the node's network, and said so */
	char *forced_reason;		       /* "DeadlineExceeded"; the pod is Failed for it */
	char *forced_message;
	struct { /* what its cgroup was last given (pod_resize.c) */
		bool known;
		struct cgroup_limits limits;
	} cgroup_given;
	bool refused;  /* never taken: forced_reason says why */
	bool terminal; /* it will not run (again) */
	int64_t started_ns;
	/* Sizes of emptyDirs (pod_evict.c); over_limit is set by the task, under lock. */
	int64_t measure_at_ns;
	bool measuring;
	char *over_limit;
	struct obj *sent;     /* what our last status patch returned; owned */
	struct strmap tokens; /* audience and seconds -> struct pod_token * */
	struct strmap certs;  /* volume/index of the source -> struct pod_cert * */
	char *ips;	      /* of the sandbox, space separated; cached by its id */
	char *ips_of;
	char *ready_of;			     /* the sandbox whose network is ready; NULL: none */
	unsigned sandbox_failures, failures; /* in a row */
	unsigned network_failures;
};

struct kpod *kpod_ref(struct kpod *p);
void kpod_unref(struct kpod *p);
void kpod_claim_seen(struct kpod *p, struct sv volume, struct sv claim, const char *path, bool block,
		     struct sv outside);
struct kpod_claim *kpod_claims(struct kpod *p, struct arena *a, size_t *ret_n); /* copies, in the arena */
void kpod_kick(struct kpod *p);							/* sync it soon */
void kpod_refresh(struct kpod *p); /* and look at what its volumes show again; not with p->lock held */
struct obj *kpod_obj(struct kpod *p, struct arena *a);	 /* the newest version, linked to a */
struct kcont *kpod_cont(struct kpod *p, struct sv name); /* made when missing; sync only */
/* Why it is not running, as its status says; reason NULL: nothing to say. */
void kcont_wait(struct kpod *p, struct kcont *c, const char *reason, const char *fmt, ...) _printf_(4, 5);
/* About the pod, or, with container (a view of its spec), about that. */
void kpod_event(struct kpod *p, const struct val *container, const char *type, const char *reason, const char *fmt, ...)
    _printf_(5, 6);
