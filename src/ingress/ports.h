/* ports.h - who listens on a port of this machine already. */
#pragma once

#include "base/arena.h"

/* The program and its number ("nginx (pid 812)") that listens on the TCP port, on any address; NULL: nobody. not: pids
 * that do not count, 0 behind the last; or NULL. */
const char *port_holder(struct arena *a, int port, const int * not );
