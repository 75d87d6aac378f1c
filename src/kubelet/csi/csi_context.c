/* What a driver is told beside the volume: secrets, who the pod is, tokens of its account. None of it is logged. */
#include "kubelet/csi/csi-internal.h"

#include "base/b64.h"
#include "base/buf.h"
#include "codec/json.h"

#define POD_INFO "csi.storage.k8s.io/"

void csi_fill(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m)
{
	const struct val *csi = csi_source(u);

	*m = (struct csi_mount){
		.handle = sv_from(r->v->handle),
		.attachment = r->attachment,
		.context = val_member(csi, F_volumeAttributes),
		.readonly = csi_read_only(u),
		.cap = { .block = r->v->block,
			 .fs_type = val_get_str(csi, F_fsType),
			 .can = r->can,
			 .access_mode = SV("ReadWriteOnce") },
	};
	if (u->source) {
		m->cap.mount_options = obj_get(u->source, F_spec, F_mountOptions);
		m->cap.access_mode = val_str(val_at(obj_get(u->source, F_spec, F_accessModes), 0));
	}
	if ((r->can & CSI_CAN_GROUP) && csi_group(r, u) >= 0)
		m->cap.group = arena_svf(r->a, "%" PRId64, csi_group(r, u));
}

int csi_secrets(struct csi_run *r, const struct csi_run_use *u, enum sym field, struct csi_mount *m, struct err *err)
{
	const struct val *ref = val_member(csi_source(u), field);
	struct sv ns = u->source ? val_get_str(ref, F_namespace) : obj_ns(u->pod), name = val_get_str(ref, F_name);
	struct val *secrets = val_new_map(r->a);
	struct obj *o;

	m->secrets = secrets;
	if (!ref)
		return 0;
	if (client_get(r->c->o.client, RES(core_secrets), ns, name, &o, err) < 0)
		return err_wrap(err, "fetching %.*s %.*s/%.*s failed", SV_ARG(sym_name(field)), SV_ARG(ns),
				SV_ARG(name));
	obj_link(r->a, o);
	VAL_EACH_MEMBER(obj_get(o, F_data), d) {
		struct sv value;

		if (!b64_decode(r->a, val_str(d.value), &value))
			return err_set(err, ERR_INTERNAL, "key %.*s of secret %.*s/%.*s is no base64", SV_ARG(d.key),
				       SV_ARG(ns), SV_ARG(name));
		val_set_str_sv(r->a, secrets, d.key, value);
	}
	return 0;
}

/* --- the pod --- */

static struct sv account_of(const struct csi_run_use *u)
{
	struct sv name = val_str(obj_get(u->pod, F_spec, F_serviceAccountName));

	return name.n ? name : SV("default");
}

static void csi_pod_info(struct csi_run *r, const struct csi_run_use *u, struct val *context)
{
	struct arena *a = r->a;

	val_set_str_sv(a, context, SV(POD_INFO "pod.name"), obj_name(u->pod));
	val_set_str_sv(a, context, SV(POD_INFO "pod.namespace"), obj_ns(u->pod));
	val_set_str_sv(a, context, SV(POD_INFO "pod.uid"), obj_uid(u->pod));
	val_set_str_sv(a, context, SV(POD_INFO "serviceAccount.name"), account_of(u));
	val_set_str_sv(a, context, SV(POD_INFO "ephemeral"), r->v->own ? SV("true") : SV("false"));
}

static int csi_token(struct csi_run *r, const struct csi_run_use *u, const struct val *ask, struct val *tokens,
		     struct err *err)
{
	struct arena *a = r->a;
	struct sv audience = val_get_str(ask, F_audience);
	struct val *req = val_new_map(a), *spec = val_new_map(a), *ref = val_new_map(a), *list, *token = val_new_map(a);
	struct obj *o;

	val_set_cstr(a, ref, F_apiVersion, "v1");
	val_set_cstr(a, ref, F_kind, "Pod");
	val_set_str(a, ref, F_name, obj_name(u->pod));
	val_set_str(a, ref, F_uid, obj_uid(u->pod));
	list = val_set_list(a, spec, F_audiences);
	if (audience.n)
		val_push(a, list, val_new_str(a, audience));
	if (val_member(ask, F_expirationSeconds))
		val_set(a, spec, F_expirationSeconds, val_member(ask, F_expirationSeconds));
	val_set(a, spec, F_boundObjectRef, ref);
	val_set_cstr(a, req, F_apiVersion, "authentication.k8s.io/v1");
	val_set_cstr(a, req, F_kind, "TokenRequest");
	val_set(a, req, F_spec, spec);
	if (client_create_sub(r->c->o.client, RES(core_serviceaccounts), obj_ns(u->pod), account_of(u), "token", req,
			      &o, err) < 0)
		return err_wrap(err, "failed to get service account token attributes");
	obj_link(a, o);
	val_set_str_sv(a, token, SV("token"), val_str(obj_get(o, F_status, F_token)));
	val_set_str_sv(a, token, SV("expirationTimestamp"), val_str(obj_get(o, F_status, F_expirationTimestamp)));
	val_set_sv(a, tokens, audience, token);
	return 0;
}

static int csi_tokens(struct csi_run *r, const struct csi_run_use *u, struct val *into, struct err *err)
{
	const struct val *asks = r->driver ? obj_get(r->driver, F_spec, F_tokenRequests) : NULL;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct val *tokens = val_new_map(r->a);

	if (!val_len(asks))
		return 0;
	VAL_EACH(asks, ask)
		if (csi_token(r, u, ask, tokens, err) < 0)
			return -1;
	json_encode(&text, tokens);
	val_set_str_sv(r->a, into, SV(POD_INFO "serviceAccount.tokens"), buf_sv(&text));
	return 0;
}

int csi_pod_context(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m, struct err *err)
{
	struct val *context = m->context ? val_clone(r->a, m->context) : val_new_map(r->a);
	struct val *secrets = val_clone(r->a, m->secrets);
	bool in_secrets = r->driver && val_bool(obj_get(r->driver, F_spec, F_serviceAccountTokenInSecrets));

	if (r->driver && val_bool(obj_get(r->driver, F_spec, F_podInfoOnMount)))
		csi_pod_info(r, u, context);
	if (csi_tokens(r, u, in_secrets ? secrets : context, err) < 0)
		return -1;
	m->context = context;
	m->secrets = secrets;
	return 0;
}
