/* host_port.h - the ports of its node that a Pod takes: hostPort of what runs as long as the Pod does. Pure. */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "codec/doc.h"

struct host_port {
	struct sv ip, protocol; /* ip "" means all addresses; protocol is never "" */
	int32_t port;
};

/* Into the arena, views into the spec; how many. An ordinary init container's ports are free again when the Pod
 * runs, so they do not count. */
size_t host_ports_parse(struct arena *a, const struct val *spec, struct host_port **ret);

/* The ports that some Pods take, together: a Pod may name fifty thousand, and so may its neighbours. Each operation
 * costs what one lookup costs. Keeps no views. Zeroed: none. */
struct host_ports {
	struct strmap users; /* "80/TCP/IP", and "80/TCP" of all addresses together: how many */
};
void host_ports_add(struct host_ports *s, const struct host_port *h);
void host_ports_drop(struct host_ports *s, const struct host_port *h); /* one that was added */
bool host_ports_taken(const struct host_ports *s,
		      const struct host_port *h); /* the same port and protocol,
						   * and the same address, or all addresses on either side? */
void host_ports_release(struct host_ports *s);
