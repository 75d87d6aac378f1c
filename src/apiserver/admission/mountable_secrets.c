/* The Secrets a pod may name, where its service account says that it lists them (annotation
 * kubernetes.io/enforce-mountable-secrets): in volumes, in variables of every sort of container, for pulling images.
 * CVE-2023-2728 and CVE-2024-3177 were containers and variables that such a check did not look at. */
#include "apiserver/admission/service_account.h"
#include "base/strmap.h"
#include "object/annotation.h"

struct mountable {
	const struct admission *a;
	struct err *err;
	struct sv account;
	struct strmap secrets, pull; /* names; no values that matter */
};

static bool mountable_enforced(const struct obj *account)
{
	return sv_is_true(annotation_of(obj_root(account), "kubernetes.io/enforce-mountable-secrets"));
}

static void mountable_names(struct strmap *m, const struct val *list)
{
	VAL_EACH(list, ref)
		strmap_set(m, val_get_str(ref, F_name), m);
}

static int mountable_containers(struct mountable *m, const struct val *list, const char *sort)
{
	VAL_EACH(list, c) {
		struct sv container = val_get_str(c, F_name), name;

		VAL_EACH(val_member(c, F_env), e) {
			const struct val *ref = val_get(e, F_valueFrom, F_secretKeyRef);

			name = val_get_str(ref, F_name);
			if (ref && !strmap_has(&m->secrets, name))
				return admission_forbid(m->a, m->err,
							"%s %.*s with envVar %.*s referencing secret.secretName="
							"\"%.*s\" is not allowed because service account %.*s does not "
							"reference that secret",
							sort, SV_ARG(container), SV_ARG(val_get_str(e, F_name)),
							SV_ARG(name), SV_ARG(m->account));
		}
		VAL_EACH(val_member(c, F_envFrom), e) {
			const struct val *ref = val_member(e, F_secretRef);

			name = val_get_str(ref, F_name);
			if (ref && !strmap_has(&m->secrets, name))
				return admission_forbid(
				    m->a, m->err,
				    "%s %.*s with envFrom referencing secret.secretName=\"%.*s\" is "
				    "not allowed because service account %.*s does not reference "
				    "that secret",
				    sort, SV_ARG(container), SV_ARG(name), SV_ARG(m->account));
		}
	}
	return 0;
}

static int mountable_pod(struct mountable *m, const struct val *spec)
{
	size_t i = 0;

	VAL_EACH(val_get(spec, F_volumes), v) {
		const struct val *secret = val_member(v, F_secret);
		struct sv name = val_get_str(secret, F_secretName);

		if (secret && !strmap_has(&m->secrets, name))
			return admission_forbid(m->a, m->err,
						"volume with secret.secretName=\"%.*s\" is not allowed because service "
						"account %.*s does not reference that secret",
						SV_ARG(name), SV_ARG(m->account));
	}
	if (mountable_containers(m, val_get(spec, F_initContainers), "init container") < 0 ||
	    mountable_containers(m, val_get(spec, F_containers), "container") < 0)
		return -1;
	VAL_EACH(val_get(spec, F_imagePullSecrets), ref) {
		struct sv name = val_get_str(ref, F_name);

		if (!strmap_has(&m->pull, name))
			return admission_forbid(m->a, m->err,
						"imagePullSecrets[%zu].name=\"%.*s\" is not allowed because service "
						"account %.*s does not reference that imagePullSecret",
						i, SV_ARG(name), SV_ARG(m->account));
		i++;
	}
	return 0;
}

int mountable_secrets_check(const struct admission *a, const struct obj *account, struct err *err)
{
	struct mountable m = { .a = a, .err = err, .account = obj_name(account) };
	const struct val *spec = val_get(a->doc, F_spec);
	int rc;

	if (!mountable_enforced(account))
		return 0;
	mountable_names(&m.secrets, obj_get(account, F_secrets));
	mountable_names(&m.pull, obj_get(account, F_imagePullSecrets));
	if (a->subresource.n)
		rc = mountable_containers(&m, val_get(spec, F_ephemeralContainers), "ephemeral container");
	else
		rc = mountable_pod(&m, spec);
	strmap_release(&m.secrets);
	strmap_release(&m.pull);
	return rc;
}
