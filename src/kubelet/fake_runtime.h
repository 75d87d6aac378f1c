/* fake_runtime.h - the levers of the in-memory runtime (runtime_fake_new) for tests and the simulator.
 *
 * Containers "run" until told otherwise. Nothing takes time, nothing is random: ids count up, addresses count
 * up through 10.88.0.0/16, times come from the env. Notices are delivered as tasks of the env.
 *
 * Threads: any (one lock); in the simulator there is only one.
 */
#pragma once

#include "kubelet/runtime.h"

/* The running container of that pod and name ends now. False when there is none. */
bool runtime_fake_exit(struct runtime *r, struct sv pod_uid, struct sv name, int exit_code, const char *reason);
/* An image that is "in the registry": pulled fine. Others are pulled fine too unless strict. */
void runtime_fake_strict_images(struct runtime *r, bool strict);
/* Pulled only by who shows that password. */
void runtime_fake_private_image(struct runtime *r, const char *name, const char *password);
void runtime_fake_add_image(struct runtime *r, const char *name); /* present on the node */
/* The sandbox of that pod dies (its containers with it). */
bool runtime_fake_kill_sandbox(struct runtime *r, struct sv pod_uid);
/* What exec_sync answers next, until changed. */
void runtime_fake_exec_result(struct runtime *r, int code, const char *out);
/* The next n calls of that operation ("run_sandbox", "create_container", ...) fail with ERR_UNAVAILABLE. */
void runtime_fake_fail(struct runtime *r, const char *op, int n);
/* The next n starts break off without an answer and leave their containers in that state: RT_CREATED, RT_EXITED (with
 * StartError), RT_UNKNOWN, or RT_RUNNING. */
void runtime_fake_cut_starts(struct runtime *r, int n, enum rt_state leaves);
/* The runtime loses its record of that running container. False when there is none. */
bool runtime_fake_lose(struct runtime *r, struct sv pod_uid, struct sv name);
/* Every call runs out of time, until changed. */
void runtime_fake_hang(struct runtime *r, bool hangs);
/* TERM is ignored: containers end only when killed. */
void runtime_fake_ignore_term(struct runtime *r, bool ignore);
void runtime_fake_network(struct runtime *r, bool ready); /* its status says so */
/* fn sees what each container is made of, and the sandbox's; views for the call. Set before containers are made. */
typedef void runtime_fake_made_fn(const struct rt_container_config *c, const struct rt_sandbox_config *sc, void *ctx);
void runtime_fake_on_create(struct runtime *r, runtime_fake_made_fn *fn, void *ctx);
/* The same of each sandbox that is run, under the runtime's lock. */
typedef void runtime_fake_sandbox_fn(const struct rt_sandbox_config *c, void *ctx);
void runtime_fake_on_sandbox(struct runtime *r, runtime_fake_sandbox_fn *fn, void *ctx);
/* What its status says it can do, which handlers it knows; borrowed while it lives. Set before it is asked. */
void runtime_fake_features(struct runtime *r, const struct rt_features *f);
size_t runtime_fake_calls(struct runtime *r, const char *op); /* how often it was called */
