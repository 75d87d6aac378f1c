/* sim.h - whole clusters in one process, on a virtual clock, with faults from a seed. `caravel sim` is the command. */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct scenario_opts {
	uint64_t seed;
	int nodes, pods; /* 0: the scenario's own */
	const char *log; /* file name, or NULL */
};

struct scenario_result {
	uint64_t hash, changes; /* of the event log */
	int64_t virtual_ns;	/* how long it took, simulated */
	uint64_t faults;	/* injected */
	unsigned violations;
	char first_violation[256]; /* "" when there was none */
	char summary[256];
};

struct scenario {
	const char *name, *doc;
	int nodes, pods; /* by default */
	/* -1: it could not be run at all. Violations are in the result. */
	int (*run)(const struct scenario_opts *o, struct scenario_result *ret, struct err *err);
};
extern const struct scenario scenario_rollout, scenario_ownership;
extern const struct scenario *const scenario_all[]; /* NULL-terminated */

/* Runs the scenario with so many seeds from o.seed on and prints one line a seed: what happened, and a hash over every
 * change the API server stored. The same seed gives the same hash, and with o.log the same file. Returns the exit
 * status: 1 when an invariant was violated. */
int sim_run(const struct scenario *scenario, struct scenario_opts o, int seeds);
