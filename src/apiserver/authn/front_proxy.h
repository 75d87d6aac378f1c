/* front_proxy.h - a proxy before the API server that has found out who asks, and says so in headers of the request:
 * --requestheader-client-ca-file and its like.
 *
 *	X-Remote-User, X-Remote-Uid, X-Remote-Group ..., X-Remote-Extra-KEY ...		(named by the flags)
 *
 * It is known by a client certificate of that CA, with one of the allowed names; what it shows is looked at before
 * anything else. Headers of all others mean nothing, whatever certificate of another CA or token comes with them, and
 * are passed on to nobody: so says front_proxy_header(). What counts of several headers for one thing is upstream's:
 * the first name that has a value, of groups and further values all.
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/api_req.h"

/* Fills q->user: 0; 1: no proxy says who asks. */
int front_proxy_user(struct api_req *q);
/* Is it a header by which proxies say who asks? name in lower case. */
bool front_proxy_header(const struct apiserver *s, struct sv name);
/* Tells in the log of flags that cannot mean what they say. At the start. */
void front_proxy_check(const struct apiserver *s);
