/* listen.h - at which ports of this node HAProxy listens: those that were asked for and are nobody else's.
 *
 * A program that has one is found when HAProxy is about to listen, told once, and looked for again every ten seconds
 * (ports.h). That a load balancer has one is what the caller found (nodes.h).
 *
 * Threads: one at a time.
 */
#pragma once

#include "base/strmap.h"
#include "ingress/render.h"

#define ING_PORTS 2		       /* http, https */
#define ING_PORTS_NS (10 * NS_PER_SEC) /* how long a port that a program has is left to it */

struct haproxy;

struct ing_ports {
	int asked[ING_PORTS];	   /* 0: none */
	int64_t looked_ns;	   /* when it was last looked who has them; 0: look */
	bool taken[ING_PORTS];	   /* by a program */
	bool wanted[ING_PORTS];	   /* by Ingresses or Gateways, when they were looked at last */
	struct strmap gates;	   /* of Gateways: "8080" -> that a program has it (2) or not (1), as a pointer */
	char *balancer[ING_PORTS]; /* "ns/name" of the Service whose it is; NULL: no load balancer's */
};
void ing_ports_release(struct ing_ports *p);

/* who: "ns/name", or nobody. True: that is news. */
bool ing_ports_set_balancer(struct ing_ports *p, int i, struct sv who);
struct ing_wanted {
	bool ingresses; /* there are some: the ports that were asked for are wanted */
	const struct ing_gate_port *gates;
	size_t n_gates;
};
/* Of the ports that are wanted those that are free here; Gateways' beside Ingresses when they are of one mind with
 * them. What this machine has besides, too; whose headers are trusted is the caller's to say. h: whose own ports do not
 * count. In a. */
struct ing_listen ing_ports_listen(struct ing_ports *p, struct arena *a, struct haproxy *h,
				   const struct ing_wanted *wanted, int64_t now);
/* But for who is trusted, which stays as long as we do. */
bool ing_listen_same(const struct ing_listen *x, const struct ing_listen *y);
