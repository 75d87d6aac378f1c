/* expectations.h - what a controller has done and its informer has not shown yet.
 *
 * A controller that creates three pods and is run again before the informer heard of them would
 * create three more. So it writes down how many creations and which deletions it expects to
 * see, its pod handlers tick them off, and while some are open the controller does not create or
 * delete. Expectations lapse after five minutes, in case an event was never to come (an object
 * created and deleted again between two lists).
 *
 * Threads: any.
 */
#pragma once

#include "base/env.h"

struct expectations;

#define EXPECTATIONS_TTL_NS (300 * NS_PER_SEC)

struct expectations *expectations_new(struct env *e);
struct expectations *expectations_free(struct expectations *x);

/* Nothing open for key, or lapsed. */
bool expectations_satisfied(struct expectations *x, struct sv key);
/* Before writing. Replace what was there for key. */
void expect_creations(struct expectations *x, struct sv key, int64_t n);
void expect_deletions(struct expectations *x, struct sv key, const struct sv *uids, size_t n);
/* From handlers, and for writes that failed. */
void creation_observed(struct expectations *x, struct sv key);
void deletion_observed(struct expectations *x, struct sv key, struct sv uid);
void expectations_forget(struct expectations *x, struct sv key);
