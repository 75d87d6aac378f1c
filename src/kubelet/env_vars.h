/* env_vars.h - a container's environment: services, envFrom, env, $(VAR) references. */
#pragma once

#include "base/arena.h"
#include "base/budget.h"
#include "base/err.h"
#include "base/strmap.h"
#include "kubelet/runtime.h"

/* $(NAME) is replaced where lookup knows it, left alone where not; $$ is one $. (third_party/forked/golang/expansion)
 * expanded pays for the bytes that are put in: values may hold values of values. */
int env_var_expand(struct arena *a, struct sv text, struct budget *expanded,
		   bool (*lookup)(struct sv name, struct sv *ret, void *ctx), void *ctx, struct sv *ret,
		   struct err *err);
extern const struct budget_limit env_expanded_limit; /* of all that a container is given */

struct env_list {
	struct rt_label *p;
	size_t n, cap;
	struct arena *a;
	struct budget expanded; /* of env_expanded_limit, by who makes the list */
	struct strmap *at;	/* name -> its place in p, + 1; the arena's, made with the first variable */
	struct strmap *sources; /* struct val_index of large ConfigMaps and Secrets, by address; as at */
};
bool env_var_lookup(struct sv name, struct sv *ret, void *list);

extern const char *const env_service_paths[]; /* what of Services is read: for object/keep.h */
/* Variables of one Service as Docker links had them: SVC_SERVICE_HOST, SVC_PORT, SVC_PORT_80_TCP_ADDR, ... */
void env_var_add_service(struct env_list *l, const struct val *service);

/* Reads what an env source refers to. Missing objects are ERR_NOT_FOUND. *ret: the object's root, linked to a. */
struct env_source {
	int (*get)(void *ctx, struct arena *a, bool secret, struct sv name, const struct val **ret, struct err *err);
	/* fieldRef and resourceFieldRef. */
	int (*field)(void *ctx, struct arena *a, const struct val *value_from, struct sv *ret, struct err *err);
	/* fileKeyRef. *ret_have false: optional, and not there. */
	int (*file)(void *ctx, struct arena *a, const struct val *ref, bool *ret_have, struct sv *ret, struct err *err);
	void *ctx;
};
int env_var_add_from(struct env_list *l, const struct val *container, const struct env_source *src, struct err *err);
int env_var_add_own(struct env_list *l, const struct val *container, const struct env_source *src, struct err *err);
