/* RuntimeClass: a pod names a class that exists and carries the overhead that is its class's. There is no such kind
 * here, so no class of any name, and no overhead. */
#include "apiserver/admission/plugins.h"

static int runtime_class_validate(const struct admission *a, struct err *err)
{
	struct sv name;

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	name = val_get_str(a->doc, F_spec, F_runtimeClassName);
	if (name.n)
		return admission_forbid(a, err, "pod rejected: RuntimeClass \"%.*s\" not found", SV_ARG(name));
	if (val_len(val_get(a->doc, F_spec, F_overhead)))
		return admission_forbid(
		    a, err, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
	return 0;
}

const struct admission_plugin admission_runtime_class = { .name = "RuntimeClass", .validate = runtime_class_validate };
