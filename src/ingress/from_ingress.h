/* from_ingress.h - Ingresses, IngressClasses, Services, EndpointSlices and Secrets as a model; pure.
 *
 * Which Ingresses are ours: object/ingress_refs.h.
 *
 * Of two that wish for one place (host, kind of path, path), or for one host's certificate, the older has it
 * (creationTimestamp, then namespace and name); the other is told. A certificate is shown for the hosts that spec.tls
 * names.
 */
#pragma once

#include "ingress/model.h"
#include "gateway/tls_secret.h"
#include "object/ingress_refs.h"
#include "object/obj.h"

/* The cluster as it is; objects are references that live as long as the arena. */
struct ing_source {
	struct obj **ingresses;
	size_t n_ingresses;
	const struct ingress_classes *classes;
	struct obj *(*service)(void *ctx, struct sv ns, struct sv name); /* borrowed or NULL, as the two below */
	struct obj *(*secret)(void *ctx, struct sv ns, struct sv name);
	struct obj **(*slices)(void *ctx, struct arena *a, struct sv ns, struct sv service, size_t *ret_n);
	/* What is not right with one of them, for its owner. Messages live as long as the arena. */
	void (*say)(void *ctx, const struct obj *ingress, const char *reason, const char *message);
	/* Each Service that the model is made of, there or not: what to look at again. */
	void (*uses)(void *ctx, struct sv ns, struct sv name);
	void *ctx;
	struct tls_checked *checked; /* of earlier runs, or NULL */
	int ports[2];		     /* at which Ingresses are asked for; 0: none */
};

void ing_from_ingresses(struct arena *a, const struct ing_source *s, struct ing_model *ret);
