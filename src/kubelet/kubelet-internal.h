/* kubelet-internal.h - what the files of the node agent share.
 *
 * Ownership and threads. struct kubelet owns the table of pods; each struct kpod is counted: the table holds
 * one reference, every task about it (probe, hook, pull) another. A pod's sync runs one at a time (workq, key:
 * uid); what tasks beside it write is under kpod.lock, which is never held across a call to the client, the
 * runtime or the host. Tasks begin with ktask_enter(), which fails once the kubelet is being freed, so that
 * nothing borrowed (client, runtime) is touched after kubelet_free() returned.
 */
#pragma once

#include "base/buf.h"
#include "base/strmap.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "kubelet/cgroups.h"
#include "kubelet/config_watch.h"
#include "kubelet/kubelet.h"
#include "kubelet/pod_spec.h"
#include "kubelet/runtime_health.h"

#include <pthread.h>
#include <stdio.h>

#define SYS "kubelet"
#define NEVER_NS INT64_MAX

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, _PROBE_KIND_MAX };
enum probe_result { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };
enum pull_state { PULL_NONE, PULL_RUNNING, PULL_DONE, PULL_FAILED };
enum hook_state { HOOK_NONE, HOOK_RUNNING, HOOK_DONE, HOOK_FAILED };

/* What comes next for a container that is being stopped, as noted for an agent after us. */
enum stop_stage { STOP_HOOK, STOP_TERM, STOP_END };

struct prober;

/* What is remembered of a container of a pod beside what the runtime tells. */
struct kcont {
	char *name;
	char *id; /* the instance that probes, hooks and stopping below are about; NULL: none yet */
	struct prober *probers[_PROBE_KIND_MAX];
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
	/* CrashLoopBackOff (backoff.h). */
	int64_t backoff_ns, backoff_at_ns;
	/* Its image (images.c). */
	enum pull_state pull;
	char *pull_error;
	int64_t pull_backoff_ns, pull_backoff_at_ns;
	/* What the instance was last given (pod_resize.c), and why it has not got what the spec says. */
	struct cont_limits {
		bool known;
		int64_t cpu_shares, cpu_quota, memory_bytes;
	} limits;
	const char *resize_reason; /* constant: "Infeasible", "Error"; NULL: nothing is outstanding */
	char *resize_message;
};

/*		    first sight, or adopted after a restart of the agent
 *				  │
 *				  ▼
 *	 spec changes, ┌───▶ POD_SYNC ────────────────┐
 *	 exits, probes └──────┘   │ deleted, deadline,  │ nothing left to run,
 *				  │ object gone	       │ nothing to restart
 *				  ▼		       │
 *			     POD_STOPPING ◀────────────┘
 *				  │ no container runs, sandbox stopped
 *				  ▼
 *			     POD_STOPPED  volumes and cgroup gone, final status written
 *				  │ object deleted (by us when it was being deleted)
 *				  ▼
 *			     POD_GONE	  containers, sandbox and logs removed; leaves the table
 */
enum pod_state { POD_SYNC, POD_STOPPING, POD_STOPPED, POD_GONE };

/* Has the pod a place on this node? Decided once (pod_admit.h), given up when nothing of it runs any more. */
enum pod_taken { TAKEN_UNKNOWN, TAKEN_YES, TAKEN_NO };

struct pod_token {
	char *key, *token;
	int64_t refresh_ns; /* wall clock */
};

struct kpod {
	struct kubelet *k;
	_Atomic int refs;
	char *uid, *ns, *name;

	_Atomic enum pod_taken taken;

	pthread_mutex_t lock;	/* the fields up to the next comment */
	struct obj *obj;	/* newest version, or the last before it vanished; owned */
	bool vanished;		/* the API has it no more */
	bool refresh;		/* volumes are to be looked at again */
	char *noticed;		/* a container said to have ended; NULL: seen ended, or none */
	unsigned noticed_looks; /* how often the runtime did not know yet */
	bool preempted;		/* it goes for a critical pod */

	/* Owned by the sync of this pod. */
	enum pod_state state;
	VEC(struct kcont *) conts;
	bool dirs_made, volumes_ready, torn_down, finished_runtime;
	bool watching, network_waited; /* its ConfigMaps and Secrets; for the node's network, and said so */
	char *forced_reason;	       /* "DeadlineExceeded"; the pod is Failed for it */
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
	struct obj *sent; /* what our last status patch returned; owned */
	VEC(struct pod_token) tokens;
	char *ips; /* of the sandbox, space separated; cached by its id */
	char *ips_of;
	unsigned sandbox_failures, failures; /* in a row */
};

struct kubelet {
	struct env *env;
	struct client *client;
	struct runtime *rt;
	const struct kubelet_host *host;
	bool files; /* the real host: file system, cgroups and sockets are there */
	char *node_name, *node_ip, *root_dir, *log_dir, *cluster_dns, *cluster_domain, *resolv_conf, *pause_image,
	    *cgroup_root;
	int max_pods, port;
	int64_t pod_max_pids; /* 0: no limit */
	int64_t status_period_ns, lease_period_ns;
	char **node_labels, **node_taints;

	struct informer_factory *factory;
	struct informer *pods, *services;
	struct recorder *recorder;
	struct workq *q, *orphans; /* by uid */

	pthread_mutex_t lock; /* table, by_container, active, stopping */
	pthread_cond_t idle;
	pthread_mutex_t admitting;  /* before k->lock; one pod at a time is taken or refused */
	struct strmap table;	    /* uid -> kpod */
	struct strmap by_container; /* runtime id -> uid (owned text) */
	struct strmap relisted;	    /* uid -> hash of what the last relist saw */
	int active;
	bool stopping;
	_Atomic int refs;

	struct env_timer *relist_timer, *refresh_timer, *status_timer, *lease_timer, *rotate_timer, *health_timer,
	    *repair_timer;
	int64_t relist_period_ns;
	bool subscribed;
	_Atomic int measuring;	     /* pods whose emptyDirs are being measured */
	_Atomic int64_t relisted_ns; /* mono: the last relist that came through */
	struct rt_health *health;
	void (*runtime_hangs)(void *ctx);
	void *runtime_ctx;
	int (*repair)(void *ctx, struct buf *said);
	void *repair_ctx;
	char *repair_said; /* last; the repair's task only, as whether there was one */
	bool repaired;
	bool repair_wanted; /* the links changed since it began to look; under lock */
	bool repair_did; /* the last look changed links itself, or could not: the next one comes when due; under lock */
	struct link_watch *links;

	struct config_watch *configs;
	struct node_status *node;
	struct images *images;
	struct kserver *server;
};

/* --- tasks --- */

struct kubelet *kubelet_ref(struct kubelet *k);
void kubelet_unref(struct kubelet *k);
bool ktask_enter(struct kubelet *k); /* false: stopping; do not touch anything, just release references */
void ktask_leave(struct kubelet *k);
/* A repeating timer: its task fn(k) begins with kubelet_fired() (false: leave at once), ends with
 * kubelet_fired_end(), and arms the next run in between. slot is under k->lock. */
void kubelet_rearm(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn);
/* Under k->lock: the next run comes after delay_ns already. */
void kubelet_hurry(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn);
bool kubelet_fired(struct kubelet *k, struct env_timer **slot);
void kubelet_fired_end(struct kubelet *k);

/* --- pods --- */

struct kpod *kpod_ref(struct kpod *p);
void kpod_unref(struct kpod *p);
struct kpod *kubelet_pod(struct kubelet *k, struct sv uid); /* new reference or NULL */
struct kpod *kubelet_pod_named(struct kubelet *k, struct sv ns, struct sv name);
/* New references to all pods, in an arena array. */
struct kpod **kubelet_pods(struct kubelet *k, struct arena *a, size_t *ret_n);
void kpod_kick(struct kpod *p);					 /* sync it soon */
struct obj *kpod_obj(struct kpod *p, struct arena *a);		 /* the newest version, linked to a */
struct kcont *kpod_cont(struct kpod *p, struct sv name);	 /* made when missing; sync only */
void kcont_reset(struct kpod *p, struct kcont *c, struct sv id); /* a new instance: probes, hooks and stopping anew */
void kcont_wait(struct kpod *p, struct kcont *c, const char *reason, const char *fmt, ...) _printf_(4, 5);
void kpod_event(struct kpod *p, const struct val *container, const char *type, const char *reason, const char *fmt, ...)
    _printf_(5, 6);
void kubelet_know_container(struct kubelet *k, struct sv id, struct sv uid);
void kubelet_forget_container(struct kubelet *k, struct sv id);
void kubelet_forget_pod(struct kubelet *k, struct kpod *p); /* leaves the table */

/* pod_worker.c */
int pod_sync(void *k, struct sv uid, struct reconcile_result *ret, struct err *err);

/* orphans.c: pods of the runtime that the API does not know, left over from before the agent's start. Some at a time
 * are ended and removed, as pods' syncs beside them are; the relist adds what it sees. */
struct workq *orphans_new(struct kubelet *k);

/* What the runtime holds of one pod. */
struct pod_actual {
	struct rt_sandbox *sandboxes; /* newest first */
	size_t n_sandboxes;
	struct rt_container *containers; /* newest first; with exit details */
	size_t n_containers;
	struct rt_sandbox *sandbox; /* the newest when it is ready, else NULL */
};
/* pod_actual.c */
int pod_actual_read(struct kubelet *k, struct arena *a, struct sv uid, struct pod_actual *ret, struct err *err);
/* Newest (nth 0) or an older instance of a container. */
struct rt_container *pod_actual_find(const struct pod_actual *x, struct sv name, size_t nth);
int rt_restart_count(const struct rt_container *c); /* from its annotation */
struct sv rt_annotation(const struct rt_container *c, const char *key);
/* Was it made, and never ran, as far as anybody knows? told: the newest status of the pod. */
bool instance_never_ran(const struct kcont *c, const struct val *told, const struct rt_container *rc);

/* pod_stop.c: one step of stopping; true when no container of the pod runs any more. grace_s < 0: the pod's own. */
bool pod_stop_step(struct kpod *p, const struct val *pod, const struct pod_actual *x, int64_t grace_s,
		   int64_t *wake_ns);
/* One container, e.g. for a failed liveness probe; true when it does not run. why: for the event of the first
 * step, NULL: nothing special. */
bool container_stop_step(struct kpod *p, const struct val *pod, const struct val *spec, const struct rt_container *rc,
			 const char *why, int64_t grace_s, int64_t *wake_ns);

/* pod_resize.c: gives a running container the resources its spec says now; true when that needs a restart. */
bool container_resize_step(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
			   struct kcont *c, int64_t *wake_ns);
/* The pod's own cgroup follows what its spec says; after its containers. */
void pod_resize_step(struct kpod *p, const struct val *pod, int64_t *wake_ns);
/* It was started with what the spec says. */
void container_resources_given(const struct val *pod, const struct val *spec, struct kcont *c);

/* pod_evict.c: sees now and then whether an emptyDir is larger than its sizeLimit. The message when one is, in a. */
const char *pod_over_limit(struct kpod *p, struct arena *a, const struct val *pod, int64_t *wake_ns);

/* pod_start.c */
int pod_sandbox_start(struct kpod *p, struct arena *a, const struct val *pod, const struct pod_actual *x,
		      struct err *err);
/* The Linux resources of a container's configuration. */
void container_resources(const struct val *pod, const struct val *spec, struct rt_container_config *c);
/* Creates and starts an instance. On failure the wait reason is set as well. told: the newest status of the pod. */
int pod_container_start(struct kpod *p, struct arena *a, const struct val *pod, const struct val *told,
			const struct val *spec, const struct pod_actual *x, struct sv image_ref, struct err *err);

/* hooks.c: run as tasks; kick the pod when done. */
void hook_start(struct kpod *p, struct kcont *c, const struct val *container, const struct val *handler, bool pre_stop,
		int64_t timeout_ns);
/* Runs one handler (exec, httpGet, tcpSocket, grpc, sleep) now; shared with probes. PROBE_UNKNOWN: could not. */
enum probe_result handler_run(struct kpod *p, struct arena *a, const struct val *container, struct sv id,
			      const struct val *handler, int64_t timeout_ns, struct sv *ret_why);

/* probes.c */
void probes_ensure(struct kpod *p, struct kcont *c, const struct val *container);
void probes_stop(struct kpod *p, struct kcont *c);
/* It is being stopped, and runs still: only readiness is asked for any more. */
void probes_ending(struct kpod *p, struct kcont *c, const struct val *container);
enum probe_result probe_get(struct kpod *p, const struct kcont *c, enum probe_kind kind);
bool kcont_started(struct kpod *p, const struct kcont *c, const struct val *spec);
/* Of one that runs; also while it is being stopped. */
bool kcont_ready(struct kpod *p, const struct kcont *c, const struct val *spec);
enum probe_result probe_step(enum probe_result result, enum probe_result *last, int64_t *streak,
			     enum probe_result outcome, int64_t success_threshold, int64_t failure_threshold);
int64_t probe_grace(const struct kcont *c, enum probe_kind kind); /* its own terminationGracePeriodSeconds or -1 */

/* images.c: 1 present (*ret_ref), 0 being pulled (the pod is kicked when done), -1 cannot (wait reason set). */
struct images *images_new(struct kubelet *k);
struct images *images_free(struct images *i);
int images_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct kcont *c,
		  struct sv *ret_ref, int64_t *wake_ns);

/* status_sync.c: gathers, computes (status.h) and writes the pod's status when it changed. */
void pod_ips_update(struct kpod *p, struct arena *a, const struct pod_actual *x); /* p->ips, from the sandbox */
const struct val *pod_told(const struct kpod *p, const struct obj *obj);	  /* the newest version, ours or obj */
int pod_status_sync(struct kpod *p, struct arena *a, struct obj *obj, const struct pod_actual *x, struct err *err);

/* host.c */
extern const struct kubelet_host kubelet_host_real;
char *pod_dir(struct kubelet *k, struct arena *a, struct sv uid);
char *pod_log_dir(struct kubelet *k, struct arena *a, const struct val *pod);
/* Of one instance, below k->log_dir. */
char *container_log_path(struct arena *a, const struct val *pod, struct sv container, int64_t restart_count);
/* Removes the pod's directory and its logs, a part at a time: 1: call again, 0: gone. */
int pod_dirs_remove(struct kubelet *k, const struct val *pod, struct err *err);
char *termination_log_path(struct kubelet *k, struct arena *a, struct sv uid, struct sv container, int restart_count);

/* node_status.c: registers, then keeps status and lease fresh. */
struct node_status *node_status_new(struct kubelet *k, struct err *err);
void node_status_hurry(struct kubelet *k); /* it is to be written now */
/* About the Node, once it is registered. */
void node_status_event(struct kubelet *k, const char *type, const char *reason, const char *fmt, ...) _printf_(4, 5);
struct node_status *node_status_free(struct node_status *n);
/* Can pods be given a network? False with why ("" before the first look) in the arena; pods are kicked when it can. */
bool node_network_ready(struct kubelet *k, struct arena *a, struct sv *ret_why);

/* node_repair.c: what the node has made of its machine, every ten seconds and a second after links changed: put back,
 * and said. After it had something to put back it waits ten seconds in any case: its own changes are links', too, and
 * a pod that takes its network away again and again keeps nobody busy. */
void node_limit_pids(struct kubelet *k); /* of all pods together */
void node_repair_start(struct kubelet *k);
void node_repair_soon(void *k); /* any thread */

/* logs_rotate.c */
void logs_rotate_start(struct kubelet *k);

/* server.c */
struct kserver *kserver_new(struct kubelet *k, const struct kubelet_opts *o, struct err *err);
int kserver_fd(const struct kserver *s);
int kserver_port(const struct kserver *s);
struct kserver *kserver_free(struct kserver *s);
