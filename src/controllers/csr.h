/* csr.h - what the controllers of CertificateSigningRequests share; only they include it.
 *
 * Three of them, as upstream's: one approves what asks for what its sender may be (csr_approving), one signs what is
 * approved (csr_signing), one deletes what is over (csr_cleaner). Each has a queue over the same informer.
 */
#pragma once

#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/csr_rules.h"

struct csr_controller {
	struct controller_ctx *ctx;
	struct informer *requests, *nodes; /* nodes: of csr_approving alone */
	struct workq *q;
};

/* Made with calloc; stopped by csr_controller_stop(). reconcile gets the controller as its ctx. */
struct csr_controller *csr_controller_start(struct controller_ctx *ctx, const char *queue, bool nodes,
					    int (*reconcile)(void *ctx, struct sv key, struct reconcile_result *ret,
							     struct err *err));
void csr_controller_stop(void *controller);

/* What of an object the rules ask for; false: its request cannot be read, and will not change. */
bool csr_of(struct arena *a, const struct obj *o, struct csr *ret);

const struct val *csr_condition(const struct obj *o, const char *type); /* NULL when it has none */
bool csr_issued(const struct obj *o);
/* Adds a condition that is True, and writes it through the subresource. Gone or changed meanwhile is fine: it is looked
 * at again. */
int csr_decide(struct csr_controller *c, struct obj *o, const char *subresource, const char *type, const char *reason,
	       const char *message, struct err *err);
/* The write of doc, made of an object by obj_edit(), through the subresource; as csr_decide(). */
int csr_write(struct csr_controller *c, const struct val *doc, const char *subresource, struct err *err);
