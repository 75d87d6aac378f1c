/* PodTolerationRestriction: what the pods of a namespace tolerate of themselves, and what they may. Annotations of the
 * namespace say it, or the plugin's configuration. */
#include "apiserver/admission/setup.h"
#include "apiserver/admission/tolerations.h"
#include "apiserver/set_aside.h"
#include "base/budget.h"
#include "codec/json.h"
#include "pod/pod_resources.h"

#define DEFAULTS "scheduler.alpha.kubernetes.io/defaultTolerations"
#define ALLOWED "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
#define PAIRS_MAX 1000000 /* of a toleration and one that is allowed */

/* The list that the namespace has there, or usual; NULL: none. */
static int tolerations_of(const struct admission *a, const char *key, const struct val *usual, const struct val **ret,
			  struct err *err)
{
	struct obj *ns = registry_peek(a->q, RES(core_namespaces), SV(""), a->ns);
	struct budget values = BUDGET(doc_values_limit);
	const struct val *own;

	if (!ns)
		return set_aside_error(a->q->server, RES(core_namespaces), SV(""), a->ns, err);
	own = val_member_sv(obj_get(ns, F_metadata, F_annotations), sv_from(key));
	*ret = own ? NULL : usual;
	if (!val_str(own).n)
		return 0;
	*ret = json_decode(a->q->arena, val_str(own), &(struct json_opts){ .values = &values }, err);
	if (*ret && val_type(*ret) != VAL_LIST)
		return err_set(err, ERR_UNKNOWN, "the annotation %s of namespace %.*s is no list of tolerations", key,
			       SV_ARG(a->ns));
	return *ret ? 0 : err_wrap(err, "the annotation %s of namespace %.*s", key, SV_ARG(a->ns));
}

static bool tolerations_allowed(const struct val *own, const struct val *allowed)
{
	VAL_EACH(own, t) {
		bool fine = false;

		VAL_EACH(allowed, w)
			fine = fine || toleration_within(w, t);
		if (!fine)
			return false;
	}
	return true;
}

static int tolerations_validate(const struct admission *a, struct err *err)
{
	const struct val *allowed, *own;

	if (!admits_pod(a) || (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE))
		return 0;
	own = val_get(a->doc, F_spec, F_tolerations);
	if (!val_len(own))
		return 0;
	if (tolerations_of(a, ALLOWED, a->q->server->admission->tolerations_allowed, &allowed, err) < 0)
		return -1;
	if (!val_len(allowed))
		return 0;
	if (val_len(own) > PAIRS_MAX / val_len(allowed))
		return admission_forbid(a, err,
					"too many tolerations: name fewer, here or in what its namespace allows");
	if (!tolerations_allowed(own, allowed))
		return err_set(err, ERR_UNKNOWN,
			       "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
			       "namespace whitelist");
	return 0;
}

static int tolerations_restrict(const struct admission *a, struct err *err)
{
	const struct val *usual = NULL;
	struct arena *ar = a->q->arena;
	struct val *extra, *spec;

	if (!admits_pod(a))
		return 0;
	if (a->op == ADMIT_CREATE &&
	    tolerations_of(a, DEFAULTS, a->q->server->admission->tolerations_usual, &usual, err) < 0)
		return -1;
	spec = val_ensure_map(ar, a->doc, F_spec);
	extra = val_new_list(ar);
	VAL_EACH(usual, t)
		val_push(ar, extra, val_clone(ar, t));
	/* Who asks for some of it is not driven off a node that is short of memory. */
	if (pod_qos_class(spec) != QOS_BEST_EFFORT) {
		struct val *t = val_new_map(ar);

		val_set_cstr(ar, t, F_key, "node.kubernetes.io/memory-pressure");
		val_set_cstr(ar, t, F_operator, "Exists");
		val_set_cstr(ar, t, F_effect, "NoSchedule");
		val_push(ar, extra, t);
	}
	tolerations_merge(ar, spec, extra);
	return tolerations_validate(a, err);
}

const struct admission_plugin admission_toleration_restriction = { .name = "PodTolerationRestriction",
								   .mutates = ON_CREATE | ON_UPDATE,
								   .mutate = tolerations_restrict,
								   .validate = tolerations_validate };
