/* admission.h - in-tree admission: a fixed chain of small plugins, one file each.
 *
 * All mutating ones run in order, then the generic registry validates, then all validating ones; of a deletion only
 * these are asked. A plugin sees one operation on one object. Refusals are ERR_FORBIDDEN with upstream's text, but for
 * a namespace that is not there: ERR_NOT_FOUND.
 *
 * chain.c has the order, README.md what each does. There is no ResourceQuota, no PodSecurity and no
 * OwnerReferencesPermissionEnforcement among them. Of what connects (exec, attach, port-forward, proxy) none of
 * upstream's plugins that are on by default says anything, so it is not asked about.
 *
 * Threads: the request's, on which nothing may block: who has to wait says REQ_LATER.
 */
#pragma once

#include "apiserver/api_req.h"

enum admission_op { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE };

struct admission {
	struct api_req *q;
	enum admission_op op;
	const struct resource *res;
	struct sv subresource, ns, name; /* name "" where mutate() is asked before one was generated */
	struct val *doc;		 /* new object; NULL on delete; mutable in mutate() only */
	const struct val *old;		 /* NULL on create */
};

#define ON_CREATE (1u << ADMIT_CREATE)
#define ON_UPDATE (1u << ADMIT_UPDATE)
#define ON_SUBRESOURCES (1u << 8) /* of these operations, too */

/* Both say 0, -1 with err, or REQ_LATER after req_suspend() (steps.h): then that one is asked again, with another
 * struct of the same contents, and those before it are not. */
struct admission_plugin {
	const char *name;
	unsigned mutates; /* ON_... bits: when mutate() is asked */
	int (*mutate)(const struct admission *a, struct err *err);
	int (*validate)(const struct admission *a, struct err *err); /* asked about every operation */
};
extern const struct admission_plugin *const admission_chain[]; /* NULL-terminated */

int admission_mutate(const struct admission *a, struct err *err);
int admission_validate(const struct admission *a, struct err *err);
/* Both, for what is created through a subresource whose handler stores nothing itself (a token, an eviction, a
 * binding): doc is its body, the rest is q's. Then go(q, doc), or q has been failed. */
void admission_create_sub(struct api_req *q, struct val *doc, void (*go)(struct api_req *q, struct val *doc));
