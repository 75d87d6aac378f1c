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
	struct strmap gates;	   /* of Gateways: "8080" -> that a program has it (2) or not (1), as a pointer */
	char *balancer[ING_PORTS]; /* "ns/name" of the Service whose it is; NULL: no load balancer's */
};
void ing_ports_release(struct ing_ports *p);

/* who: "ns/name", or nobody. True: that is news. */
bool ing_ports_set_balancer(struct ing_ports *p, int i, struct sv who);
/* What this machine has besides, too; whose headers are trusted is the caller's to say. h: whose own ports do not
 * count. */
struct ing_listen ing_ports_listen(struct ing_ports *p, struct arena *a, struct haproxy *h, int64_t now);
/* Of the ports that Gateways wish those that are free here, or are Ingresses' and of one mind with them; l has the
 * latter. In a; whether it is another program's is looked as often as for the others. */
void ing_ports_gates(struct ing_ports *p, struct arena *a, struct haproxy *h, const struct ing_gate_port *wanted,
		     size_t n, struct ing_listen *l);
/* But for who is trusted, which stays as long as we do. */
bool ing_listen_same(const struct ing_listen *x, const struct ing_listen *y);
