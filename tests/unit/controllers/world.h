/* world.h - a cluster small enough for a unit test: the fake API, the controllers under test and
 * kubelets made of a loop, in virtual time. */
#pragma once

#include "unit.h"

#include "controllers/controllers.h"
#include "fake_api.h"
#include "sim/env_sim.h"

struct world {
	struct env *env;
	struct fake_api *api;
	struct controllers *c;
	/* Pods get a node and become ready this long after they were made; -1: never. */
	int64_t start_ns;
	bool no_kubelet;
	const char *broken_image; /* pods with it never become ready */
	/* Called each step, after everything due has run. */
	void (*check)(struct world *w);
	int64_t replicas, most, least; /* for checks */
	bool seen_ready;
};

/* Starts with nothing in the API and runs until controllers are synced. only: names of controllers to run. */
struct world *world_new(uint64_t seed, const char *const *only);
struct world *world_new_opts(uint64_t seed, const char *const *only, const struct controllers_opts *o);
/* The controllers end, and these begin with what is in the API. */
void world_restart(struct world *w, const char *const *only);
void world_restart_opts(struct world *w, const char *const *only, const struct controllers_opts *o);
void world_free(struct world *w);
void world_run(struct world *w, int64_t ns); /* in steps of 100 ms, kubelets run between them */
/* Runs until cond, at most limit; fails the test when it does not come true. */
void world_until(struct world *w, int64_t limit_ns, bool (*cond)(struct world *w));

size_t world_pods(struct world *w, const char *ns, bool ready_only); /* not being deleted */
int64_t world_int(struct world *w, const struct resource *r, const char *ns, const char *name, enum sym a, enum sym b);
struct sv world_event(struct world *w, struct arena *a,
		      const char *reason); /* message of the first such event, or "" */
