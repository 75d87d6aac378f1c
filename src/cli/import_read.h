/* import_read.h - lists and indexes of a running cluster, read whole or not at all.
 *
 * A server answers 503 while its etcd elects, 404 while it learns of a kind, 429 when it has much to do. Each of that
 * passes, so it is asked again for some seconds; what stays is an error, never an empty list.
 */
#pragma once

#include "cli/api_way.h"
#include "codec/doc.h"

struct import_reader {
	struct api_way *from;
	/* One GET; -1: nobody answered. */
	int (*get)(struct api_way *from, struct arena *a, const char *target, struct http_response *ret,
		   struct err *err);
	void (*pause)(int64_t ns);
};

/* A document that has the list `field` ("items", "resources", "groups"). NULL: *err.
 * ret_absent: where it may be missing, as that of an API group whose server does not run: the status that was answered,
 * and NULL without *err; else 0. It may be NULL. */
struct val *import_read_list(const struct import_reader *r, struct arena *a, const char *target, const char *field,
			     int *ret_absent, struct err *err);
