/* fake_runtime-internal.h - the in-memory runtime as its parts see it: fake_runtime.c has sandboxes and containers,
 * fake_images.c images, fake_levers.c what
 * tests do to them; fake_state.c is below these.
 *
 * Objects keep deep copies in an arena of their own, freed with them. Per-pod lookups go through the uid's bucket, so
 * that thousands of pods cost no scans. Everything is guarded by the one lock, but what a lever sets before there is
 * anything.
 */
#pragma once

#include "base/env.h"
#include "base/strmap.h"
#include "kubelet/fake_runtime.h"

#include <pthread.h>

struct fake_container {
	struct arena a;
	struct rt_container c;
	struct fake_sandbox *sandbox;
	struct fake_container *next; /* in its sandbox, newest first */
};

struct fake_sandbox {
	struct arena a;
	struct rt_sandbox s;
	struct fake_container *containers;
	struct fake_sandbox *next; /* of the same pod, newest first */
};

struct fake {
	struct runtime rt;
	struct env *env;
	pthread_mutex_t lock;
	struct strmap pods;	  /* uid -> newest fake_sandbox */
	struct strmap sandboxes;  /* id -> fake_sandbox */
	struct strmap containers; /* id -> fake_container */
	struct strmap images;	  /* name -> itself */
	struct strmap image_ids;  /* the ids of those ever present */
	bool hangs;
	struct strmap passwords; /* of private images; owned */
	struct strmap failures;	 /* op -> how many more times */
	struct strmap calls;	 /* op -> count */
	uint64_t next_id;
	uint32_t next_ip;
	bool strict, ignore_term, no_network;
	int cut_starts;
	enum rt_state cut_leaves;
	runtime_fake_made_fn *made;
	void *made_ctx;
	struct rt_features features; /* borrowed */
	runtime_fake_sandbox_fn *made_sandbox;
	void *made_sandbox_ctx;
	int exec_code;
	char *exec_out;
	void (*notice)(const struct rt_event *ev, void *ctx);
	void *notice_ctx;
};

static inline struct fake *fake_of(struct runtime *r)
{
	return CONTAINER_OF(r, struct fake, rt);
}

/* Counts the call and takes the lock; -1 (unlocked) when it shall fail. */
int fake_enter(struct fake *f, const char *op, struct err *err);
void fake_leave(struct fake *f);
/* Leaves, and says that there is no such thing. Always -1. */
int fake_leave_missing(struct fake *f, const char *what, struct sv id, struct err *err);

/* With the lock. end: its exit is told to who subscribed. lose: as what containerd tells of one whose record it does
 * not find after a crash. */
void fake_end_container(struct fake *f, struct fake_container *c, int code, const char *reason);
void fake_lose_record(struct fake_container *c);
void fake_put_image(struct fake *f, struct sv name);

/* Of struct runtime_ops (runtime.h). */
int fake_image_status(struct runtime *r, struct arena *a, struct sv image, struct rt_image **ret, struct err *err);
int fake_pull_image(struct runtime *r, struct arena *a, struct sv image, const struct val *auth, int stop_fd,
		    struct sv *ret_ref, struct err *err);
int fake_list_images(struct runtime *r, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err);
int fake_remove_image(struct runtime *r, struct sv image, struct err *err);
