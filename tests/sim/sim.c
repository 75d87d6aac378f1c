/* The simulator's command, as a program of its own for the tests. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cmd_sim(argc, argv);
}
