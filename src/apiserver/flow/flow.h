/* flow.h - priority and fairness: which requests are served now, which wait, and which are refused.
 *
 *	FlowSchemas, PriorityLevelConfigurations ──task──▶ struct flow_config (immutable)
 *	                                                       │ first schema that fits
 *	request ──flow_admit──▶ level ── a seat is free ──▶ served ──flow_release──▶ seats go to who waits
 *	                          └── full ──▶ queue of its flow, or 429
 *
 * It is upstream's API Priority and Fairness, by its objects: matching, distinguishers, nominal shares, lending and
 * borrowing, shuffle-sharded queues, exempt levels, work by width. Where it differs, README.md says so.
 *
 * A request has its seats from its admission until its answer, or until it stands (a watch that has begun). What lasts
 * by nature (logs, exec, what is passed on to pods) takes none, as upstream.
 *
 * Threads: all of it from any. A request whose level is exempt takes no lock.
 */
#pragma once

#include "apiserver/api_req.h"
#include "base/buf.h"

struct flow;

struct flow *flow_new(struct apiserver *s); /* knows the mandatory objects alone */
/* What is stored counts from its return on, and changes soon after they are made. */
void flow_start(struct apiserver *s);
void flow_keep(struct apiserver *s); /* every minute: levels that are gone and idle go */
void flow_stop(struct apiserver *s); /* no task of it runs any more */
struct flow *flow_free(struct flow *f);

/* A step: 0 when q has its seats, REQ_LATER while it waits for them, or 429. */
int flow_admit(struct api_req *q, struct err *err);
/* Its seats are given back; may be called again. */
void flow_release(struct api_req *q);
/* Which schema and which level q came by, for its answer: at most FLOW_HEADERS, views as long as q. */
#define FLOW_HEADERS 2
size_t flow_headers(const struct api_req *q, struct http_header *h);

/* Some FlowSchema or PriorityLevelConfiguration is another now; on any thread. */
void flow_changed(struct apiserver *s);

void flow_metrics(struct apiserver *s, struct buf *b);
bool flow_debug_serve(struct api_req *q); /* false: none of its paths */
