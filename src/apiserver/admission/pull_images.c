/* AlwaysPullImages: an image is asked for with the credentials of each pod, however often the node has it already. */
#include "apiserver/admission/plugins.h"
#include "base/strmap.h"

static const enum sym pull_lists[] = { F_initContainers, F_containers, F_ephemeralContainers };

/* An update without an image that the pod had not is none of this plugin's. */
static bool pull_matters(const struct admission *a)
{
	struct strmap had = STRMAP_INIT;
	bool fresh = false;

	if (!admits_pod(a) || (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE))
		return false;
	if (a->op == ADMIT_CREATE)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(pull_lists); i++)
		VAL_EACH(val_get(a->old, F_spec, pull_lists[i]), c)
			(void)strmap_set(&had, val_get_str(c, F_image), &had);
	for (size_t i = 0; i < ARRAY_LEN(pull_lists); i++)
		VAL_EACH(val_get(a->doc, F_spec, pull_lists[i]), c)
			fresh = fresh || !strmap_has(&had, val_get_str(c, F_image));
	strmap_release(&had);
	return fresh;
}

static int pull_mutate(const struct admission *a, struct err *err)
{
	struct val *spec, *list;

	(void)err;
	if (!pull_matters(a))
		return 0;
	spec = val_get_mut(a->doc, F_spec);
	for (size_t i = 0; i < ARRAY_LEN(pull_lists); i++) {
		list = val_member_mut(spec, pull_lists[i]);
		for (size_t k = 0; k < val_len(list); k++)
			val_set_cstr(a->q->arena, val_at_mut(list, k), F_imagePullPolicy, "Always");
	}
	list = val_member_mut(spec, F_volumes);
	for (size_t k = 0; k < val_len(list); k++) {
		struct val *image = val_member_mut(val_at_mut(list, k), F_image);

		if (val_type(image) == VAL_MAP)
			val_set_cstr(a->q->arena, image, F_pullPolicy, "Always");
	}
	return 0;
}

/* A webhook may have had other ideas. */
static int pull_validate(const struct admission *a, struct err *err)
{
	if (!pull_matters(a))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(pull_lists); i++) {
		const struct val *list = val_get(a->doc, F_spec, pull_lists[i]);

		for (size_t k = 0; k < val_len(list); k++) {
			struct sv policy = val_get_str(val_at(list, k), F_imagePullPolicy);

			if (!sv_is(policy, "Always"))
				return admission_forbid(a, err,
							"spec.%.*s[%zu].imagePullPolicy: Unsupported value: \"%.*s\": "
							"supported values: \"Always\"",
							SV_ARG(sym_name(pull_lists[i])), k, SV_ARG(policy));
		}
	}
	return 0;
}

const struct admission_plugin admission_pull_images = {
	.name = "AlwaysPullImages", .mutates = ON_CREATE | ON_UPDATE, .mutate = pull_mutate, .validate = pull_validate
};
