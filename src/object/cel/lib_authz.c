/* Authorizer, path, group and resource checks are one struct: a question that grows. */
#include "object/cel/authz.h"
#include "object/cel/lib-internal.h"

#include "object/validate.h"

#define AUTHZ_CHECK_COST 350000

struct lib_check {
	struct cel_authz *z;
	struct cel_authz_ask ask;
};

static bool lib_authz_equal(const void *a, const void *b)
{
	const struct lib_check *x = a, *y = b;

	return x->z == y->z && cel_authz_same(&x->ask, &y->ask);
}

static bool lib_authz_decision_equal(const void *a, const void *b)
{
	const struct cel_authz_answer *x = a, *y = b;

	return x->allowed == y->allowed && sv_eq(x->reason, y->reason) && sv_eq(x->error, y->error);
}

#define AUTHZ_TYPE(var, text, same)                                                                                   \
	static const struct cel_opaque var = {                                                                        \
		.type = { .kind = CEL_OPAQUE,                                                                         \
			  .name = { "kubernetes.authorization." text, sizeof("kubernetes.authorization." text) - 1 }, \
			  .opaque = &(var) },                                                                         \
		.equal = (same),                                                                                      \
	}
AUTHZ_TYPE(lib_authz_authorizer, "Authorizer", lib_authz_equal);
AUTHZ_TYPE(lib_authz_path_check, "PathCheck", lib_authz_equal);
AUTHZ_TYPE(lib_authz_group_check, "GroupCheck", lib_authz_equal);
AUTHZ_TYPE(lib_authz_resource_check, "ResourceCheck", lib_authz_equal);
AUTHZ_TYPE(lib_authz_decision, "Decision", lib_authz_decision_equal);

const struct cel_type *const cel_t_authorizer = &lib_authz_authorizer.type;
const struct cel_type *const cel_t_resource_check = &lib_authz_resource_check.type;

bool cel_authz_same(const struct cel_authz_ask *a, const struct cel_authz_ask *b)
{
	return a->resource_request == b->resource_request && sv_eq(a->account_namespace, b->account_namespace) &&
	       sv_eq(a->account, b->account) && sv_eq(a->path, b->path) && sv_eq(a->verb, b->verb) &&
	       sv_eq(a->group, b->group) && sv_eq(a->resource, b->resource) && sv_eq(a->subresource, b->subresource) &&
	       sv_eq(a->ns, b->ns) && sv_eq(a->name, b->name) && sv_eq(a->field_selector, b->field_selector) &&
	       sv_eq(a->label_selector, b->label_selector);
}

struct cel_value cel_authz_authorizer(struct arena *a, struct cel_authz *z)
{
	struct lib_check *k = ARENA_NEW(a, struct lib_check);

	k->z = z;
	return cel_opaque(&lib_authz_authorizer, k);
}

struct cel_value cel_authz_request_resource(struct arena *a, struct cel_authz *z, const struct cel_authz_ask *about)
{
	struct lib_check *k = ARENA_NEW(a, struct lib_check);

	*k = (struct lib_check){ z, *about };
	k->ask.resource_request = true;
	return cel_opaque(&lib_authz_resource_check, k);
}

/* --- what was answered --- */

struct cel_authz_known {
	struct cel_authz_known *next;
	struct cel_authz_ask ask;
	struct cel_authz_answer answer;
};

const struct cel_authz_answer *cel_authz_known(const struct cel_authz_memo *m, const struct cel_authz_ask *ask)
{
	for (const struct cel_authz_known *k = m->first; k; k = k->next)
		if (cel_authz_same(&k->ask, ask))
			return &k->answer;
	return NULL;
}

void cel_authz_remember(struct cel_authz_memo *m, const struct cel_authz_ask *ask,
			const struct cel_authz_answer *answer)
{
	struct cel_authz_known *k;
	struct arena *a = m->arena;

	if (m->n >= CEL_AUTHZ_MEMO_MAX)
		return;
	k = ARENA_NEW(a, struct cel_authz_known);
	k->answer = (struct cel_authz_answer){ answer->allowed, arena_sv(a, answer->reason),
					       answer->error.p ? arena_sv(a, answer->error) : SV_NULL };
	k->ask = *ask;
	for (struct sv *s[] = { &k->ask.account_namespace, &k->ask.account, &k->ask.path, &k->ask.verb, &k->ask.group,
				&k->ask.resource, &k->ask.subresource, &k->ask.ns, &k->ask.name, &k->ask.field_selector,
				&k->ask.label_selector, NULL },
		       **p = s;
	     *p; p++)
		**p = (*p)->p ? arena_sv(a, **p) : SV_NULL;
	k->next = m->first;
	m->first = k;
	m->n++;
}

/* --- building a question --- */

static struct lib_check *lib_authz_more(struct cel_call *c, const struct cel_value *args, const struct cel_opaque *type,
					struct cel_value *ret)
{
	struct lib_check *k = ARENA_NEW(c->arena, struct lib_check);

	*k = *(const struct lib_check *)args[0].p;
	*ret = cel_opaque(type, k);
	return k;
}

static bool lib_authz_blank(struct sv s)
{
	return sv_trim(s).n == 0;
}

static int lib_authz_path(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	if (lib_authz_blank(cel_text(&args[1])))
		return cel_fail(c, "path must not be empty");
	lib_authz_more(c, args, &lib_authz_path_check, ret)->ask.path = cel_text(&args[1]);
	return 0;
}

static int lib_authz_group(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	lib_authz_more(c, args, &lib_authz_group_check, ret)->ask.group = cel_text(&args[1]);
	return 0;
}

static int lib_authz_account(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct lib_check *k;

	(void)n;
	if (fmt_dns_subdomain(cel_text(&args[2])))
		return cel_fail(c, "Invalid service account name");
	if (fmt_dns_label(cel_text(&args[1])))
		return cel_fail(c, "Invalid service account namespace");
	k = lib_authz_more(c, args, &lib_authz_authorizer, ret);
	k->ask.account_namespace = cel_text(&args[1]);
	k->ask.account = cel_text(&args[2]);
	return 0;
}

static int lib_authz_resource(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct lib_check *k;

	(void)n;
	if (lib_authz_blank(cel_text(&args[1])))
		return cel_fail(c, "resource must not be empty");
	k = lib_authz_more(c, args, &lib_authz_resource_check, ret);
	k->ask.resource_request = true;
	k->ask.resource = cel_text(&args[1]);
	return 0;
}

#define AUTHZ_FIELD(fn, field)                                                                                       \
	static int lib_authz_##fn(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret) \
	{                                                                                                            \
		(void)n;                                                                                             \
		lib_authz_more(c, args, &lib_authz_resource_check, ret)->ask.field = cel_text(&args[1]);             \
		return 0;                                                                                            \
	}
AUTHZ_FIELD(subresource, subresource)
AUTHZ_FIELD(namespace, ns)
AUTHZ_FIELD(name, name)
AUTHZ_FIELD(field_selector, field_selector)
AUTHZ_FIELD(label_selector, label_selector)

static int lib_authz_check(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct lib_check *k = args[0].p;
	struct cel_authz_answer *answer = ARENA_NEW(c->arena, struct cel_authz_answer);
	struct cel_authz_ask ask = k->ask;
	int rc;

	(void)n;
	ask.verb = cel_text(&args[1]);
	rc = k->z->check(k->z, c->arena, &ask, answer);
	if (rc == 0)
		*ret = cel_opaque(&lib_authz_decision, answer);
	return rc;
}

static const struct cel_authz_answer *lib_authz_answer(const struct cel_value *v)
{
	return v->p;
}

static int lib_authz_allowed(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(lib_authz_answer(&args[0])->allowed);
	return 0;
}

static int lib_authz_reason(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(lib_authz_answer(&args[0])->reason);
	return 0;
}

static int lib_authz_errored(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(lib_authz_answer(&args[0])->error.p != NULL);
	return 0;
}

static int lib_authz_error(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(lib_authz_answer(&args[0])->error);
	return 0;
}

/* --- costs --- */

static uint64_t lib_authz_cost_check(struct cel_call *c, const struct cel_value *args, size_t n,
				     const struct cel_value *ret)
{
	(void)c;
	(void)args;
	(void)n;
	(void)ret;
	return AUTHZ_CHECK_COST;
}

static void lib_authz_est_check(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)args;
	(void)n;
	ret->cost = CEL_RANGE(AUTHZ_CHECK_COST, AUTHZ_CHECK_COST);
}

/* A list, the text read once, and a requirement for each two characters. */
static struct cel_range lib_authz_selector_cost(struct cel_range size)
{
	return cel_range_add(cel_range_add(CEL_RANGE(10, 10), cel_range_factor(size, 0.1)),
			     cel_range_factor(cel_range_factor(size, 0.5), 50));
}

static uint64_t lib_authz_cost_selector(struct cel_call *c, const struct cel_value *args, size_t n,
					const struct cel_value *ret)
{
	uint64_t size = cel_size(&args[1]);

	(void)c;
	(void)n;
	(void)ret;
	return lib_authz_selector_cost(CEL_RANGE(size, size)).max;
}

static void lib_authz_est_selector(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = lib_authz_selector_cost(args[1].size);
}

#define AUTHZ "kubernetes.authorization."
#define CHECK AUTHZ "ResourceCheck"

static const struct cel_func lib_authz_funcs[] = {
	{ "path", AUTHZ "Authorizer.(string) " AUTHZ "PathCheck", CEL_V(1, 27), lib_authz_path, NULL, NULL },
	{ "group", AUTHZ "Authorizer.(string) " AUTHZ "GroupCheck", CEL_V(1, 27), lib_authz_group, NULL, NULL },
	{ "serviceAccount", AUTHZ "Authorizer.(string, string) " AUTHZ "Authorizer", CEL_V(1, 27), lib_authz_account,
	  NULL, NULL },
	{ "resource", AUTHZ "GroupCheck.(string) " CHECK, CEL_V(1, 27), lib_authz_resource, NULL, NULL },
	{ "subresource", CHECK ".(string) " CHECK, CEL_V(1, 27), lib_authz_subresource, NULL, NULL },
	{ "namespace", CHECK ".(string) " CHECK, CEL_V(1, 27), lib_authz_namespace, NULL, NULL },
	{ "name", CHECK ".(string) " CHECK, CEL_V(1, 27), lib_authz_name, NULL, NULL },
	{ "fieldSelector", CHECK ".(string) " CHECK, CEL_V(1, 31), lib_authz_field_selector, lib_authz_cost_selector,
	  lib_authz_est_selector },
	{ "labelSelector", CHECK ".(string) " CHECK, CEL_V(1, 31), lib_authz_label_selector, lib_authz_cost_selector,
	  lib_authz_est_selector },
	{ "check", AUTHZ "PathCheck.(string) " AUTHZ "Decision", CEL_V(1, 27), lib_authz_check, lib_authz_cost_check,
	  lib_authz_est_check },
	{ "check", CHECK ".(string) " AUTHZ "Decision", CEL_V(1, 27), lib_authz_check, lib_authz_cost_check,
	  lib_authz_est_check },
	{ "allowed", AUTHZ "Decision.() bool", CEL_V(1, 27), lib_authz_allowed, NULL, NULL },
	{ "reason", AUTHZ "Decision.() string", CEL_V(1, 27), lib_authz_reason, NULL, NULL },
	{ "errored", AUTHZ "Decision.() bool", CEL_V(1, 27), lib_authz_errored, NULL, NULL },
	{ "error", AUTHZ "Decision.() string", CEL_V(1, 27), lib_authz_error, NULL, NULL },
};
const struct cel_lib cel_lib_authz = { "kubernetes.authz",
				       lib_authz_funcs,
				       ARRAY_LEN(lib_authz_funcs),
				       { &lib_authz_authorizer, &lib_authz_path_check, &lib_authz_group_check,
					 &lib_authz_resource_check, &lib_authz_decision } };
