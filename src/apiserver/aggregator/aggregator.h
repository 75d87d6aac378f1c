/* aggregator.h - group versions that other servers answer, and which those are: APIServices.
 *
 *	APIService with a Service ─▶ aggregator_observe() ─▶ a table of remote group versions
 *	                                    │                      ▲            │
 *	              a look a second, while there are any ────────┘            ▼
 *	     (available.c: Service, endpoints, its discovery)   aggregator_serve(): a request of one is passed on
 *
 * Every group version that is served here has an APIService without a Service: those of built-in groups are made at the
 * start, those of CustomResourceDefinitions come and go with them (locals.c). One with a Service takes a group version
 * of a CustomResourceDefinition over; not one that is built in, as the server's own parts live by those, but for
 * metrics.k8s.io: who brings a metrics server means that one (aggregator_yields()).
 *
 * A remote one is available when its Service has the port and an address, and answered /apis/GROUP/VERSION with 2xx;
 * the condition Available says so in upstream's words. What it answered there is what discovery shows of it: nobody
 * who asks for discovery waits for another server. While it fails, what it said last is shown as stale.
 *
 * Who answers is believed nothing: it gets no credentials of the client but its name, groups and the like in headers
 * (forward.c), under a certificate by a CA of their own (pki_front_proxy()); it has a bound for what discovery takes of
 * it and a time; redirects are refused, and addresses that are loopback, of the link or ours are not dialled
 * (dial_address.h).
 *
 * Threads: all from any. aggregator_observe() on the store's. Nothing of it costs anything while there is no remote one
 * but one load a request.
 */
#pragma once

#include "apiserver/api_req.h"
#include "codec/doc.h"

struct aggregator; /* opaque */

struct aggregator *aggregator_new(struct apiserver *s);	    /* before the watch cache is filled */
int aggregator_check(struct apiserver *s, struct err *err); /* -1: the front proxy's certificate is none */
void aggregator_start(struct apiserver *s);
void aggregator_stop(struct apiserver *s); /* no task runs any more, none begins */
void aggregator_rest(struct apiserver *s); /* behind the last request, while the loops run: connections are closed */
void aggregator_free(struct apiserver *s); /* behind the end of all calls; what was not started is fine */
/* An APIService has changed (old or now NULL: came, went). The store's thread. */
void aggregator_observe(struct apiserver *s, struct obj *old, struct obj *now);

/* True: q is of a group version, or of the OpenAPI document of one, that another server answers; it is seen to. */
bool aggregator_serve(struct api_req *q);
/* Would that be so of a request for this path, decoded? Then its body streams. */
bool aggregator_takes(struct apiserver *s, struct sv path);
/* The same of the lists of groups and versions, where they differ from what is served here. */
bool aggregator_discovery(struct api_req *q);
/* The same of the index of OpenAPI documents, of which own is the text for what is served here. */
bool aggregator_openapi_index(struct api_req *q, struct sv own);

/* The same of the OpenAPI document of version 2. own tells what is served here, as JSON or protobuf, in a; on any
 * thread. Once there is one document of all nobody waits for the next: it is made when a part has changed. */
typedef struct sv openapi_own_fn(struct apiserver *s, const struct api_set *api, struct arena *a, bool proto);
bool aggregator_openapi_v2(struct api_req *q, bool proto, openapi_own_fn *own);

/* Its lines of /metrics. */
void aggregator_metrics(struct apiserver *s, struct buf *b);

/* A built-in group version that an APIService with a Service takes over all the same. It has none of our own, so that
 * who installs one (with Helm, say) finds its name free. */
bool aggregator_yields(const char *group);
/* The APIService of a group version that is served here; managed: "onstart" or "true". */
struct val *aggregator_local(struct arena *a, const char *group, const char *version, int group_priority,
			     int version_priority, const char *managed);
/* Sets its condition Available. True: that changes anything but the time. */
bool aggregator_condition(struct arena *a, struct val *doc, const char *status, const char *reason, const char *message,
			  int64_t now_ns);
