/* fake_api.h - an API server for unit tests of what lives on a client: one in-memory table per
 * resource, with what controllers depend on.
 *
 * It decodes and defaults by schema, counts one revision, checks resourceVersions, keeps status
 * apart from the rest, bumps generations, honours finalizers, propagation policies,
 * preconditions and pods' grace, refuses creations in namespaces that are going, and feeds watches
 * through the env, so that caches lag as they do in life. No admission, no validation.
 */
#pragma once

#include "client/client.h"

struct fake_api;

struct fake_api *fake_api_new(struct env *e);
struct fake_api *fake_api_free(struct fake_api *f);
struct client *fake_api_client(struct fake_api *f);

/* Watch events arrive this much later than the write. */
void fake_api_set_lag(struct fake_api *f, int64_t ns);
/* Called before each write with verb "create", "update", "patch", "delete"; non-zero refuses it. */
void fake_api_set_hook(struct fake_api *f,
		       int (*hook)(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
				   const struct val *doc, struct err *err),
		       void *ctx);
/* Writes since the last call. */
unsigned fake_api_writes(struct fake_api *f);

/* For tests: JSON in, object out; failures fail the test. */
struct obj *fake_api_create(struct fake_api *f, const struct resource *r, const char *ns, const char *json);
struct obj *fake_api_get(struct fake_api *f, const struct resource *r, const char *ns, const char *name); /* or NULL */
size_t fake_api_count(struct fake_api *f, const struct resource *r, const char *ns);
/* Merge patch; status goes by the status subresource. */
void fake_api_patch(struct fake_api *f, const struct resource *r, const char *ns, const char *name, const char *sub,
		    const char *json);
void fake_api_delete(struct fake_api *f, const struct resource *r, const char *ns, const char *name,
		     const char *propagation);
/* As a kubelet ends a pod's grace. */
void fake_api_kill(struct fake_api *f, const char *ns, const char *pod);
