/* PodSecurity of namespaces: labels that mean something, and what a stricter level would have to say about the pods
 * that are there. */
#include "apiserver/admission/pod_security.h"
#include "base/strmap.h"

#include <stdio.h>
#include <stdlib.h>

#define PODS_MAX 3000	   /* so many are looked at, */
#define LOOK_NS NS_PER_SEC /* and so long */

/* --- the pods that are there --- */

/* Pods of which the same is said. */
struct said {
	struct sv why, first; /* its least name */
	size_t n;
};

struct look {
	struct arena *arena;
	struct env *env;
	int64_t until_ns;
	const struct ps_config *config;
	struct ps_rule rule;
	size_t pods, checked;
	struct strmap by_why; /* struct said, in the arena */
	size_t n_said;
};

static int ps_look_at(struct obj *pod, void *ctx)
{
	struct look *l = ctx;
	struct said *s;
	struct sv why;

	l->pods++;
	if (l->checked >= PODS_MAX || (l->checked && env_mono_ns(l->env) > l->until_ns))
		return 0;
	l->checked++;
	if (ps_exempt(&l->config->runtime_classes, val_str(obj_get(pod, F_spec, F_runtimeClassName))))
		return 0;
	why = ps_judge(l->arena, l->rule, obj_get(pod, F_metadata), obj_get(pod, F_spec), false);
	if (!why.n)
		return 0;
	s = strmap_get(&l->by_why, why);
	if (!s) {
		s = ARENA_NEW(l->arena, struct said);
		s->why = why;
		s->first = arena_sv(l->arena, obj_name(pod));
		(void)strmap_set(&l->by_why, s->why, s);
		l->n_said++;
	} else if (sv_cmp(obj_name(pod), s->first) < 0) {
		s->first = arena_sv(l->arena, obj_name(pod));
	}
	s->n++;
	return 0;
}

static struct sv said_text(struct arena *a, const struct said *s)
{
	if (s->n == 1)
		return arena_svf(a, "%.*s: %.*s", SV_ARG(s->first), SV_ARG(s->why));
	return arena_svf(a, "%.*s (and %zu other pod%s): %.*s", SV_ARG(s->first), s->n - 1, s->n == 2 ? "" : "s",
			 SV_ARG(s->why));
}

static void ps_tell_of_pods(const struct admission *a, const struct ps_config *c, struct ps_rule rule)
{
	struct look l = { .arena = a->q->arena,
			  .env = a->q->server->env,
			  .until_ns = env_mono_ns(a->q->server->env) + LOOK_NS,
			  .config = c,
			  .rule = rule };
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv *texts;
	size_t n = 0;

	if (registry_each(a->q->server, RES(core_pods), a->name, ps_look_at, &l, &why) < 0)
		api_req_warn(a->q, "new PodSecurity enforce level not checked against all existing pods: %s",
			     err_msg(&why));
	if (l.checked < l.pods)
		api_req_warn(a->q,
			     "new PodSecurity enforce level only checked against the first %zu of %zu existing pods",
			     l.checked, l.pods);
	if (l.n_said)
		api_req_warn(a->q,
			     "existing pods in namespace \"%.*s\" violate the new PodSecurity enforce level \"%s\"",
			     SV_ARG(a->name), ps_rule_text(a->q->arena, rule));
	texts = ARENA_ARRAY(a->q->arena, struct sv, l.n_said + 1);
	STRMAP_EACH(&l.by_why, it)
		texts[n++] = said_text(a->q->arena, it->value);
	strmap_release(&l.by_why);
	qsort(texts, n, sizeof(*texts), sv_order);
	for (size_t i = 0; i < n; i++)
		api_req_warn(a->q, "%.*s", SV_ARG(texts[i]));
}

/* --- labels --- */

static bool same_errors(const struct field_errs *x, const struct field_errs *y)
{
	if (x->list.n != y->list.n)
		return false;
	for (size_t i = 0; i < x->list.n; i++)
		if (!sv_eq(x->list.p[i].field, y->list.p[i].field) ||
		    !val_equal(x->list.p[i].value, y->list.p[i].value))
			return false;
	return true;
}

/* Labels of a namespace that is exempt do nothing, and whoever sets them should know. True: so it is. */
static bool told_exempt(const struct admission *a, const struct ps_config *c, const struct ps_policy *p)
{
	const struct val *labels = val_get(a->doc, F_metadata, F_labels);
	const struct ps_rule rules[] = { p->enforce, p->audit, p->warn };
	const struct ps_rule usual[] = { c->defaults.enforce, c->defaults.audit, c->defaults.warn };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool privileged = true, same = true;

	if (!ps_exempt(&c->namespaces, a->name))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		char key[64], version[64];

		privileged = privileged && rules[i].level == PS_PRIVILEGED;
		same = same && ps_rule_same(rules[i], usual[i]);
		snprintf(key, sizeof(key), "pod-security.kubernetes.io/%s", ps_modes[i]);
		snprintf(version, sizeof(version), "pod-security.kubernetes.io/%s-version", ps_modes[i]);
		if (rules[i].level != PS_PRIVILEGED &&
		    (val_member_sv(labels, sv_from(key)) || val_member_sv(labels, sv_from(version))))
			buf_printf(&b, "%s%s=%s", b.n ? ", " : "", ps_modes[i], ps_rule_text(a->q->arena, rules[i]));
	}
	if (!privileged && !same)
		api_req_warn(a->q,
			     "namespace \"%.*s\" is exempt from Pod Security, and the policy (%s) will be ignored",
			     SV_ARG(a->name), buf_cstr(&b));
	return true;
}

int ps_namespace(const struct admission *a, const struct ps_config *c, struct err *err)
{
	struct field_errs now, before;
	struct ps_policy p, old;

	field_errs_init(&now, a->q->arena);
	field_errs_init(&before, a->q->arena);
	p = ps_policy_of(c, val_get(a->doc, F_metadata, F_labels), &now);
	old = ps_policy_of(c, val_get(a->old, F_metadata, F_labels), &before);
	/* What was wrong already is no reason to refuse another change. */
	if (now.list.n && (a->op == ADMIT_CREATE || !same_errors(&now, &before)))
		return field_errs_to_err(&now, a->res, a->name, err);
	if (a->op == ADMIT_CREATE) {
		(void)told_exempt(a, c, &p);
		return 0;
	}
	if (ps_rule_same(p.enforce, old.enforce) || p.enforce.level == PS_PRIVILEGED ||
	    (p.enforce.minor == old.enforce.minor && p.enforce.level <= old.enforce.level) || told_exempt(a, c, &p))
		return 0;
	ps_tell_of_pods(a, c, p.enforce);
	return 0;
}
