/* node_place.h - where a suite's node lives: a directory, a cgroup and a range of addresses that nobody else has.
 *
 * A lock on the directory and a name for the range are held until node_place_leave(), or the end of the program,
 * however it comes; what programs that were killed left is taken away before a new place is made.
 */
#pragma once

#include "base/env.h"

struct node_place {
	char *dir;	   /* "/tmp/caravel-suite-XXXXXX" */
	char *cgroup_root; /* "/caravel-suite-XXXXXX" */
	char *log_dir;	   /* below dir */
	char *pod_cidr;	   /* "10.199.x.0/24" */
	int lock, range;
};

void node_place_take(struct node_place *p, struct env *env);
/* Ends and removes what is left there, daemon or not; false, and said, when not all of it went. */
bool node_place_leave(struct node_place *p, struct env *env);
