/* The order of upstream's recommended plugins; a plugin is one entry here and one file. */
#include "apiserver/admission/plugins.h"

const struct admission_plugin *const admission_chain[] = {
	&admission_namespace_lifecycle, &admission_limit_ranger,	  &admission_service_account,
	&admission_taint_new_nodes,	&admission_node_restriction,	  &admission_priority,
	&admission_default_tolerations, &admission_default_storage_class, &admission_default_ingress_class,
	&admission_storage_protection,	&admission_runtime_class,	  NULL,
};

int admission_mutate(const struct admission *a, struct err *err)
{
	unsigned asked = 1u << a->op | (a->subresource.n ? ON_SUBRESOURCES : 0);

	for (const struct admission_plugin *const *p = admission_chain; *p; p++)
		if ((*p)->mutate && ((*p)->mutates & asked) == asked && (*p)->mutate(a, err) < 0)
			return -1;
	return 0;
}

int admission_validate(const struct admission *a, struct err *err)
{
	for (const struct admission_plugin *const *p = admission_chain; *p; p++)
		if ((*p)->validate && (*p)->validate(a, err) < 0)
			return -1;
	return 0;
}

int admission_create_sub(struct api_req *q, struct val *doc, struct err *err)
{
	const struct admission a = {
		.q = q,
		.op = ADMIT_CREATE,
		.res = q->res,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name.n ? q->name : val_get_str(doc, F_metadata, F_name),
		.doc = doc,
	};

	return admission_mutate(&a, err) < 0 ? -1 : admission_validate(&a, err);
}
