/* kubelet_client.h - how the API server reaches the kubelet of a node.
 *
 * HTTPS to the node's InternalIP and the port it reports, authenticated by a client certificate of
 * ours. Address and port are the node's word, and so are not enough: the address must be one that may be dialled
 * (dial_address.h), and who answers must have the certificate of this very node (user system:node:NAME), signed by the
 * cluster CA for that address.
 *
 * With --kubelet-certificate-authority kubelets are somebody else's: any certificate of that CA will do that names the
 * node by the first address of the types in --kubelet-preferred-address-types that it has. What is dialled is always an
 * address, and never looked up: the first of these types that are addresses.
 */
#pragma once

#include "apiserver/api_req.h"
#include "net/http_client.h"

/* Endpoint of a node's kubelet; strings in the arena, tls lives with the server. */
int kubelet_endpoint(struct apiserver *s, struct arena *a, struct sv node, struct http_endpoint *ret, struct err *err);

/* Why nothing came of a connection to a kubelet, for who asked for it: logs, exec and the like say the same. why may be
 * NULL. */
int kubelet_unreached(struct err *err, const struct err *why);

/* Forwards a GET to the kubelet and streams its answer back as q's own; answers q in any case.
 * Non-2xx answers become Status failures with the kubelet's text. */
void kubelet_stream(struct api_req *q, const struct http_endpoint *ep, const char *target);
