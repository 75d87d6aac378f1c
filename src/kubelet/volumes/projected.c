/* One volume from several sources: ConfigMaps, Secrets, fields of the pod, trust bundles, and tokens and certificates,
 * which are renewed. */
#include "base/timefmt.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_certs.h"
#include "kubelet/trust_bundles.h"
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

	if (v->p)
		t = strmap_get(&v->p->tokens, sv_from(key));
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
		t = xcalloc(1, sizeof(*t));
		strmap_set(&v->p->tokens, sv_from(key), t);
	}
	free(t->token);
	t->token = xstrndup(ret->p, ret->n);
	t->refresh_ns = now + MIN((until - now) / 10 * 8, 24 * 3600 * NS_PER_SEC);
	return 0;
}

/* Key and chain, each in a file of its own or one behind the other. */
static int certificate_files(struct volume *v, struct file_list *l, size_t index, const struct val *src, mode_t mode,
			     struct err *err)
{
	struct sv both = val_get_str(src, F_credentialBundlePath), key_path = val_get_str(src, F_keyPath),
		  chain_path = val_get_str(src, F_certificateChainPath), key, chain;

	if (!v->p)
		return err_set(err, ERR_UNAVAILABLE, "credential bundle is not issued yet");
	if (pod_cert_get(v->k->certs, v->p, v->a, v->pod, val_get_str(v->v, F_name), index, src, &key, &chain, err) < 0)
		return -1;
	if (both.n &&
	    volume_file_add(v, l, both, arena_svf(v->a, "%.*s%.*s", SV_ARG(key), SV_ARG(chain)), mode, err) < 0)
		return -1;
	if (key_path.n && volume_file_add(v, l, key_path, key, mode, err) < 0)
		return -1;
	return chain_path.n ? volume_file_add(v, l, chain_path, chain, mode, err) : 0;
}

static int projected_add(struct volume *v, struct file_list *l, size_t index, const struct val *s, int64_t mode,
			 struct err *err)
{
	/* Of what is the pod's own: other users of its containers read it through the group, or as everybody. */
	mode_t own = v->fs_group >= 0 ? 0640 : (mode_t)(mode & 0777);
	const struct val *src;
	struct sv text;

	if ((src = val_member(s, F_configMap)) || (src = val_member(s, F_secret)))
		return config_files(v, l, !val_member(s, F_configMap), val_get_str(src, F_name),
				    val_member(src, F_items), val_get_bool(src, F_optional), mode, err);
	if ((src = val_member(s, F_downwardAPI)))
		return downward_files(v, l, val_member(src, F_items), mode, err);
	if ((src = val_member(s, F_podCertificate)))
		return certificate_files(v, l, index, src, own, err);
	if ((src = val_member(s, F_serviceAccountToken))) {
		if (token_get(v, src, &text, err) < 0)
			return -1;
	} else if ((src = val_member(s, F_clusterTrustBundle))) {
		if (trust_bundles_get(v->k->bundles, v->a, src, &text, err) < 0)
			return -1;
	} else {
		return err_set(err, ERR_INVALID, "a projected source without a kind cannot be given by this node");
	}
	return volume_file_add(v, l, val_get_str(src, F_path), text, own, err);
}

/* All are looked at also when one fails: what takes somebody's answer is asked for together. The first failure is told.
 */
int projected_setup(struct volume *v, struct err *err)
{
	_cleanup_(err_release) struct err first = ERR_INIT;
	int64_t mode = val_get_int(v->source, 0644, F_defaultMode);
	struct file_list l = { 0 };
	size_t index = 0;

	VAL_EACH(val_member(v->source, F_sources), s) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (projected_add(v, &l, index++, s, mode, &why) < 0 && !first.reason)
			(void)err_move(&first, &why);
	}
	if (first.reason)
		return err_move(err, &first);
	if (volume_in_memory(v, err) < 0) /* tokens and secrets */
		return -1;
	return volume_write(v, &l, err);
}
