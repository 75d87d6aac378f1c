/* own_writes.h - on real threads: until a server has written what it writes by itself at its first start. */
#pragma once

#include "unit.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/flow/flow-internal.h"
#include "client/client.h"

#include <time.h>

/* A server's own first words, the status of its FlowSchemas, are said: no step of the tests' is one of these. */
static inline void wait_for_own_writes(struct apiserver *s, struct client *c)
{
	size_t without;

	do {
		struct obj_list list = { 0 };

		without = 0;
		assert_int_equal(client_list(c, RES(flowcontrol_flowschemas), SV(""), NULL, &list, NULL), 0);
		for (size_t i = 0; i < list.n; i++)
			without += !val_len(obj_get(list.items[i], F_status, F_conditions));
		without += list.n == 0;
		obj_list_release(&list);
		lock_mutex(&s->flow->lock, &flow_lock);
		without += s->flow->posted;
		pthread_mutex_unlock(&s->flow->lock);
		if (without)
			nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	} while (without);
}
