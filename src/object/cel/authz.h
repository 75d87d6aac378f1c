/* authz.h - the variable `authorizer` of expressions: may somebody do something?
 *
 *	authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()
 *
 * Expressions build a question; check() hands it to whoever runs them. He may have to ask somebody else (a webhook),
 * and evaluation holds no thread meanwhile: he answers CEL_LATER, the run ends with CEL_WAITS, and is begun anew when
 * the answer is there. So he remembers answers by their question for as long as the request lives, and the same run
 * asks the same questions in the same order:
 *
 *	known = cel_authz_known(&q->memo, ask);
 *	if (known) {
 *		*ret = *known;
 *		return 0;
 *	}
 *	... start, with cel_authz_remember() when it is there ...
 *	return CEL_LATER;
 *
 * Cost allows two checks an expression; a memo holds as many as CEL_AUTHZ_MEMO_MAX. What is beyond is asked for again.
 */
#pragma once

#include "object/cel/value.h"

struct cel_authz_ask {
	struct sv account_namespace, account; /* a ServiceAccount; else the user of the request */
	bool resource_request;		      /* else path and verb alone */
	struct sv path, verb;
	struct sv group, resource, subresource, ns, name; /* for any version */
	struct sv field_selector,
	    label_selector; /* as written, p NULL: none; one that cannot be read restricts nothing */
};

struct cel_authz_answer {
	bool allowed;
	struct sv reason; /* live as long as the run */
	struct sv error;  /* p NULL: none */
};

/* Embedded by whoever can be asked. Lives as long as the run. */
struct cel_authz {
	/* 0 and the answer, or CEL_LATER (func.h). */
	int (*check)(struct cel_authz *z, struct arena *a, const struct cel_authz_ask *ask,
		     struct cel_authz_answer *ret);
};

/* Types of the two variables, and their values. */
extern const struct cel_type *const cel_t_authorizer, *const cel_t_resource_check;
struct cel_value cel_authz_authorizer(struct arena *a, struct cel_authz *z);
/* authorizer.requestResource: of the request's own resource, subresource, namespace and name. */
struct cel_value cel_authz_request_resource(struct arena *a, struct cel_authz *z, const struct cel_authz_ask *about);

bool cel_authz_same(const struct cel_authz_ask *a, const struct cel_authz_ask *b);

#define CEL_AUTHZ_MEMO_MAX 64
struct cel_authz_memo {
	struct arena *arena; /* of the request */
	struct cel_authz_known *first;
	size_t n;
};
const struct cel_authz_answer *cel_authz_known(const struct cel_authz_memo *m, const struct cel_authz_ask *ask);
void cel_authz_remember(struct cel_authz_memo *m, const struct cel_authz_ask *ask,
			const struct cel_authz_answer *answer);
