/* backend_recorder.h - a backend that is a kernel made of a list: for tests. */
#pragma once

#include "netd/netd.h"

/* What tests read and turn. Owned by the backend, and valid until it is freed. */
struct netd_record {
	struct netd_machine machine; /* as look() tells it */
	struct netd_have have;	     /* "the kernel" */
	size_t looks, reads, changes, devices, prepared;
	int fail_next;	   /* so many changes fail */
	bool no_device;	   /* devices cannot be made */
	const char *drops; /* a firewall's chain, of IPv4; NULL */
	void (*changed)(void *ctx);
	void *ctx;
};

struct netd_backend *netd_backend_recorder_new(struct netd_record **ret_record);
