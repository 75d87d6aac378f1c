#include "object/ingress_refs.h"

#include "object/annotation.h"
#include "object/default_class.h"

struct sv ingress_class_name(const struct val *ingress)
{
	struct sv class = val_get_str(ingress, F_spec, F_ingressClassName);

	return class.n ? class : annotation_of(ingress, "kubernetes.io/ingress.class");
}

bool ingress_class_is_ours(const struct val *class)
{
	return sv_is(val_get_str(class, F_spec, F_controller), INGRESS_CONTROLLER);
}

void ingress_classes_of(struct obj *const *classes, size_t n, struct ingress_classes *ret)
{
	struct default_class_search search = { .is_default = ingress_class_is_default };

	*ret = (struct ingress_classes){ .default_ours = false };
	for (size_t i = 0; i < n; i++) {
		(void)default_class_look(classes[i], &search);
		if (ingress_class_is_ours(obj_root(classes[i])))
			strmap_set(&ret->ours, obj_name(classes[i]), ret);
	}
	ret->default_ours = search.found && ingress_class_is_ours(obj_root(search.found));
	obj_unref(search.found);
}

void ingress_classes_release(struct ingress_classes *c)
{
	strmap_release(&c->ours);
}

bool ingress_classes_have(const struct ingress_classes *c, struct sv name)
{
	return name.n ? strmap_has(&c->ours, name) : c->default_ours;
}

bool ingress_is_ours(const struct ingress_classes *c, const struct val *ingress)
{
	return ingress_classes_have(c, ingress_class_name(ingress));
}

struct sv ingress_own_secret(const struct val *ingress, struct sv ref)
{
	ssize_t slash = sv_find(ref, '/');

	if (slash < 0)
		return ref;
	if (!sv_eq(sv_sub(ref, 0, (size_t)slash), val_get_str(ingress, F_metadata, F_namespace)))
		return SV_NULL;
	return sv_sub(ref, (size_t)slash + 1, ref.n);
}

void ingress_secrets_each(const struct val *ingress, void (*fn)(struct sv name, void *ctx), void *ctx)
{
	/* ingress/annotations.c has the same names: the last one counts there, either may be read here. */
	static const char *const auth[] = { "nginx.ingress.kubernetes.io/auth-secret", "haproxy.org/auth-secret" };

	VAL_EACH(val_get(ingress, F_spec, F_tls), t)
		if (val_get_str(t, F_secretName).n)
			fn(val_get_str(t, F_secretName), ctx);
	for (size_t i = 0; i < ARRAY_LEN(auth); i++) {
		struct sv name = ingress_own_secret(ingress, annotation_of(ingress, auth[i]));

		if (name.n)
			fn(name, ctx);
	}
}

enum ingress_role ingress_node_role(const struct val *node)
{
	const struct val *label = val_member_sv(val_get(node, F_metadata, F_labels), SV(INGRESS_NODE_LABEL));

	if (!label)
		return INGRESS_ROLE_IF_NONE;
	return val_is(label, "true") ? INGRESS_ROLE_CHOSEN : INGRESS_ROLE_NEVER;
}

bool ingress_role_serves(enum ingress_role role, bool any_chosen)
{
	return role >= (any_chosen ? INGRESS_ROLE_CHOSEN : INGRESS_ROLE_IF_NONE);
}
