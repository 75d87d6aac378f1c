/* env_sim.h - a struct env of virtual time: one thread, one queue, one seed.
 *
 * Tasks and timers stand in one queue ordered by due instant, then by a tie-breaker. With
 * shuffle on, the tie-breaker is random (from the seed): tasks due at the same instant run in
 * any order, as they would on a pool, yet the same seed gives the same run. Time moves only
 * between tasks, straight to the next due instant; a simulated week of idling costs nothing.
 * Classes make no difference to the order: no task waits for a thread, until a class is held.
 * A task takes no time, but where it says so: one that waits stands still while others run and time goes on, as one
 * that waits for an answer does on a thread of its own. That needs stacks (fiber.h), so whoever wants it says so first.
 *
 * Not thread-safe, on purpose: a second thread would end determinism.
 */
#pragma once

#include "base/env.h"

struct env *env_sim_new(uint64_t seed, int64_t start_wall_ns, bool shuffle);
struct env *env_sim_free(struct env *e); /* drops what is queued */

/* Runs what is due until virtual time has advanced by duration_ns; time ends there. Returns the
 * number of tasks run. */
uint64_t env_sim_run(struct env *e, int64_t duration_ns);
/* Runs until done(ctx) or the time is over; true when done. */
bool env_sim_run_until(struct env *e, int64_t limit_ns, bool (*done)(void *ctx), void *ctx);
/* All the threads of a class wait for something: what is due of it stays where it is, until the release puts it in the
 * queue at that instant, in order. Everything else goes on. */
void env_sim_hold(struct env *e, enum env_class class);
void env_sim_release(struct env *e, enum env_class class);
/* Tasks have stacks of their own from here on, and may wait. */
void env_sim_let_wait(struct env *e);
/* The task that runs goes on ns later, by virtual time. At once where none runs that could wait. */
void env_sim_wait(struct env *e, int64_t ns);
/* Which task runs, to be compared; NULL: none that could wait. */
const void *env_sim_self(struct env *e);
size_t env_sim_waiting(struct env *e); /* how many stand still */
/* Each post is delayed by a random time below max_ns (0: none): a busy machine. */
void env_sim_set_jitter(struct env *e, int64_t max_ns);
