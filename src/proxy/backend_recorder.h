/* backend_recorder.h - a backend that keeps the transactions it was given: for tests and simulated nodes. */
#pragma once

#include "proxy/proxy.h"

/* What tests read and turn. Owned by the backend, and valid until it is freed. */
struct proxy_record {
	struct buf last;    /* the newest transaction */
	size_t applied;	    /* how many succeeded */
	size_t longest;	    /* of their texts */
	struct buf *all;    /* the test's, to gather them all; or NULL */
	const char *serves; /* the table that is found serving */
	size_t flows_forgotten, restored;
	int fail_next;	    /* so many applies fail */
	bool intact;	    /* as the next check will find it; an apply sets it */
	const char *client; /* remembered by every set */
	bool no_bridge_nf;
	bool v6; /* prepared for */
};

struct proxy_backend *proxy_backend_recorder_new(struct proxy_record **ret_record);
