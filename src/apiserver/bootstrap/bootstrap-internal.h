/* bootstrap-internal.h - what the files of src/apiserver/bootstrap share; nobody else includes it. */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/inbox.h"

struct batch;

/* One write in flight: it is answered while we go on, so it has a request and an arena of its own. */
struct write {
	struct write *next;
	struct batch *batch;
	struct arena arena;
	struct api_req req;
	const struct val *wanted; /* of an update */
};

/* Counts writes in flight; the first failure is kept. */
struct batch {
	struct apiserver *server;
	struct arena arena; /* of the documents */
	struct write *writes;
	struct inbox in; /* they are concluded on our thread, when we wait */
	int pending;
	struct err err;
};

/* Both begin a write, which the batch waits for. doc is the batch's. */
void bootstrap_create(struct batch *b, const struct resource *r, struct sv ns, struct val *doc);
/* change() is given the struct write, as registry_update_async() says. */
void bootstrap_update(struct batch *b, const struct resource *r, struct sv ns, struct sv name,
		      int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx,
				    struct err *err),
		      const struct val *wanted);

void bootstrap_batch_init(struct batch *b, struct apiserver *s);
/* Until all that has begun is answered. */
void bootstrap_wait(struct batch *b);
/* 0, or -1 with the first failure. */
int bootstrap_batch_end(struct batch *b, struct err *err);

/* flow_objects.c: FlowSchemas and PriorityLevelConfigurations, made and kept up. */
void bootstrap_flow(struct batch *b);
