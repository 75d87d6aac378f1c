/* One volume from several sources: ConfigMaps, Secrets, fields of the pod, and tokens, which are renewed. */
#include "base/timefmt.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/volumes/volumes.h"

#include <stdlib.h>

static struct val *token_request(struct volume *v, struct sv audience, int64_t seconds)
{
	struct arena *a = v->a;
	struct val *req = val_new_map(a), *spec = val_new_map(a), *ref = val_new_map(a), *list = val_new_list(a);

	val_set_cstr(a, ref, F_apiVersion, "v1");
	val_set_cstr(a, ref, F_kind, "Pod");
	val_set_str(a, ref, F_name, val_get_str(v->pod, F_metadata, F_name));
	val_set_str(a, ref, F_uid, val_get_str(v->pod, F_metadata, F_uid));
	if (audience.n)
		val_push(a, list, val_new_str(a, audience));
	val_set(a, spec, F_audiences, list);
	val_set_int(a, spec, F_expirationSeconds, seconds);
	val_set(a, spec, F_boundObjectRef, ref);
	val_set_cstr(a, req, F_apiVersion, "authentication.k8s.io/v1");
	val_set_cstr(a, req, F_kind, "TokenRequest");
	val_set(a, req, F_spec, spec);
	return req;
}

/* A bound token for the pod: asked for once, then again when 80% of its life (or a day) is over. */
static int token_get(struct volume *v, const struct val *src, struct sv *ret, struct err *err)
{
	struct arena *a = v->a;
	struct sv audience = val_get_str(src, F_audience), sa = val_get_str(v->pod, F_spec, F_serviceAccountName);
	int64_t seconds = val_get_int(src, 3600, F_expirationSeconds), now = env_now_ns(v->k->env), until;
	const char *key = arena_printf(a, "%.*s %" PRId64, SV_ARG(audience), seconds);
	struct pod_token *t = NULL;
	struct obj *o;

	for (size_t i = 0; v->p && i < v->p->tokens.n; i++)
		if (!strcmp(v->p->tokens.p[i].key, key))
			t = &v->p->tokens.p[i];
	if (t && now < t->refresh_ns) {
		*ret = arena_sv(a, sv_from(t->token));
		return 0;
	}
	if (client_create_sub(v->k->client, RES(core_serviceaccounts), val_get_str(v->pod, F_metadata, F_namespace),
			      sa.n ? sa : SV("default"), "token", token_request(v, audience, seconds), &o, err) < 0) {
		if (!t)
			return err_wrap(err, "failed to fetch token");
		err_release(err); /* better the old one than none */
		*ret = arena_sv(a, sv_from(t->token));
		return 0;
	}
	obj_link(a, o);
	*ret = val_str(obj_get(o, F_status, F_token));
	if (!v->p)
		return 0;
	if (!time_parse(val_str(obj_get(o, F_status, F_expirationTimestamp)), &until) || until <= now)
		until = now + seconds * NS_PER_SEC;
	if (!t) {
		vec_push(&v->p->tokens, ((struct pod_token){ .key = xstrdup(key) }));
		t = &vec_last(&v->p->tokens);
	}
	free(t->token);
	t->token = xstrndup(ret->p, ret->n);
	t->refresh_ns = now + MIN((until - now) / 10 * 8, 24 * 3600 * NS_PER_SEC);
	return 0;
}

int projected_setup(struct volume *v, struct err *err)
{
	int64_t mode = val_get_int(v->source, 0644, F_defaultMode);
	struct file_list l = { 0 };

	VAL_EACH(val_member(v->source, F_sources), s) {
		const struct val *src;
		int rc = 0;

		if ((src = val_member(s, F_configMap)) || (src = val_member(s, F_secret))) {
			rc = config_files(v, &l, !val_member(s, F_configMap), val_get_str(src, F_name),
					  val_member(src, F_items), val_get_bool(src, F_optional), mode, err);
		} else if ((src = val_member(s, F_downwardAPI))) {
			rc = downward_files(v, &l, val_member(src, F_items), mode, err);
		} else if ((src = val_member(s, F_serviceAccountToken))) {
			struct sv token;

			rc = token_get(v, src, &token, err);
			if (rc ==
			    0) /* other users of the pod's containers read it through the group, or as everybody */
				volume_file_add(v, &l, val_get_str(src, F_path), token,
						v->fs_group >= 0 ? 0640 : (mode_t)(mode & 0777));
		} else {
			rc = err_set(err, ERR_INVALID, "a projected source of kind %.*s cannot be given by this node",
				     SV_ARG(val_len(s)
						? sv_from(val_member(s, F_clusterTrustBundle) ? "clusterTrustBundle"
											      : "podCertificate")
						: SV("none")));
		}
		if (rc < 0)
			return -1;
	}
	if (volume_in_memory(v, err) < 0) /* tokens and secrets */
		return -1;
	return volume_write(v, &l, err);
}
