/* host_port.h - the ports of its node that a Pod takes: hostPort of what runs as long as the Pod does. Pure. */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

struct host_port {
	struct sv ip, protocol; /* ip "" means all addresses; protocol is never "" */
	int32_t port;
};

/* Into the arena, views into the spec; how many. An ordinary init container's ports are free again when the Pod
 * runs, so they do not count. */
size_t host_ports_parse(struct arena *a, const struct val *spec, struct host_port **ret);
bool host_ports_clash(const struct host_port *a, const struct host_port *b);
