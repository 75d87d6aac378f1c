/* import.h - `caravel import`: for import.c. */
#pragma once

#include "cli/snapshot.h"

/* Of a file or directory, into c's data directory, whose server is stopped. */
int import_file(struct snapshot_cmd *c, const char *word, struct err *err);
