/* runtime_down.h - does the container runtime answer? As runtime_health.h found; while it does not, nobody begins a
 * call that would wait.
 *
 * Threads: any.
 */
#pragma once

#include "base/arena.h"

#include <pthread.h>

struct kubelet;

/* In struct kubelet. */
struct runtime_down {
	_Atomic bool down;
	pthread_mutex_t lock;
	char *why; /* under lock */
};

void runtime_down_init(struct runtime_down *d);
void runtime_down_release(struct runtime_down *d);
void runtime_down_set(struct runtime_down *d, char *why_take); /* NULL: it answers */

bool runtime_down(struct kubelet *k);
/* False when it answers; else why not, in upstream's words for the Ready condition. */
bool runtime_down_why(struct kubelet *k, struct arena *a, const char **ret_why);
