/* backend_recorder.h - a backend that keeps the transactions it was given: for tests. */
#pragma once

#include "netd/policy/netpol.h"

/* What tests read and turn. Owned by the backend, and valid until it is freed. */
struct netpol_record {
	struct buf last;	 /* the newest transaction */
	size_t applied, refused; /* how many succeeded, and failed */
	int fail_next;		 /* so many applies fail */
	struct buf forgotten;	 /* addresses, each with a space behind it */
	size_t forgets;		 /* how often it was told to */
	int fail_forgets;
	bool intact; /* as the next check will find it; an apply sets it */
	bool no_bridge_nf;
	bool table_left;
	struct netpol_left left;
};

struct netpol_backend *netpol_backend_recorder_new(struct netpol_record **ret_record);
