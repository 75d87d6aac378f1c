/* ports.h - who listens on ports of this machine already. */
#pragma once

#include "base/arena.h"

struct port_holder {
	uint16_t port;
	const char *who; /* "nginx (pid 812)"; NULL: nobody listens on the TCP port, on any address */
};

/* Fills in who has each of them: the kernel's tables are read once, and the processes' descriptors once at most,
 * however many ports there are. not: pids that do not count, 0 behind the last; or NULL. Sorts p by port. Texts in a.
 */
void port_holders(struct arena *a, struct port_holder *p, size_t n, const int * not );
