/* packets.h - what a way through the network costs: the first packet, connections, bytes on one connection.
 *
 * A program of our own and not iperf3: that knows bytes only, and all three are to be of the same server. TCP of IPv4.
 * Whatever fails ends the program, and says so.
 */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct packets_took {
	double first_us; /* median time until a connection is there */
	double per_s;	 /* connections, one after the other */
	double gbit;	 /* a second, of one connection */
};

/* A process that takes connections; one that is written to is read to its end. */
pid_t packets_serve(int port);
struct packets_took packets_measure(const char *address, int port);
double packets_now_ms(void);
