/* clients.h - who may ask: the Pods, the nodes and this machine. All else is dropped: a name server open to the world
 * is a weapon in others' hands.
 *
 * Made anew when the nodes change, never changed; found by a binary search.
 */
#pragma once

#include "base/ip.h"

struct dns_clients;

/* nets may repeat and lie within one another. Loopback always may. */
struct dns_clients *dns_clients_new(const struct ip_net *nets, size_t n);
struct dns_clients *dns_clients_free(struct dns_clients *c);	     /* NULL is fine; returns NULL */
bool dns_clients_has(const struct dns_clients *c, struct ip_addr a); /* NULL: loopback alone */
