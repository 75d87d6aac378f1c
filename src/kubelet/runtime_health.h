/* runtime_health.h - does the container runtime answer?
 *
 *	UP ──a call ran out of time, or 3 s of refused ones──▶ DOWN ──one answer──▶ UP
 *
 * Asked every four seconds from a thread of its own, so that workers stuck in calls do not keep it from being noticed.
 * What follows is told at once: the log, an event about the Node, its Ready condition. While it is DOWN nobody begins a
 * call that would wait (runtime_down.h); pods, probes and rotation go on when it is back. One that hangs for twenty
 * seconds is reported to kubelet_opts.runtime_hangs, who may end it: containers live in their shims.
 *
 * In the simulator the questions are tasks.
 */
#pragma once

struct kubelet;
struct rt_health;

struct rt_health *rt_health_new(struct kubelet *k);
struct rt_health *rt_health_free(struct rt_health *h); /* no call to the runtime begins after it */
