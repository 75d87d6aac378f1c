/* api_way.h - the way to an API server by an administrator's kubeconfig, for commands that speak JSON and bytes, not
 * objects: snapshots, imports. Blocking; one thread. */
#pragma once

#include "client/kubeconfig.h"
#include "net/http_client.h"

struct api_way {
	struct kubeconfig k;
	struct http_endpoint ep;
	struct http_pool *pool;
	struct sv prefix;
	const char *what; /* the server's URL, for messages */
};

/* Texts in a, for its life. https only: keys and Secrets go over it. */
int api_way_open(struct api_way *w, struct arena *a, const char *kubeconfig, struct err *err);
void api_way_release(struct api_way *w);
/* One request; body "" is none, else JSON. The answer is in a. -1: nobody answered. */
int api_way_call(struct api_way *w, struct arena *a, const char *method, const char *target, struct sv body, size_t max,
		 struct http_response *ret, struct err *err);
/* What the server says of a failure, in its own words: the message of its Status, or all of it. Returns -1. */
int api_way_refused(const struct api_way *w, const struct http_response *r, struct err *err);
