/* event_log.h - everything the API server stored, with virtual time, as text and as one hash.
 *
 * It watches the store itself, so it sees every change exactly once, in order and at the moment
 * it happens; neither delays nor faults of the simulation touch it. Observers get the same
 * view: that is where invariants are checked. An observer must not call the API.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <stdio.h>

struct event_log;

/* file: also written there as text; NULL: only hashed. */
struct event_log *event_log_open(struct env *env, struct store *store, const char *file, struct err *err);
struct event_log *event_log_close(struct event_log *l);
void event_log_observe(struct event_log *l, void (*fn)(const struct store_change *c, void *ctx), void *ctx);
/* A line of the simulation itself ("node node-7 dies"), hashed as well. */
void event_log_note(struct event_log *l, const char *fmt, ...) _printf_(2, 3);
uint64_t event_log_hash(const struct event_log *l);
uint64_t event_log_changes(const struct event_log *l);
