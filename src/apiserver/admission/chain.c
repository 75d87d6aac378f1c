/* The order of upstream's recommended plugins; a plugin is one entry here and one file. */
#include "apiserver/admission/setup.h"
#include "apiserver/metrics.h"

// clang-format off: one a line
const struct admission_plugin *const admission_chain[] = {
	&admission_namespace_provision,
	&admission_namespace_lifecycle,
	&admission_namespace_exists,
	&admission_anti_affinity,
	&admission_limit_ranger,
	&admission_service_account,
	&admission_node_restriction,
	&admission_taint_new_nodes,
	&admission_pull_images,
	&admission_image_policy,
	&admission_pod_security,
	&admission_node_selector,
	&admission_priority,
	&admission_default_tolerations,
	&admission_toleration_restriction,
	&admission_event_rate,
	&admission_extended_tolerations,
	&admission_default_storage_class,
	&admission_storage_protection,
	&admission_pod_group_protection,
	&admission_owner_references,
	&admission_claim_resize,
	&admission_runtime_class,
	&admission_certificate_approval,
	&admission_certificate_signing,
	&admission_bundle_attest,
	&admission_certificate_subject,
	&admission_node_key,
	&admission_request_quota,
	&admission_default_ingress_class,
	&admission_external_ips,
	&admission_topology_labels,
	&admission_pod_group_workload,
	&admission_node_features,
	&admission_pod_resize,
	&admission_mutating_policies,
	&admission_mutating_webhooks,
	&admission_validating_policies,
	&admission_validating_webhooks,
	&admission_resource_quota, /* last but for who refuses all: nothing is counted that somebody else refuses */
	&admission_always_deny,
	NULL,
};
// clang-format on

_Static_assert(ARRAY_LEN(admission_chain) <= 64, "a bit each in admission_set.on");

/* Those that have answered are not asked again: how many is q->asked, while one of them waits. */
static bool asked_before(struct api_req *q, unsigned i)
{
	return i < q->asked;
}

/* Most plugins look at the kind and are done: to read the clock for each would take longer than they do. So those that
 * answer in a row share its time equally, and only what is slow, or has waited, is measured by itself. */
struct admission_clock {
	int64_t step_ns;  /* since when this step is asked; 0: it is not */
	int64_t since_ns; /* when the row began, or whoever is measured by itself was asked */
	uint64_t row;	  /* who has answered in it: bits by place in the chain */
	bool waits;	  /* whoever answers next is measured by itself */
};

static void clock_on(struct api_req *q)
{
	int64_t now;

	if (!q->clock)
		q->clock = ARENA_NEW(q->arena, struct admission_clock);
	if (q->clock->step_ns)
		return;
	now = env_mono_ns(q->server->env);
	*q->clock = (struct admission_clock){ .step_ns = now, .since_ns = now };
}

/* The row is over: its time so far is told. more: so many others have a part in it. Returns the part of each. */
static int64_t row_over(const struct admission *a, bool validating, unsigned more, int64_t now)
{
	struct admission_clock *c = a->q->clock;
	unsigned n = (unsigned)__builtin_popcountll(c->row) + more;
	int64_t each = n ? (now - c->since_ns) / n : 0;

	for (uint64_t row = c->row; row; row &= row - 1) {
		unsigned i = (unsigned)__builtin_ctzll(row);

		admission_counted(a, i, admission_chain[i]->name, validating, false, each);
	}
	c->row = 0;
	c->since_ns = now;
	return each;
}

static void row_ends(const struct admission *a, bool validating)
{
	if (a->q->clock->row)
		row_over(a, validating, 0, env_mono_ns(a->q->server->env));
}

static void about_to_ask(const struct admission *a, unsigned i, bool validating)
{
	if (admission_chain[i]->slow)
		row_ends(a, validating);
}

static void counted(const struct admission *a, unsigned i, bool validating, int rc)
{
	struct admission_clock *c = a->q->clock;

	if (rc == REQ_LATER) {
		row_ends(a, validating);
		c->waits = true;
	} else if (rc == 0 && !admission_chain[i]->slow && !c->waits) {
		c->row |= UINT64_C(1) << i;
	} else {
		int64_t each = row_over(a, validating, 1, env_mono_ns(a->q->server->env));

		admission_counted(a, i, admission_chain[i]->name, validating, rc < 0, each);
		c->waits = false;
	}
}

static int answered(const struct admission *a, unsigned i, bool validating, int rc)
{
	struct api_req *q = a->q;
	int64_t now;

	q->asked = rc == REQ_LATER ? i : 0;
	if (rc == REQ_LATER)
		return rc;
	req_forget(q);
	now = env_mono_ns(q->server->env);
	row_over(a, validating, 0, now);
	admission_step_counted(a, validating, rc < 0, now - q->clock->step_ns);
	q->clock->step_ns = 0;
	return rc;
}

/* After a webhook or a policy has changed the object all are asked once more, for what they fill in may depend on it.
 */
int admission_mutate(const struct admission *a, struct err *err)
{
	unsigned asked = 1u << a->op | (a->subresource.n ? ON_SUBRESOURCES : 0), i = 0;
	const unsigned n = ARRAY_LEN(admission_chain) - 1;
	const struct req_plugins *out = a->q->server->plugins;
	int rc = 0;

	clock_on(a->q);
	for (; rc == 0 && i < 2 * n; i++) {
		const struct admission_plugin *p = admission_chain[i % n];

		if (asked_before(a->q, i))
			continue;
		if (i == n) {
			bool hooks = admission_webhooks_again(a);

			row_ends(a, false); /* nobody is in it twice */
			if (!admission_policies_again(a, hooks) && !hooks)
				break;
		}
		if (!admission_is_on(a->q->server->admission, i % n) || !p->mutate || (p->mutates & asked) != asked)
			continue;
		about_to_ask(a, i % n, false);
		rc = p->mutate(a, err);
		counted(a, i % n, false, rc);
		if (rc)
			return answered(a, i, false, rc);
	}
	a->q->hooks = NULL;
	a->q->policies = NULL;
	return answered(a, 2 * n, false,
			out && out->mutate && a->op != ADMIT_DELETE ? out->mutate(a, err, out->ctx) : 0);
}

bool admission_asks_namespace(const struct admission *a)
{
	for (unsigned i = 0; admission_chain[i]; i++)
		if (admission_chain[i] == &admission_namespace_lifecycle)
			return admission_is_on(a->q->server->admission, i);
	return false;
}

int admission_validate(const struct admission *a, struct err *err)
{
	const struct req_plugins *out = a->q->server->plugins;
	unsigned i = 0;
	int rc;

	clock_on(a->q);
	for (const struct admission_plugin *p; (p = admission_chain[i]); i++) {
		if (asked_before(a->q, i) || !admission_is_on(a->q->server->admission, i) || !p->validate)
			continue;
		about_to_ask(a, i, true);
		rc = p->validate(a, err);
		counted(a, i, true, rc);
		if (rc)
			return answered(a, i, true, rc);
	}
	return answered(a, i, true, out && out->validate ? out->validate(a, err, out->ctx) : 0);
}

/* --- what is created through a subresource --- */

struct sub_admission {
	struct admission a;
	bool mutated;
	void (*go)(struct api_req *q, struct val *doc);
};

static int sub_ask(struct api_req *q, void *ctx, struct err *err)
{
	struct sub_admission *s = ctx;
	int rc = 0;

	if (!s->mutated)
		rc = admission_mutate(&s->a, err);
	if (rc)
		return rc;
	s->mutated = true;
	rc = admission_validate(&s->a, err);
	if (rc == 0)
		s->go(q, s->a.doc);
	return rc;
}

void admission_create_sub(struct api_req *q, struct val *doc, void (*go)(struct api_req *q, struct val *doc))
{
	struct sub_admission *s = ARENA_NEW(q->arena, struct sub_admission);

	s->a = (struct admission){
		.q = q,
		.op = ADMIT_CREATE,
		.res = q->res,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name.n ? q->name : val_get_str(doc, F_metadata, F_name),
		.doc = doc,
	};
	s->go = go;
	req_ask(q, sub_ask, s);
}
