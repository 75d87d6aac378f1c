/* Types of what expressions know of a request. Each is one constant table; fields stand in the order of their names. */
#include "policy/policy_compile.h"

#define FIELD(field, t)                                                                                \
	{                                                                                              \
		.name = { field, sizeof(field) - 1 }, .key = { field, sizeof(field) - 1 }, .type = (t) \
	}
#define OBJECT(id, text, list)                                                  \
	static const struct cel_type id = { .kind = CEL_OBJECT,                 \
					    .weight = 1,                        \
					    .n_fields = ARRAY_LEN(list),        \
					    .max_size = CEL_SIZE_UNKNOWN,       \
					    .min_serialized = 2,                \
					    .name = { text, sizeof(text) - 1 }, \
					    .fields = (list) }
#define LIST(id, of)                                                                                                  \
	static const struct cel_type id = {                                                                           \
		.kind = CEL_LIST, .weight = 2, .max_size = CEL_SIZE_UNKNOWN, .min_serialized = 2, .params = { &(of) } \
	}
#define MAP(id, of)                                                       \
	static const struct cel_type id = { .kind = CEL_MAP,              \
					    .weight = 3,                  \
					    .max_size = CEL_SIZE_UNKNOWN, \
					    .min_serialized = 2,          \
					    .params = { &cel_t_string, &(of) } }

MAP(strings_by_name, cel_t_string);
MAP(lists_by_name, cel_t_list_string);

/* --- request --- */

static const struct cel_field kind_fields[] = {
	FIELD("group", &cel_t_string),
	FIELD("kind", &cel_t_string),
	FIELD("version", &cel_t_string),
};
OBJECT(kind_type, "kubernetes.GroupVersionKind", kind_fields);

static const struct cel_field resource_fields[] = {
	FIELD("group", &cel_t_string),
	FIELD("resource", &cel_t_string),
	FIELD("version", &cel_t_string),
};
OBJECT(resource_type, "kubernetes.GroupVersionResource", resource_fields);

static const struct cel_field user_fields[] = {
	FIELD("extra", &lists_by_name),
	FIELD("groups", &cel_t_list_string),
	FIELD("uid", &cel_t_string),
	FIELD("username", &cel_t_string),
};
OBJECT(user_type, "kubernetes.UserInfo", user_fields);

static const struct cel_field request_fields[] = {
	FIELD("dryRun", &cel_t_bool),
	FIELD("kind", &kind_type),
	FIELD("name", &cel_t_string),
	FIELD("namespace", &cel_t_string),
	FIELD("operation", &cel_t_string),
	FIELD("options", &cel_t_dyn),
	FIELD("requestKind", &kind_type),
	FIELD("requestResource", &resource_type),
	FIELD("requestSubResource", &cel_t_string),
	FIELD("resource", &resource_type),
	FIELD("subResource", &cel_t_string),
	FIELD("userInfo", &user_type),
};
OBJECT(request_type, "kubernetes.AdmissionRequest", request_fields);

const struct cel_type *policy_request_type(void)
{
	return &request_type;
}

/* --- namespaceObject --- */

static const struct cel_field condition_fields[] = {
	FIELD("lastTransitionTime", &cel_t_timestamp),
	FIELD("message", &cel_t_string),
	FIELD("reason", &cel_t_string),
	FIELD("status", &cel_t_string),
	FIELD("type", &cel_t_string),
};
OBJECT(condition_type, "kubernetes.NamespaceCondition", condition_fields);
LIST(conditions_type, condition_type);

static const struct cel_field status_fields[] = {
	FIELD("conditions", &conditions_type),
	FIELD("phase", &cel_t_string),
};
OBJECT(status_type, "kubernetes.NamespaceStatus", status_fields);

static const struct cel_field spec_fields[] = {
	FIELD("finalizers", &cel_t_list_string),
};
OBJECT(spec_type, "kubernetes.NamespaceSpec", spec_fields);

static const struct cel_field metadata_fields[] = {
	FIELD("annotations", &strings_by_name),
	FIELD("creationTimestamp", &cel_t_timestamp),
	FIELD("deletionGracePeriodSeconds", &cel_t_int),
	FIELD("deletionTimestamp", &cel_t_timestamp),
	FIELD("finalizers", &cel_t_list_string),
	FIELD("generateName", &cel_t_string),
	FIELD("generation", &cel_t_int),
	FIELD("labels", &strings_by_name),
	FIELD("name", &cel_t_string),
	FIELD("namespace", &cel_t_string),
	FIELD("resourceVersion", &cel_t_string),
	FIELD("uid", &cel_t_string),
};
OBJECT(metadata_type, "kubernetes.NamespaceMetadata", metadata_fields);

static const struct cel_field namespace_fields[] = {
	FIELD("metadata", &metadata_type),
	FIELD("spec", &spec_type),
	FIELD("status", &status_type),
};
OBJECT(namespace_type, "kubernetes.Namespace", namespace_fields);

const struct cel_type *policy_namespace_type(void)
{
	return &namespace_type;
}

/* --- what mutations make --- */

static const struct cel_field patch_fields[] = {
	FIELD("from", &cel_t_string),
	FIELD("op", &cel_t_string),
	FIELD("path", &cel_t_string),
	FIELD("value", &cel_t_dyn),
};
OBJECT(patch_type, "JSONPatch", patch_fields);

const struct cel_type *policy_mutation_type(struct arena *a, struct sv name)
{
	struct cel_type *t;

	if (sv_is(name, "JSONPatch"))
		return &patch_type;
	if (!sv_is(name, "Object") && !sv_starts(name, SV("Object.")))
		return NULL;
	t = ARENA_NEW(a, struct cel_type);
	*t = (struct cel_type){
		.kind = CEL_OBJECT,
		.preserve = true,
		.weight = 1,
		.max_size = CEL_SIZE_UNKNOWN,
		.min_serialized = 2,
		.name = arena_sv(a, name),
	};
	return t;
}

const struct cel_type *policy_named_type(struct arena *a, struct sv name)
{
	static const struct cel_type *const all[] = { &kind_type,    &resource_type,  &user_type,
						      &request_type, &condition_type, &status_type,
						      &spec_type,    &metadata_type,  &namespace_type };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sv_eq(all[i]->name, name))
			return all[i];
	return policy_mutation_type(a, name);
}
