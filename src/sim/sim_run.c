/* A scenario with one seed after the other, and what came of each. */
#include "sim/sim.h"

#include <stdio.h>

const struct scenario *const scenario_all[] = { &scenario_rollout, &scenario_ownership, NULL };

static int run_seed(const struct scenario *s, const struct scenario_opts *o, unsigned *violations)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct scenario_result r;

	if (s->run(o, &r, &err) < 0) {
		fprintf(stderr, "caravel: seed %" PRIu64 ": %s\n", o->seed, err_msg(&err));
		return -1;
	}
	printf("seed %" PRIu64 ": %s, hash %016" PRIx64 ", %" PRIu64 " changes in %.0f simulated seconds; %s\n",
	       o->seed, r.violations ? "FAILED" : "ok", r.hash, r.changes, (double)r.virtual_ns / 1e9, r.summary);
	if (r.violations)
		printf("  %u violations, the first: %s\n", r.violations, r.first_violation);
	fflush(stdout);
	*violations += r.violations;
	return 0;
}

int sim_run(const struct scenario *scenario, struct scenario_opts o, int seeds)
{
	unsigned violations = 0;

	o.nodes = o.nodes ? o.nodes : scenario->nodes;
	o.pods = o.pods ? o.pods : scenario->pods;
	for (int i = 0; i < seeds; i++, o.seed++)
		if (run_seed(scenario, &o, &violations) < 0)
			return 1;
	return violations ? 1 : 0;
}
