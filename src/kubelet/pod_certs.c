#include "kubelet/pod_certs.h"

#include "base/b64.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "client/informer_lazy.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_cert.h"
#include "kubelet/pod_table.h"
#include "net/cert_pem.h"
#include "net/csr.h"

#include <stdlib.h>
#include <string.h>

#define JITTER_NS (5 * 60 * NS_PER_SEC)
#define AGAIN_NS \
	(5 * 60 * NS_PER_SEC) /* from one certificate to the next one, at least: a server's own rules ask for that */
#define OVERDUE_NS (10 * 60 * NS_PER_SEC) /* behind the time of a renewal it is told that none came */

/* Each try is two reads and a create, of what may be refused for as long as the pod lives: by a quota, a policy. */
static const struct retry_policy certs_retry = { .first_ns = NS_PER_SEC, .max_ns = 5 * 60 * NS_PER_SEC };

struct pod_certs {
	struct kubelet *k;
	struct informer_lazy requests;
};

/* --- what changed --- */

static void certs_on_any(struct obj *o, void *ctx)
{
	struct pod_certs *c = ctx;
	struct kpod *p = kubelet_pod(c->k, val_str(obj_get(o, F_spec, F_podUID)));

	if (p)
		kpod_refresh(p);
	kpod_unref(p);
}

static void certs_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		certs_on_any(neu, ctx);
}

static struct informer *certs_informer(struct pod_certs *c)
{
	static const struct informer_handler handler = { .add = certs_on_any,
							 .update = certs_on_update,
							 .del = certs_on_any };

	_cleanup_free_ char *fields = xasprintf("spec.nodeName=%s", c->k->node_name);

	return informer_lazy_get(&c->requests, c->k->client, RES(certificates_podcertificaterequests), fields, &handler,
				 c);
}

/* --- asking --- */

/* Its key; RSA takes seconds, so one that has shown itself to nobody serves the next try. */
static int certs_key(struct pod_cert *it, struct arena *a, struct sv key_type, struct err *err)
{
	struct sv der, key, stub;

	if (it->asked_key)
		return 0;
	if (csr_stub(a, key_type, &der, &key, err) < 0)
		return err_wrap(err, "while generating keypair");
	stub = b64_encode(a, der);
	it->asked_key = xstrndup(key.p, key.n);
	it->asked_stub = xstrndup(stub.p, stub.n);
	return 0;
}

/* The uid of an object that the request names, as admission compares it. */
static int certs_uid(struct pod_certs *c, struct arena *a, const struct resource *r, struct sv ns, struct sv name,
		     struct sv *ret, struct err *err)
{
	struct obj *o;

	if (client_get(c->k->client, r, ns, name, &o, err) < 0)
		return -1;
	*ret = obj_uid(obj_link(a, o));
	return 0;
}

static struct val *certs_owner(struct arena *a, const struct kpod *p)
{
	struct val *owner = val_new_map(a), *list = val_new_list(a);

	val_set_cstr(a, owner, F_apiVersion, "v1");
	val_set_cstr(a, owner, F_kind, "Pod");
	val_set_cstr(a, owner, F_name, p->name);
	val_set_cstr(a, owner, F_uid, p->uid);
	val_push(a, list, owner);
	return list;
}

static int certs_ask(struct pod_certs *c, struct kpod *p, struct pod_cert *it, struct arena *a, const struct val *pod,
		     const struct val *src, struct err *err)
{
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a);
	struct sv account = val_get_str(pod, F_spec, F_serviceAccountName), ns = sv_from(p->ns),
		  node = sv_from(c->k->node_name), account_uid, node_uid;
	struct obj *o;

	if (certs_uid(c, a, RES(core_serviceaccounts), ns, account, &account_uid, err) < 0)
		return err_wrap(err, "while fetching service account");
	if (certs_uid(c, a, RES(core_nodes), SV(""), node, &node_uid, err) < 0)
		return err_wrap(err, "while getting node object");
	if (certs_key(it, a, val_get_str(src, F_keyType), err) < 0)
		return -1;
	val_set_cstr(a, doc, F_apiVersion, "certificates.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "PodCertificateRequest");
	val_set_cstr(a, meta, F_generateName, "req-");
	val_set_cstr(a, meta, F_namespace, p->ns);
	val_set(a, meta, F_ownerReferences, certs_owner(a, p));
	val_set(a, doc, F_metadata, meta);
	val_set_str(a, spec, F_signerName, val_get_str(src, F_signerName));
	val_set_cstr(a, spec, F_podName, p->name);
	val_set_cstr(a, spec, F_podUID, p->uid);
	val_set_str(a, spec, F_serviceAccountName, account);
	val_set_str(a, spec, F_serviceAccountUID, account_uid);
	val_set_str(a, spec, F_nodeName, node);
	val_set_str(a, spec, F_nodeUID, node_uid);
	if (val_member(src, F_maxExpirationSeconds))
		val_set_int(a, spec, F_maxExpirationSeconds, val_get_int(src, 0, F_maxExpirationSeconds));
	if (val_len(val_member(src, F_userAnnotations)))
		val_set(a, spec, F_unverifiedUserAnnotations, val_clone(a, val_member(src, F_userAnnotations)));
	val_set_str(a, spec, F_stubPKCS10Request, arena_sv(a, sv_from(it->asked_stub)));
	val_set(a, doc, F_spec, spec);
	if (client_create(c->k->client, RES(certificates_podcertificaterequests), ns, doc, NULL, &o, err) < 0)
		return err_wrap(err, "while creating %s PodCertificateRequest", it->key ? "refresh" : "initial");
	it->asked = xstrndup(obj_name(o).p, obj_name(o).n);
	it->asked_uid = xstrndup(obj_uid(o).p, obj_uid(o).n);
	it->asked_rev = obj_rev(o);
	obj_unref(o);
	return 0;
}

/* --- the answer --- */

static void certs_refuse(struct kpod *p, struct pod_cert *it, const struct val *cond, const char *how)
{
	struct sv reason = val_get_str(cond, F_reason), message = val_get_str(cond, F_message);

	it->refused = xasprintf("PodCertificateRequest %s: reason=\"%.*s\" message=\"%.*s\"",
				strcmp(how, "Denied") == 0 ? "was permanently denied" : "permanently failed",
				SV_ARG(reason), SV_ARG(message));
	kpod_event(p, NULL, "Warning", how, "PodCertificateRequest %s/%s %s, reason=\"%.*s\", message=\"%.*s\"", p->ns,
		   it->asked, strcmp(how, "Denied") == 0 ? "was denied" : "failed", SV_ARG(reason), SV_ARG(message));
	pod_cert_forget_request(it);
	pod_cert_forget_key(it);
}

static void certs_take(struct pod_certs *c, struct arena *a, struct pod_cert *it, struct obj *o)
{
	_cleanup_(cert_pem_release) struct cert_pem chain = { .a = a };

	cert_pem_add(&chain, val_str(obj_get(o, F_status, F_certificateChain)));
	pod_cert_take(it, cert_pem_text(&chain));
	/* The server has compared them with the certificate. */
	if (!time_parse(val_str(obj_get(o, F_status, F_beginRefreshAt)), &it->refresh_ns))
		it->refresh_ns = env_now_ns(c->k->env);
	if (!time_parse(val_str(obj_get(o, F_status, F_notAfter)), &it->not_after_ns))
		it->not_after_ns = INT64_MAX;
	/* Never at once again, whatever the two clocks say. */
	it->refresh_ns = MAX(it->refresh_ns, env_now_ns(c->k->env) + AGAIN_NS) +
			 (int64_t)env_random_below(c->k->env, (uint64_t)JITTER_NS);
	it->told_overdue = it->told_expired = false;
}

static void certs_look(struct pod_certs *c, struct kpod *p, struct arena *a, struct pod_cert *it)
{
	struct informer *i = certs_informer(c);
	struct obj *o = informer_lookup(i, sv_from(p->ns), sv_from(it->asked));

	/* Not seen yet, or gone before an answer; another one of its name is not about our key. */
	if (!o || !sv_is(obj_uid(o), it->asked_uid)) {
		if (informer_rev(i) >= it->asked_rev)
			pod_cert_forget_request(it);
		obj_unref(o);
		return;
	}
	VAL_EACH(obj_get(o, F_status, F_conditions), cond) {
		if (val_is(val_member(cond, F_type), "Issued"))
			certs_take(c, a, it, o);
		else if (val_is(val_member(cond, F_type), "Denied"))
			certs_refuse(p, it, cond, "Denied");
		else if (val_is(val_member(cond, F_type), "Failed"))
			certs_refuse(p, it, cond, "Failed");
		else
			continue;
		break; /* there is one that decides */
	}
	obj_unref(o);
}

static void certs_tell_late(struct kpod *p, struct pod_cert *it, int64_t now)
{
	if (!it->told_overdue && now - it->refresh_ns > OVERDUE_NS) {
		kpod_event(p, NULL, "Warning", "CertificateOverdueForRefresh", "PodCertificate refresh overdue");
		it->told_overdue = true;
	}
	if (!it->told_expired && now > it->not_after_ns) {
		kpod_event(p, NULL, "Warning", "CertificateExpired", "PodCertificate expired");
		it->told_expired = true;
	}
}

/* --- one source --- */

static struct pod_cert *certs_of(struct kpod *p, struct sv of)
{
	void **slot = strmap_slot(&p->certs, of);

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct pod_cert));
	return *slot;
}

/* What cannot be asked for is not asked for with each sync. */
static void certs_try(struct pod_certs *c, struct kpod *p, struct pod_cert *it, struct arena *a, const struct val *pod,
		      const struct val *src)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t now = env_mono_ns(c->k->env);

	if (retry_left_ns(&certs_retry, &it->failed, it->failed.failed_ns, now) > 0)
		return;
	free(TAKE(it->failed_why));
	if (certs_ask(c, p, it, a, pod, src, &why) == 0) {
		retry_forget(&it->failed);
		return;
	}
	(void)retry_failed(&certs_retry, &it->failed, env_mono_ns(c->k->env));
	it->failed_why = xstrdup(err_msg(&why));
	if (it->key)
		log_warn(SYS, "a pod's certificate cannot be renewed", "why", "%s/%s: %s", p->ns, p->name,
			 it->failed_why);
}

int pod_cert_get(struct pod_certs *c, struct kpod *p, struct arena *a, const struct val *pod, struct sv volume,
		 size_t index, const struct val *src, struct sv *ret_key, struct sv *ret_chain, struct err *err)
{
	struct pod_cert *it = certs_of(p, arena_svf(a, "%.*s/%zu", SV_ARG(volume), index));
	struct informer *i = certs_informer(c); /* before anything is asked, so that no answer is missed */
	int64_t now = env_now_ns(c->k->env);

	if (it->asked)
		certs_look(c, p, a, it);
	if (!it->asked && !it->refused && (!it->key || now >= it->refresh_ns) && informer_synced(i))
		certs_try(c, p, it, a, pod, src);
	if (it->key)
		certs_tell_late(p, it, now);
	if (it->refused)
		return err_set(err, ERR_FORBIDDEN, "%s", it->refused);
	if (!it->key)
		return err_set(err, ERR_UNAVAILABLE, "%s",
			       it->failed_why ? it->failed_why : "credential bundle is not issued yet");
	*ret_key = arena_sv(a, sv_from(it->key));
	*ret_chain = arena_sv(a, sv_from(it->chain));
	return 0;
}

struct pod_certs *pod_certs_new(struct kubelet *k)
{
	struct pod_certs *c = xcalloc(1, sizeof(*c));

	c->k = k;
	informer_lazy_init(&c->requests);
	return c;
}

struct pod_certs *pod_certs_free(struct pod_certs *c)
{
	if (!c)
		return NULL;
	informer_lazy_release(&c->requests);
	free(c);
	return NULL;
}
