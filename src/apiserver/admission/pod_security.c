/* PodSecurity: pods are held to the standard of their namespace, and templates of pods are told of what theirs would
 * not get past. pod_security_namespace.c has what is said about namespaces themselves. */
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/setup.h"
#include "apiserver/set_aside.h"
#include "base/go_quote.h"

#define NOTE "pod-security.kubernetes.io/"

/* Where a kind has the template of its pods; of a pod it is the pod. */
static const struct val *ps_pod_of(const struct admission *a)
{
	const struct resource *r = a->res;

	if (r == RES(core_pods))
		return a->doc;
	if (r == RES(core_podtemplates))
		return val_get(a->doc, F_template);
	if (r == RES(batch_cronjobs))
		return val_get(a->doc, F_spec, F_jobTemplate, F_spec, F_template);
	if (r == RES(core_replicationcontrollers) || r == RES(apps_replicasets) || r == RES(apps_deployments) ||
	    r == RES(apps_statefulsets) || r == RES(apps_daemonsets) || r == RES(batch_jobs))
		return val_get(a->doc, F_spec, F_template);
	return NULL;
}

static bool images_differ(const struct val *now, const struct val *old)
{
	if (val_len(now) != val_len(old))
		return true;
	for (size_t i = 0; i < val_len(now); i++) {
		const struct val *a = val_at(now, i), *b = val_at(old, i);

		if (!sv_eq(val_get_str(a, F_name), val_get_str(b, F_name)) ||
		    !sv_eq(val_get_str(a, F_image), val_get_str(b, F_image)))
			return true;
	}
	return false;
}

/* Of a pod that is there only its images change, and ephemeral containers come; a policy that came later than the pod
 * is none of the business of other updates. */
static bool ps_matters(const struct admission *a)
{
	static const enum sym lists[] = { F_containers, F_initContainers, F_ephemeralContainers };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (images_differ(val_get(a->doc, F_spec, lists[i]), val_get(a->old, F_spec, lists[i])))
			return true;
	return false;
}

static void ps_note(const struct admission *a, const char *key, struct sv value)
{
	api_req_annotate(a->q, sv_from(key), value);
}

static struct sv would_violate(const struct admission *a, struct ps_rule r, struct sv why)
{
	return arena_svf(a->q->arena, "would violate PodSecurity \"%s\": %.*s", ps_rule_text(a->q->arena, r),
			 SV_ARG(why));
}

static int ps_judge_pod(const struct admission *a, const struct val *pod, const struct ps_policy *p, bool enforce,
			struct err *err)
{
	const struct ps_rule rules[] = { p->enforce, p->audit, p->warn };
	struct arena *ar = a->q->arena;
	struct sv why[3] = { SV(""), SV(""), SV("") };

	for (size_t i = enforce ? 0 : 1; i < ARRAY_LEN(rules); i++) {
		size_t k = enforce ? 0 : 1;

		while (k < i && !ps_rule_same(rules[k], rules[i]))
			k++;
		why[i] = k < i ? why[k] : ps_judge(ar, rules[i], val_get(pod, F_metadata), val_get(pod, F_spec), true);
	}
	if (enforce)
		ps_note(a, NOTE "enforce-policy", sv_from(ps_rule_text(ar, p->enforce)));
	if (why[1].n)
		ps_note(a, NOTE "audit-violations", would_violate(a, p->audit, why[1]));
	if (why[0].n)
		return admission_forbid(a, err, "violates PodSecurity \"%s\": %.*s", ps_rule_text(ar, p->enforce),
					SV_ARG(why[0]));
	if (why[2].n)
		api_req_warn(a->q, "%.*s", SV_ARG(would_violate(a, p->warn, why[2])));
	return 0;
}

static void note_wrong_labels(const struct admission *a, const struct field_errs *fe)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < fe->list.n; i++) {
		const struct field_err *e = &fe->list.p[i];

		buf_printf(&b, "%s%.*s: Invalid value: ", i ? ", " : "", SV_ARG(e->field));
		go_quote(&b, val_str(e->value));
		buf_printf(&b, ": %.*s", SV_ARG(e->detail));
	}
	if (fe->list.n > 1)
		ps_note(a, NOTE "error", arena_svf(a->q->arena, "Failed to parse policy: [%s]", buf_cstr(&b)));
	else if (fe->list.n)
		ps_note(a, NOTE "error", arena_svf(a->q->arena, "Failed to parse policy: %s", buf_cstr(&b)));
}

static int pod_security_validate(const struct admission *a, struct err *err)
{
	const struct ps_config *c = &a->q->server->admission->pod_security;
	bool enforce = a->res == RES(core_pods);
	const struct val *pod;
	struct ps_policy p;
	struct field_errs fe;
	struct obj *ns;

	if ((a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE) || !a->doc)
		return 0;
	if (a->res == RES(core_namespaces))
		return a->subresource.n ? 0 : ps_namespace(a, c, err);
	pod = ps_pod_of(a);
	if (!pod)
		return 0;
	/* Of a pod only what can change its spec; a resize changes nothing that matters. */
	if (a->subresource.n &&
	    !(enforce && (sv_is(a->subresource, "ephemeralcontainers") || sv_is(a->subresource, "resize"))))
		return 0;
	if (ps_exempt(&c->namespaces, a->ns)) {
		ps_note(a, NOTE "exempt", SV("namespace"));
		return 0;
	}
	if (ps_exempt(&c->usernames, a->q->user.name)) {
		ps_note(a, NOTE "exempt", SV("user"));
		return 0;
	}
	ns = registry_peek(a->q, RES(core_namespaces), SV(""), a->ns);
	if (!ns)
		return set_aside_error(a->q->server, RES(core_namespaces), SV(""), a->ns, err);
	field_errs_init(&fe, a->q->arena);
	p = ps_policy_of(c, obj_get(ns, F_metadata, F_labels), &fe);
	if ((!enforce || p.enforce.level == PS_PRIVILEGED) && p.audit.level == PS_PRIVILEGED &&
	    p.warn.level == PS_PRIVILEGED && !fe.list.n) {
		if (enforce)
			ps_note(a, NOTE "enforce-policy", sv_from(ps_rule_text(a->q->arena, p.enforce)));
		return 0;
	}
	if (enforce && a->op == ADMIT_UPDATE && !ps_matters(a))
		return 0;
	if (ps_exempt(&c->runtime_classes, val_get_str(pod, F_spec, F_runtimeClassName))) {
		ps_note(a, NOTE "exempt", SV("runtimeClass"));
		return 0;
	}
	note_wrong_labels(a, &fe);
	return ps_judge_pod(a, pod, &p, enforce, err);
}

const struct admission_plugin admission_pod_security = { .name = "PodSecurity", .validate = pod_security_validate };
