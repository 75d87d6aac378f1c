/* tunnel.h - the connections that an agent keeps to its servers, by which each reaches its kubelet when it cannot dial
 * it (apiserver/node_tunnel.h).
 *
 * A few wait at any time at each server of the list (client/servers.h); when one is used another is opened. What fails
 * is tried again with growing pauses that differ from node to node; a server that does not know the path, or refuses
 * it, is asked every five minutes in the end. On a loop and thread of its own.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "client/servers.h"

struct tunnel;
/* For the kubelet at port of this machine. All borrowed until tunnel_stop(). */
struct tunnel *tunnel_start(struct env *env, struct servers *servers, const char *node_name, int port, struct err *err);
void tunnel_servers_changed(struct tunnel *t); /* the list is another one: any thread. NULL is fine */
struct tunnel *tunnel_stop(struct tunnel *t);  /* NULL is fine; returns NULL */
