/* neigh.h - whom this machine takes for its neighbours (ARP, neighbour discovery), in the network namespace of the
 * calling process. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

/* Forgets who has these addresses on a link: the next packet asks. Those that nobody is known to have are fine, and so
 * is a link that is not there. */
int neigh_forget(const char *link, const struct ip_addr *ips, size_t n, struct err *err);
