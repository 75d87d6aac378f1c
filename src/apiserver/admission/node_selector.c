/* PodNodeSelector: the pods of a namespace go to the nodes that its annotation names, or the cluster's configuration,
 * which also says what else they may ask for. */
#include "apiserver/admission/setup.h"
#include "apiserver/set_aside.h"
#include "codec/val_index.h"
#include "object/validate.h"

#define ANNOTATION "scheduler.alpha.kubernetes.io/node-selector"

/* "a=b,c=d" as a map; NULL with err. */
static struct val *selector_labels(struct arena *a, struct sv text, struct err *err)
{
	struct val *labels = val_new_map(a);
	_cleanup_(val_index_release) struct val_index x = val_index_changing(labels);
	struct sv rest = text, part;

	while (rest.n) {
		struct sv key, value;

		if (!sv_split(&rest, ',', &part)) {
			part = rest;
			rest = SV("");
		}
		value = part;
		if (!sv_split(&value, '=', &key)) {
			err_set(err, ERR_UNKNOWN, "invalid selector: [%.*s]", SV_ARG(part));
			return NULL;
		}
		key = sv_trim(key);
		value = sv_trim(value);
		if (fmt_qualified_name(key) || fmt_label_value(value)) {
			err_set(err, ERR_UNKNOWN, "invalid selector: [%.*s]", SV_ARG(part));
			return NULL;
		}
		(void)val_index_set(&x, a, key, val_new_str_ref(a, value));
	}
	return labels;
}

/* What the pods of its namespace are given; NULL with err. */
static const struct val *selector_of(const struct admission *a, struct err *err)
{
	struct obj *ns = registry_peek(a->q, RES(core_namespaces), SV(""), a->ns);
	const struct val *own, *usual = a->q->server->admission->node_selectors;

	if (!ns) {
		set_aside_error(a->q->server, RES(core_namespaces), SV(""), a->ns, err);
		return NULL;
	}
	own = val_member_sv(obj_get(ns, F_metadata, F_annotations), SV(ANNOTATION));
	return selector_labels(a->q->arena, val_str(own ? own : val_member_sv(usual, SV("clusterDefaultNodeSelector"))),
			       err);
}

static bool selectors_conflict(const struct val *pod, const struct val *ns)
{
	_cleanup_(val_index_release) struct val_index x = val_index_of(ns);

	VAL_EACH_MEMBER(pod, m) {
		const struct val *other = val_index_get(&x, m.key);

		if (other && !val_equal(other, m.value))
			return true;
	}
	return false;
}

static bool selector_within(const struct val *pod, const struct val *allowed)
{
	_cleanup_(val_index_release) struct val_index x = val_index_of(allowed);

	VAL_EACH_MEMBER(pod, m) {
		const struct val *other = val_index_get(&x, m.key);

		if (!other || !val_equal(other, m.value))
			return false;
	}
	return true;
}

static int selector_validate(const struct admission *a, struct err *err)
{
	const struct val *ns, *pod, *allowed;

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	ns = selector_of(a, err);
	if (!ns)
		return -1;
	pod = val_get(a->doc, F_spec, F_nodeSelector);
	if (selectors_conflict(pod, ns))
		return admission_forbid(a, err,
					"pod node label selector conflicts with its namespace node label selector");
	allowed =
	    selector_labels(a->q->arena, val_str(val_member_sv(a->q->server->admission->node_selectors, a->ns)), err);
	if (!allowed)
		return -1;
	if (val_len(allowed) && !selector_within(pod, allowed))
		return admission_forbid(a, err, "pod node label selector labels conflict with its namespace whitelist");
	return 0;
}

static int selector_mutate(const struct admission *a, struct err *err)
{
	const struct val *ns;

	if (!admits_pod(a))
		return 0;
	ns = selector_of(a, err);
	if (!ns)
		return -1;
	if (selectors_conflict(val_get(a->doc, F_spec, F_nodeSelector), ns))
		return admission_forbid(a, err,
					"pod node label selector conflicts with its namespace node label selector");
	if (val_len(ns))
		val_add_missing(
		    a->q->arena,
		    val_ensure_map(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), F_nodeSelector), ns);
	return selector_validate(a, err);
}

const struct admission_plugin admission_node_selector = {
	.name = "PodNodeSelector", .mutates = ON_CREATE, .mutate = selector_mutate, .validate = selector_validate
};
