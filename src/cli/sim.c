/* `caravel sim`. */
#include "sim/sim.h"
#include "cli/cli.h"

#include <stdio.h>

static const struct scenario *find_scenario(const char *name)
{
	for (const struct scenario *const *s = scenario_all; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

int cmd_sim(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *name = scenario_rollout.name, *seed = "1";
	const struct scenario *scenario;
	struct scenario_opts o = { 0 };
	int seeds = 1;
	const struct option table[] = {
		{ "scenario", 0, OPT_STRING, &name, "NAME",
		  "which story (rollout: a rolling update while nodes fail and messages are late or lost; ownership: "
		  "owners, "
		  "namespaces and quotas meanwhile)" },
		{ "seed", 0, OPT_STRING, &seed, "N", "the same seed gives the same run (1)" },
		{ "seeds", 0, OPT_INT, &seeds, "N", "run this many, from that one on (1)" },
		{ "nodes", 0, OPT_INT, &o.nodes, "N", "up to 10000 (0: the scenario's own)" },
		{ "pods", 0, OPT_INT, &o.pods, "N", "up to 100000 (0: the scenario's own)" },
		{ "log", 0, OPT_STRING, &o.log, "FILE", "write every change and every line of the components' logs" },
	};
	struct err err = ERR_INIT;
	int rc = cli_options_parse(&a, table, ARRAY_LEN(table), argc, argv, NULL, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	scenario = find_scenario(name);
	if (!scenario)
		return cli_fail("there is no scenario '%s'; 'caravel help sim' lists them", name);
	if (!sv_to_u64(sv_from(seed), &o.seed))
		return cli_fail("--seed takes a number, not '%s'", seed);
	if (seeds < 1 || seeds > 1000000)
		return cli_fail("--seeds takes a number from 1 to 1000000, not %d", seeds);
	if (o.nodes < 0 || o.nodes > 10000)
		return cli_fail("--nodes takes a number up to 10000, not %d", o.nodes);
	if (o.pods < 0 || o.pods > 100000)
		return cli_fail("--pods takes a number up to 100000, not %d", o.pods);
	return sim_run(scenario, o, seeds);
}
