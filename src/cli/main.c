/* The command table; see cli/README.md. */
#include "base/base.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("caravel " CARAVEL_VERSION);
	return 0;
}
