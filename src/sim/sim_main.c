#include "sim/sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

const struct scenario *const scenario_all[] = { &scenario_rollout, NULL };

static int usage(FILE *to)
{
	fputs("Usage: caravel sim [--scenario NAME] [--seed N] [--seeds N] [--nodes N] [--pods N] [--log FILE]\n"
	      "\nRuns a whole cluster on a virtual clock, with faults; the same seed gives the same run.\n\n",
	      to);
	for (const struct scenario *const *s = scenario_all; *s; s++)
		fprintf(to, "  %-10s %s (%d nodes, %d pods)\n", (*s)->name, (*s)->doc, (*s)->nodes, (*s)->pods);
	return to == stdout ? 0 : 2;
}

static bool number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	if (sv_to_i64(sv_from(text), ret) && *ret >= min && *ret <= max)
		return true;
	fprintf(stderr, "caravel sim: '%s' is not a number from %" PRId64 " to %" PRId64 "\n", text, min, max);
	return false;
}

static int run_seed(const struct scenario *s, const struct scenario_opts *o, unsigned *violations)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct scenario_result r;

	if (s->run(o, &r, &err) < 0) {
		fprintf(stderr, "caravel sim: seed %" PRIu64 ": %s\n", o->seed, err_msg(&err));
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

int sim_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "scenario", required_argument, NULL, 's' }, { "seed", required_argument, NULL, 'e' },
		{ "seeds", required_argument, NULL, 'S' },    { "nodes", required_argument, NULL, 'n' },
		{ "pods", required_argument, NULL, 'p' },     { "log", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },	      { NULL, 0, NULL, 0 },
	};
	const struct scenario *scenario = &scenario_rollout;
	struct scenario_opts o = { .seed = 1 };
	int64_t v, seeds = 1;
	unsigned violations = 0;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 's':
			scenario = NULL;
			for (const struct scenario *const *s = scenario_all; *s; s++)
				if (strcmp((*s)->name, optarg) == 0)
					scenario = *s;
			if (!scenario) {
				fprintf(stderr, "caravel sim: no scenario '%s'\n", optarg);
				return usage(stderr);
			}
			break;
		case 'e':
			if (!sv_to_u64(sv_from(optarg), &o.seed)) {
				fprintf(stderr, "caravel sim: '%s' is not a seed\n", optarg);
				return 2;
			}
			break;
		case 'S':
			if (!number(optarg, 1, 1000000, &seeds))
				return 2;
			break;
		case 'n':
			if (!number(optarg, 1, 10000, &v))
				return 2;
			o.nodes = (int)v;
			break;
		case 'p':
			if (!number(optarg, 1, 100000, &v))
				return 2;
			o.pods = (int)v;
			break;
		case 'l':
			o.log = optarg;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind < argc)
		return usage(stderr);
	o.nodes = o.nodes ? o.nodes : scenario->nodes;
	o.pods = o.pods ? o.pods : scenario->pods;
	for (int64_t i = 0; i < seeds; i++, o.seed++)
		if (run_seed(scenario, &o, &violations) < 0)
			return 1;
	return violations ? 1 : 0;
}
