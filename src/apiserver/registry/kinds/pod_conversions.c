/* What a Pod says twice, or in an old way: fields that stand for one another, annotations that became fields, keys that
 * refine a selector. Upstream has one form of each inside and converts on the way in and out; here the document itself
 * is made to agree, whenever defaults are filled in (so in every form of a write), or when a Pod is created. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "codec/val_index.h"

#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"
#define PROFILE_MAX 4095

/* Init containers were annotations once. They are dropped wherever a pod is described. */
void pod_drop_old_annotations(struct val *described)
{
	static const char *const old[] = { "pod.beta.kubernetes.io/init-containers",
					   "pod.alpha.kubernetes.io/init-containers",
					   "pod.beta.kubernetes.io/init-container-statuses",
					   "pod.alpha.kubernetes.io/init-container-statuses" };
	struct val *meta = val_get_mut(described, F_metadata), *annotations = val_get_mut(meta, F_annotations);
	bool any = false;

	if (val_type(annotations) != VAL_MAP)
		return;
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		any |= val_del_sv(annotations, sv_from(old[i]));
	if (any && val_len(annotations) == 0)
		val_del(meta, F_annotations);
}

/* podIP is the first of podIPs, from before there were several; where they differ, it decides. */
void pod_one_address(struct arena *a, struct val *status)
{
	struct sv one = val_get_str(status, F_podIP), first = val_get_str(val_at(val_get(status, F_podIPs), 0), F_ip);

	if (one.n && !sv_eq(one, first))
		val_set_str(a, val_push(a, val_set_list(a, status, F_podIPs), val_new_map(a)), F_ip, one);
	else if (!one.n && first.n)
		val_set_str(a, status, F_podIP, first);
}

/* --- at creation --- */

/* The field for what the annotation says; NULL when that is no profile. */
static struct val *conv_profile(struct arena *a, struct sv text)
{
	bool localhost = sv_starts(text, SV("localhost/"));
	struct sv name = localhost ? sv_sub(text, strlen("localhost/"), text.n) : SV("");
	struct val *profile;

	if (!sv_is(text, "unconfined") && !sv_is(text, "runtime/default") &&
	    (!name.n || name.n > PROFILE_MAX || sv_trim(name).n != name.n))
		return NULL;
	profile = val_new_map(a);
	val_set_cstr(a, profile, F_type,
		     localhost			 ? "Localhost"
		     : sv_is(text, "unconfined") ? "Unconfined"
						 : "RuntimeDefault");
	if (localhost)
		val_set_str(a, profile, F_localhostProfile, name);
	return profile;
}

/* A container's AppArmor profile was an annotation of the pod; the field is what nodes look at. */
static void conv_apparmor(struct api_req *q, const struct val_index *annotations, const struct val *of_pod,
			  struct val *container)
{
	struct sv key = arena_svf(q->arena, APPARMOR "%.*s", SV_ARG(val_get_str(container, F_name)));
	const struct val *text = val_index_get(annotations, key);
	struct val *profile;

	if (!text || val_get(container, F_securityContext, F_appArmorProfile))
		return;
	profile = conv_profile(q->arena, val_str(text));
	if (profile && val_same(profile, of_pod))
		return;
	if (profile)
		val_set(q->arena, val_ensure_map(q->arena, container, F_securityContext), F_appArmorProfile, profile);
	api_req_warn(q, "metadata.annotations[%.*s]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
		     SV_ARG(key));
}

/* Keys whose values are the pod's own labels become expressions of the selector they refine. Without a selector they
 * select nothing, and a label the pod has not is left out. A key that repeats says no
 * more, or is refused for it later, for which two expressions are enough: they are many times as large as the key. */
static void conv_keys(struct arena *a, const struct val_index *labels, struct val *term, enum sym keys, const char *op)
{
	struct val *selector = val_get_mut(term, F_labelSelector);
	_cleanup_(strmap_release) struct strmap once = STRMAP_INIT, twice = STRMAP_INIT;

	if (val_type(selector) != VAL_MAP)
		return;
	VAL_EACH(val_get(term, keys), k) {
		const struct val *value = val_index_get(labels, val_str(k));
		struct val *e;

		if (!value || (strmap_set(&once, val_str(k), term) && strmap_set(&twice, val_str(k), term)))
			continue;
		e = val_push(a, val_ensure_list(a, selector, F_matchExpressions), val_new_map(a));
		val_set(a, e, F_key, k);
		val_set_cstr(a, e, F_operator, op);
		val_push(a, val_set_list(a, e, F_values), value);
	}
}

static void conv_terms(struct arena *a, const struct val_index *labels, struct val *affinity)
{
	struct val *list = val_get_mut(affinity, F_requiredDuringSchedulingIgnoredDuringExecution);

	for (size_t i = 0; i < val_len(list); i++) {
		conv_keys(a, labels, val_at_mut(list, i), F_matchLabelKeys, "In");
		conv_keys(a, labels, val_at_mut(list, i), F_mismatchLabelKeys, "NotIn");
	}
	list = val_get_mut(affinity, F_preferredDuringSchedulingIgnoredDuringExecution);
	for (size_t i = 0; i < val_len(list); i++) {
		struct val *term = val_get_mut(val_at_mut(list, i), F_podAffinityTerm);

		conv_keys(a, labels, term, F_matchLabelKeys, "In");
		conv_keys(a, labels, term, F_mismatchLabelKeys, "NotIn");
	}
}

void pod_convert_new(struct api_req *q, struct val *doc)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
	struct val_index labels = val_index_of(val_get(doc, F_metadata, F_labels)),
			 annotations = val_index_of(val_get(doc, F_metadata, F_annotations));
	struct val *spec = val_get_mut(doc, F_spec), *list;
	const struct val *of_pod = val_get(spec, F_securityContext, F_appArmorProfile);
	bool windows = val_is(val_get(spec, F_os, F_name), "windows");

	conv_terms(q->arena, &labels, val_get_mut(spec, F_affinity, F_podAffinity));
	conv_terms(q->arena, &labels, val_get_mut(spec, F_affinity, F_podAntiAffinity));
	list = val_get_mut(spec, F_topologySpreadConstraints);
	for (size_t i = 0; i < val_len(list); i++)
		conv_keys(q->arena, &labels, val_at_mut(list, i), F_matchLabelKeys, "In");
	for (size_t k = 0; !windows && k < ARRAY_LEN(lists); k++) {
		list = val_get_mut(spec, lists[k]);
		for (size_t i = 0; i < val_len(list); i++)
			conv_apparmor(q, &annotations, of_pod, val_at_mut(list, i));
	}
	val_index_release(&labels);
	val_index_release(&annotations);
}
