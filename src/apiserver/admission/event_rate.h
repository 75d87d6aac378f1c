/* event_rate.h - EventRateLimit: how many events are taken, of all, of a namespace, of a user, of one source about one
 * object. For event_rate.c and setup.c.
 *
 * Each limit is a number of buckets, one for a key, of which the ones used last are remembered (cacheSize). A bucket is
 * the time at which it will be full again, so that nothing runs in between.
 *
 * Threads: any; each limit has a lock, held for a look at one bucket.
 */
#pragma once

#include "apiserver/admission/plugins.h"

struct event_limits;
/* Of a Configuration of eventratelimit.admission.k8s.io/v1alpha1; NULL with err. */
struct event_limits *event_limits_new(const struct val *config, struct err *err);
struct event_limits *event_limits_free(struct event_limits *l);
/* May one of this key pass at now_ns (monotonic)? For tests; limit: its place in the configuration. */
bool event_limits_take(struct event_limits *l, size_t limit, struct sv key, int64_t now_ns);
