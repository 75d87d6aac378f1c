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

/* Since when this step is asked, and the plugin that answers next: what waits is measured whole. 0: it is not. */
struct admission_clock {
	int64_t step_ns, plugin_ns;
};

static void clock_on(struct api_req *q)
{
	int64_t now = env_mono_ns(q->server->env);

	if (!q->clock) {
		q->clock = ARENA_NEW(q->arena, struct admission_clock);
		*q->clock = (struct admission_clock){ now, now };
	}
	if (!q->clock->step_ns)
		q->clock->step_ns = q->clock->plugin_ns = now;
}

static int answered(const struct admission *a, unsigned i, bool validating, int rc)
{
	struct api_req *q = a->q;

	q->asked = rc == REQ_LATER ? i : 0;
	if (rc == REQ_LATER)
		return rc;
	req_forget(q);
	admission_step_counted(a, validating, rc < 0, q->clock->step_ns);
	q->clock->step_ns = 0;
	return rc;
}

static void counted(const struct admission *a, unsigned i, bool validating, int rc)
{
	if (rc != REQ_LATER)
		a->q->clock->plugin_ns =
		    admission_counted(a, i, admission_chain[i]->name, validating, rc < 0, a->q->clock->plugin_ns);
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

			if (!admission_policies_again(a, hooks) && !hooks)
				break;
		}
		if (!admission_is_on(a->q->server->admission, i % n) || !p->mutate || (p->mutates & asked) != asked)
			continue;
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
