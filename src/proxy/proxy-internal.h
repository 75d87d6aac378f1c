/* proxy-internal.h - one proxy, for proxy.c and proxy_sync.c only: the one knows when there is something to do, the
 * other what is then to be in the kernel. */
#pragma once

#include "base/retry.h"
#include "base/vec.h"
#include "client/informer.h"
#include "client/workq.h"
#include "proxy/own_node.h"
#include "proxy/proxy.h"
#include "proxy/syns.h"

#include <pthread.h>
#include <stdatomic.h>

/* To the tracker a Pod is one more Service, under a name that no Service can have. */
#define POD_PREFIX "pod:"

struct proxy {
	struct env *env;
	struct proxy_backend *backend;
	struct informer_factory *factory;     /* NULL: the informers are another's */
	struct informer_factory *pod_factory; /* it, and pods: NULL when host ports are not ours */
	struct informer *pods;
	struct informer *services, *slices, *nodes;
	struct workq *q;
	char *node_name;
	char *local_devices; /* of cfg */
	bool node_cidr;	     /* the Node's pod ranges are the cluster's to us */
	bool primary;	     /* node ports are on the Node's InternalIPs */
	struct proxy_health *health;
	struct render_cfg cfg;
	char *table, *spare;
	const char *own_service; /* or NULL */
	_Atomic bool synced;

	pthread_mutex_t lock; /* covers: */
	struct strmap dirty;  /* keys of Services and Pods to look at again */
	bool all_dirty;
	VEC(int64_t) triggers; /* wall clock: changes that no sync has brought yet */
	bool stopping;	       /* q is gone, or about to be */

	/* Used by syncs only. */
	struct change_tracker *tracker;
	bool prepared, prepared_v6;
	bool leaves;  /* this process is about to end */
	bool rebuild; /* the table's fixed part is another one now */
	struct own_node node;
	struct nets nodeports; /* addresses that serve node ports, where not the Node's are meant */
	int64_t rest_until_ns, check_ns;
	struct syns syns;
	size_t losers;	     /* as they were told */
	struct retry failed; /* pause_ns 0: the last sync went well */
};

/* One sync of what is marked, or of all (everything: the kernel's content is not what the tracker believes);
 * *ret_written is the bytes of text. Never two at once. */
int proxy_sync(struct proxy *p, bool everything, size_t *ret_written, struct err *err);
/* As syns_look(); between two syncs. */
void proxy_forget_syns(struct proxy *p, int64_t now);
