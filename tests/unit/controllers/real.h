/* real.h - all controllers on the real API server, with kubelets made of a loop: what the fake API cannot tell,
 * such as defaults, status strategies, admission, finalizers and namespaces. */
#pragma once

#include "../apiserver/harness.h"

#include "controllers/controllers.h"

struct cluster {
	struct rig *rig;
	struct client *client; /* of the controllers: no more rights than in life */
	struct controllers *c;
	bool fail; /* pods that end, end badly */
	bool hold; /* pods that would end stay running */
	bool beat; /* n1 says every ten seconds that it is ready: for what takes longer than nodes may be silent */
	int64_t next_beat_ns;
	/* How a pod that would end does: its exit code, or -1 to stay running. NULL: by the two above. */
	int (*end)(const struct obj *pod);
	/* Whose pods are left alone: they stay Pending, or as they were made. NULL: nobody's. */
	bool (*ill)(const struct obj *pod);
};

/* What a test does to the clients of the controllers, by account. NULL: nothing. */
extern void (*cluster_client)(struct client *c, const char *account);
extern bool cluster_snapshots; /* with VolumeSnapshots: three kinds that one test is about */
/* Starts the controllers on the rig and makes node n1. */
struct cluster cluster_start(void **state);
struct cluster cluster_start_again(void **state); /* after cluster_finish() */
/* Five looks of the kubelets a second, virtual time. */
void cluster_run(struct cluster *k, int seconds);
void cluster_finish(struct cluster *k);
