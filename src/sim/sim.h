/* sim.h - `caravel sim`: whole clusters in one process, on a virtual clock, with faults from a seed.
 *
 *	caravel sim [--scenario rollout] [--seed N] [--seeds N] [--nodes N] [--pods N] [--log FILE]
 *
 * Runs the scenario with seeds N, N+1, ... and prints one line a seed: what happened, and a hash
 * over every change the API server stored. The same seed gives the same hash, and with --log the
 * same file. Exit status 1 when an invariant was violated.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

int sim_main(int argc, char **argv);

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
extern const struct scenario scenario_rollout;
extern const struct scenario *const scenario_all[]; /* NULL-terminated */
