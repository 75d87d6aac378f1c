/* runtime_kit.h - what the parts of the runtime suite share: the runtime they are about, and containers made short. */
#pragma once

#include "node_place.h"
#include "unit.h"

#include "base/file.h"
#include "kubelet/containerd.h"
#include "kubelet/image.h"
#include "kubelet/runtime.h"

extern struct runtime *rt;
extern struct containerd *daemon_; /* NULL on the fake */
extern struct node_place place;
extern const char *log_dir, *cgroup_root;
extern bool real;
extern struct arena A; /* the suite's */

#define OK(call)                                                 \
	do {                                                     \
		struct err e_ = ERR_INIT;                        \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, err_msg(&e_)); \
	} while (0)

/* With labels, as the kubelet makes them. */
struct rt_sandbox_config *sandbox_config(const char *name, const char *uid);
struct rt_container_config container(const char *name, const char *uid, const struct sv *cmd, size_t n);
/* The container's state once it is no longer `was`; asked again every few milliseconds, at most a minute. */
void wait_state(struct sv id, enum rt_state was, struct rt_container *ret);

/* A sandbox with a container "main"; of tests that say no more. */
struct one {
	void (*tweak)(struct one *o); /* changes the configurations before anything is made; NULL: nothing */
	struct rt_sandbox_config *sc;
	struct rt_container_config cc;
	struct sv sid, cid;
};

void run_one(struct one *o, const char *name, const char *script); /* its uid is "uid-NAME" */
void run_in(struct one *o, struct rt_container_config *cc);	   /* one more, whose id takes the place of cid */
void end_one(struct one *o);
struct sv inside(struct sv cid, const char *script); /* what it prints, trimmed; it must succeed */
struct sv log_with(struct one *o, const char *word); /* waits until the log has that */

/* runtime_process.c: what processes get. */
void test_users_and_rights(void **state);
void test_privileged(void **state);
void test_kernel_settings(void **state);
void test_shared_processes(void **state);
void test_signals_and_memory(void **state);
void test_terminal(void **state);
void test_propagation(void **state);
/* runtime_care.c: what is done to containers that run. */
void test_handlers(void **state);
void test_limits_change(void **state);
void test_log_reopened(void **state);
void test_stats(void **state);
void test_image_in_use(void **state);
void test_ends_are_remembered(void **state);
void test_killed_while_creating(void **state);
/* runtime.c */
int import_demo(struct err *err);
int daemon_kill(void);	   /* its pid */
void daemon_back(int pid); /* there is another one, and it answers */
void daemon_killed(void);  /* both */
