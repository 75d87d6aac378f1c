#include "cli/cli.h"
#include "sim/sim.h"

int cmd_sim(int argc, char **argv)
{
	return sim_main(argc, argv);
}
