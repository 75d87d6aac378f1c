/* tunnel.h - the connections that an agent keeps to its server, by which the server reaches its kubelet when it cannot
 * dial it (apiserver/node_tunnel.h).
 *
 * A few wait at any time; when one is used another is opened. What fails is tried again with growing pauses; a server
 * that does not know the path, or refuses it, is asked every five minutes. On a loop and thread of its own.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "client/servers.h"

struct tunnel;
/* To the current one of the servers, for the kubelet at port of this machine. All borrowed until tunnel_stop(). */
struct tunnel *tunnel_start(struct env *env, struct servers *servers, const char *node_name, int port, struct err *err);
struct tunnel *tunnel_stop(struct tunnel *t); /* NULL is fine; returns NULL */
