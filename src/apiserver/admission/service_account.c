/* ServiceAccount: a pod runs as an existing service account, "default" unless it says
 * otherwise, and finds a token, the cluster CA and its namespace under
 * /var/run/secrets/kubernetes.io/serviceaccount (bound tokens, KEP-542). */
#include "apiserver/admission/service_account.h"
#include "object/pod_refs.h"

#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_LIFE_S 3607 /* a bit over an hour: tells these tokens from others in logs */

static const char *const suffix_digits = "bcdfghjklmnpqrstvwxz2456789";

/* The API credential volume: one projected volume of three sources. */
static struct val *token_volume(struct admission const *adm, struct sv name)
{
	struct arena *a = adm->q->arena;
	struct val *v = val_new_map(a), *p, *sources, *s, *m, *items, *item;

	val_set_str(a, v, F_name, name);
	p = val_set_map(a, v, F_projected);
	sources = val_new_list(a);

	s = val_new_map(a);
	m = val_set_map(a, s, F_serviceAccountToken);
	val_set_int(a, m, F_expirationSeconds, TOKEN_LIFE_S);
	val_set_cstr(a, m, F_path, "token");
	val_push(a, sources, s);

	s = val_new_map(a);
	m = val_set_map(a, s, F_configMap);
	val_set_cstr(a, m, F_name, "kube-root-ca.crt");
	items = val_new_list(a);
	item = val_new_map(a);
	val_set_cstr(a, item, F_key, "ca.crt");
	val_set_cstr(a, item, F_path, "ca.crt");
	val_push(a, items, item);
	val_set(a, m, F_items, items);
	val_push(a, sources, s);

	s = val_new_map(a);
	m = val_set_map(a, s, F_downwardAPI);
	items = val_new_list(a);
	item = val_new_map(a);
	val_set_cstr(a, item, F_path, "namespace");
	struct val *ref = val_set_map(a, item, F_fieldRef);

	val_set_cstr(a, ref, F_apiVersion, "v1");
	val_set_cstr(a, ref, F_fieldPath, "metadata.namespace");
	val_push(a, items, item);
	val_set(a, m, F_items, items);
	val_push(a, sources, s);

	val_set(a, p, F_sources, sources);
	val_set_int(a, p, F_defaultMode, 0644);
	return v;
}

static bool mounts_path(const struct val *container, const char *path)
{
	VAL_EACH(val_get(container, F_volumeMounts), m)
		if (val_is(val_get(m, F_mountPath), path))
			return true;
	return false;
}

static void mount_token(const struct admission *adm, struct val *spec)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	struct arena *a = adm->q->arena;
	char suffix[6] = "";
	struct sv name;
	bool used = false;

	for (size_t i = 0; i < 5; i++)
		suffix[i] = suffix_digits[env_random_below(adm->q->server->env, strlen(suffix_digits))];
	name = arena_svf(a, "kube-api-access-%s", suffix);
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct val *list = val_member_mut(spec, lists[k]);

		for (size_t i = 0; i < val_len(list); i++) {
			struct val *c = val_at_mut(list, i), *m;

			if (mounts_path(c, TOKEN_MOUNT))
				continue;
			m = val_new_map(a);
			val_set_str(a, m, F_name, name);
			val_set_bool(a, m, F_readOnly, true);
			val_set_cstr(a, m, F_mountPath, TOKEN_MOUNT);
			val_push(a, val_ensure_list(a, c, F_volumeMounts), m);
			used = true;
		}
	}
	if (used)
		val_push(a, val_ensure_list(a, spec, F_volumes), token_volume(adm, name));
}

static bool wants_token(const struct val *spec, struct obj *sa)
{
	const struct val *own = val_get(spec, F_automountServiceAccountToken);
	const struct val *of_sa = obj_get(sa, F_automountServiceAccountToken);

	if (val_type(own) == VAL_BOOL)
		return val_bool(own);
	return val_type(of_sa) != VAL_BOOL || val_bool(of_sa);
}

static void account_note_secret(enum pod_ref kind, struct sv name, void *ctx)
{
	(void)name;
	*(bool *)ctx |= kind == POD_REF_SECRET;
}

/* A mirror pod stands for a static one, which uses nothing of the API: it is not changed, and may name neither accounts
 * nor Secrets, whoever makes it. */
static int account_check_mirror(const struct admission *a, struct err *err)
{
	const struct val *spec = val_get(a->doc, F_spec);
	bool secrets = false;

	if (val_get_str(spec, F_serviceAccountName).n)
		return admission_forbid(a, err, "a mirror pod may not reference service accounts");
	pod_refs_each(a->doc, account_note_secret, &secrets);
	if (secrets)
		return admission_forbid(a, err, "a mirror pod may not reference secrets");
	VAL_EACH(val_get(spec, F_volumes), v)
		VAL_EACH(val_get(v, F_projected, F_sources), src)
			if (val_get(src, F_serviceAccountToken))
				return admission_forbid(
				    a, err, "a mirror pod may not use ServiceAccountToken volume projections");
	return 0;
}

/* NULL after having said that there is none. */
static struct obj *account_find(const struct admission *a, struct sv name, struct err *err)
{
	struct obj *sa = registry_peek(a->q, RES(core_serviceaccounts), a->ns, name);

	if (!sa && registry_absent(a->q, RES(core_serviceaccounts), a->ns, name, err) == 0)
		admission_forbid(a, err,
				 "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
				 SV_ARG(a->ns), SV_ARG(name), SV_ARG(name));
	return sa;
}

static int service_account_mutate(const struct admission *a, struct err *err)
{
	struct val *spec;
	struct sv name;
	struct obj *sa;

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	if (pod_is_mirror(a->doc))
		return account_check_mirror(a, err);
	spec = val_ensure_map(a->q->arena, a->doc, F_spec);
	name = val_get_str(spec, F_serviceAccountName);
	if (name.n == 0) {
		name = SV("default");
		val_set_str(a->q->arena, spec, F_serviceAccountName, name);
		val_set_str(a->q->arena, spec, F_serviceAccount, name);
	}
	sa = account_find(a, name, err);
	if (!sa)
		return -1;
	if (wants_token(spec, sa))
		mount_token(a, spec);
	if (!val_len(val_get(spec, F_imagePullSecrets)) && val_len(obj_get(sa, F_imagePullSecrets)))
		val_set(a->q->arena, spec, F_imagePullSecrets, val_clone(a->q->arena, obj_get(sa, F_imagePullSecrets)));
	return mountable_secrets_check(a, sa, err);
}

/* What is added to a pod that is there, and a pod as the plugins after this one left it. */
static int service_account_validate(const struct admission *a, struct err *err)
{
	bool ephemeral =
	    a->res == RES(core_pods) && a->op == ADMIT_UPDATE && a->doc && sv_is(a->subresource, "ephemeralcontainers");
	struct sv name = val_get_str(a->doc, F_spec, F_serviceAccountName);
	struct obj *sa;

	if (!ephemeral && !(admits_pod(a) && a->op == ADMIT_CREATE))
		return 0;
	if (!ephemeral && pod_is_mirror(a->doc))
		return account_check_mirror(a, err);
	if (!name.n)
		return admission_forbid(a, err, "no service account specified for pod %.*s/%.*s", SV_ARG(a->ns),
					SV_ARG(a->name));
	sa = account_find(a, name, err);
	return sa ? mountable_secrets_check(a, sa, err) : -1;
}

const struct admission_plugin admission_service_account = {
	.name = "ServiceAccount",
	.mutates = ON_CREATE,
	.mutate = service_account_mutate,
	.validate = service_account_validate,
};
