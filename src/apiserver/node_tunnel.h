/* node_tunnel.h - connections that nodes keep to us, by which their kubelets are reached when they cannot be dialled.
 *
 *	GET /v1-caravel/nodes/NAME/connect	Upgrade: caravel-reverse
 *
 * Only the node NAME itself may (user system:node:NAME in system:nodes): else a node could have what is meant for
 * another one brought to itself. What is spoken through them is the same TLS as by address: the kubelet has to show
 * the certificate of that very node, so that even a wrong connection would lead nowhere.
 *
 * Whoever loses that right, or whose Node is deleted or replaced by another of its name, loses what he has opened
 * within a minute, used ones too (standing.h).
 *
 * They are used when the node's address does not answer, always with --egress-selector-mode=agent, never with
 * disabled. A node that was reached by them is, for the next minute, first tried that way.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "net/http_client.h"

struct node_tunnels *node_tunnels_new(struct apiserver *s);
void node_tunnels_close(struct node_tunnels *t); /* those that wait for use end, before the HTTP server is stopped */
struct node_tunnels *node_tunnels_free(struct node_tunnels *t);
/* How to reach the kubelet of a node besides its address; NULL: by that alone. For the server's life. */
const struct http_via *node_tunnel_via(struct apiserver *s, const struct obj *node);
