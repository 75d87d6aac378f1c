/* The two ends of a way, each in the network namespace where it is run.
 *
 *	path_bench serve PORT		says the number of a process that serves until it is killed
 *	path_bench to ADDRESS PORT	one line: microseconds to a connection, connections/s, Gbit/s */
#include "packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct packets_took t;

	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		printf("%d\n", (int)packets_serve(atoi(argv[2])));
		return 0;
	}
	if (argc != 4 || strcmp(argv[1], "to") != 0)
		return 2;
	t = packets_measure(argv[2], atoi(argv[3]));
	printf("%.2f %.0f %.3f\n", t.first_us, t.per_s, t.gbit);
	return 0;
}
