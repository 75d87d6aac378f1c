/* flows.h - conntrack's memory of flows to endpoints that are gone. */
#pragma once

#include "proxy/change.h"

struct mnl_socket;

/* Deletes the conntrack entries of flows through a frontend that do not go to one of its endpoints: all those of UDP
 * and SCTP, of TCP those that nobody has answered. Returns how many. Endpoints of u are sorted meanwhile. s:
 * nfnl_open() */
int flows_forget(struct mnl_socket *s, struct flow_frontend *u, size_t n, struct err *err);
