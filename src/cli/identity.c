#include "cli/identity.h"

#include "base/b64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "net/csr.h"
#include "net/key.h"
#include "object/condition.h"

#include <errno.h>

#define PEM_MAX ((size_t)256 * 1024)
#define NODE_GROUP "system:nodes"
#define IDENTITY_IPS 4 /* a node tells one of each family */

static const char *identity_path(const struct identity *id, const char *name)
{
	return arena_printf(id->a, "%s/%s", id->dir, name);
}

/* SV("") when it is not there. */
static int identity_read(const struct identity *id, const char *name, struct sv *ret, struct err *err)
{
	struct err why = ERR_INIT;

	*ret = SV("");
	if (file_read(id->a, identity_path(id, name), PEM_MAX, ret, &why) == 0)
		return 0;
	*ret = SV("");
	if (why.errnum != ENOENT)
		return err_move(err, &why);
	err_release(&why);
	return 0;
}

int64_t identity_renew_ns(struct sv cert_pem, int spread_milli)
{
	int64_t from, to, life;

	if (cert_validity(cert_pem, &from, &to, NULL) < 0)
		return INT64_MIN;
	life = to - from;
	/* Signers say valid from 1970 or from some minutes ago: what counts is when it ends. */
	life = MIN(life, (int64_t)365 * 24 * 3600 * NS_PER_SEC);
	return to - life * (300 - spread_milli / 5) / 1000;
}

int identity_load(struct identity *id, struct arena *a, const char *data_dir, const char *node_name, const char *server,
		  int64_t now_ns, const char **ret_why, struct err *err)
{
	struct sv name, url, names;
	int64_t from, to;

	*id = (struct identity){
		.a = a, .dir = arena_printf(a, "%s/agent", data_dir), .node_name = node_name, .server = server
	};
	*ret_why = NULL;
	if (identity_read(id, "server-ca.crt", &id->ca, err) < 0 ||
	    identity_read(id, "client-kubelet.key", &id->key, err) < 0 ||
	    identity_read(id, "client-kubelet.crt", &id->cert, err) < 0 ||
	    identity_read(id, "serving-kubelet.key", &id->serving_key, err) < 0 ||
	    identity_read(id, "serving-kubelet.crt", &id->serving_cert, err) < 0 ||
	    identity_read(id, "serving-kubelet.names", &names, err) < 0 ||
	    identity_read(id, "node-name", &name, err) < 0 || identity_read(id, "server", &url, err) < 0)
		return err_wrap(err, "reading who this node is");
	name = sv_trim(name);
	url = sv_trim(url);
	id->serving_names = arena_cstr(a, sv_trim(names));
	if (!id->ca.n || !id->key.n || !id->cert.n)
		return 0;
	if (name.n && !sv_is(name, node_name))
		return err_set(err, ERR_INVALID,
			       "'%s' is the data directory of node '%.*s', not '%s': take another --data-dir, or "
			       "--node-name %.*s",
			       data_dir, SV_ARG(name), node_name, SV_ARG(name));
	if (!server)
		id->server = arena_cstr(a, url);
	if (!cert_is_of(id->cert, id->key, id->ca)) {
		*ret_why = "its certificate is not of its key, or of another cluster";
		return 0;
	}
	if (cert_validity(id->cert, &from, &to, NULL) < 0 || to <= now_ns) {
		*ret_why = "its certificate has expired";
		return 0;
	}
	if (!id->serving_key.n || !cert_is_of(id->serving_cert, id->serving_key, id->ca) ||
	    cert_validity(id->serving_cert, &from, &to, NULL) < 0 || to <= now_ns)
		id->serving_names = "";
	return *id->server ? 1 : 0;
}

int identity_save(const struct identity *id, struct err *err)
{
	const struct file_out files[] = {
		{ identity_path(id, "client-kubelet.key"), id->key, 0600 },
		{ identity_path(id, "client-kubelet.crt"), id->cert, 0600 },
		{ identity_path(id, "serving-kubelet.key"), id->serving_key, 0600 },
		{ identity_path(id, "serving-kubelet.crt"), id->serving_cert, 0600 },
		{ identity_path(id, "serving-kubelet.names"), sv_from(id->serving_names), 0600 },
		{ identity_path(id, "node-name"), sv_from(id->node_name), 0600 },
		{ identity_path(id, "server"), sv_from(id->server), 0600 },
		/* The last: without it the rest is not believed. */
		{ identity_path(id, "server-ca.crt"), id->ca, 0600 },
	};

	return dir_make(id->dir, 0700, err) < 0 ? -1 : file_write_several(files, ARRAY_LEN(files), err);
}

int identity_key(struct identity *id, struct err *err)
{
	char hash[65];

	if (id->key.n && key_hash(id->key, hash, NULL) == 0)
		return 0;
	if (key_new_ec(id->a, &id->key, err) < 0 || dir_make(id->dir, 0700, err) < 0)
		return -1;
	return file_write(identity_path(id, "client-kubelet.key"), id->key, 0600, err);
}

/* --- facts --- */

int identity_recall_facts(const struct identity *id, struct cluster_facts *ret, struct err *err)
{
	struct sv text;
	struct val *v;

	if (file_read(id->a, identity_path(id, "facts.json"), PEM_MAX, &text, err) < 0)
		return -1;
	v = json_decode(id->a, text, NULL, err);
	return v ? facts_parse(id->a, v, ret, err) : -1;
}

void identity_keep_facts(const struct identity *id, const struct cluster_facts *f)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, facts_data(&a, f));
	if (dir_make(id->dir, 0700, &err) < 0 ||
	    file_write_again(identity_path(id, "facts.json"), buf_sv(&b), 0600, &err) < 0)
		log_warn("agent", "what the cluster said is not written down", "error", "%s", err_msg(&err));
}

/* --- requests --- */

int identity_request(struct client *c, struct arena *a, const struct identity *id, enum cert_for what, const char *ips,
		     struct sv key, struct sv *ret_name, struct err *err)
{
	static const char *const usages[][3] = {
		[CERT_CLIENT] = { "digital signature", "client auth", NULL },
		[CERT_SERVING] = { "digital signature", "server auth", NULL },
	};
	static const char *const orgs[] = { NODE_GROUP, NULL };
	const char *names[] = { id->node_name, NULL }, *addrs[IDENTITY_IPS + 1] = { NULL };
	struct sv rest = sv_from(what == CERT_SERVING ? ips : ""), one;
	const struct cert_opts o = {
		.common_name = arena_printf(a, "system:node:%s", id->node_name),
		.organizations = orgs,
		.dns_names = what == CERT_SERVING ? names : NULL,
		.ip_addrs = what == CERT_SERVING ? addrs : NULL,
	};
	_cleanup_obj_ struct obj *got = NULL;
	struct val *doc = val_new_map(a), *spec, *list;
	struct sv csr, same;

	for (size_t i = 0; i < IDENTITY_IPS && sv_split(&rest, ' ', &one); i++)
		addrs[i] = arena_cstr(a, one);
	if (csr_make(a, &o, key, &csr, &same, err) < 0)
		return -1;
	val_set_cstr(a, doc, F_apiVersion, "certificates.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "CertificateSigningRequest");
	val_set_cstr(a, val_set_map(a, doc, F_metadata), F_generateName, what == CERT_CLIENT ? "node-csr-" : "csr-");
	spec = val_set_map(a, doc, F_spec);
	val_set_cstr(a, spec, F_signerName,
		     what == CERT_CLIENT ? "kubernetes.io/kube-apiserver-client-kubelet"
					 : "kubernetes.io/kubelet-serving");
	val_set_str(a, spec, F_request, b64_encode(a, csr));
	list = val_set_list(a, spec, F_usages);
	for (const char *const *u = usages[what]; *u; u++)
		val_push(a, list, val_new_str(a, sv_from(*u)));
	if (client_create(c, RES(certificates_certificatesigningrequests), SV(""), doc, NULL, &got, err) < 0)
		return -1;
	*ret_name = arena_sv(a, obj_name(got));
	return 0;
}

int identity_answer(struct client *c, struct arena *a, struct sv name, struct sv *ret_cert, const char **ret_why,
		    struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;
	const struct val *conditions, *no;
	struct sv text;

	if (client_get(c, RES(certificates_certificatesigningrequests), SV(""), name, &o, err) < 0)
		return -1;
	conditions = obj_get(o, F_status, F_conditions);
	no = condition_find(conditions, "Denied");
	if (!no)
		no = condition_find(conditions, "Failed");
	if (no)
		return err_set(err, ERR_FORBIDDEN, "the request %.*s for a certificate was refused: %.*s", SV_ARG(name),
			       SV_ARG(val_get_str(no, F_message)));
	text = val_str(obj_get(o, F_status, F_certificate));
	if (text.n) {
		if (!b64_decode(a, text, ret_cert))
			return err_set(err, ERR_INTERNAL, "the certificate of request %.*s is no base64", SV_ARG(name));
		return 1;
	}
	*ret_why = arena_printf(a,
				condition_find(conditions, "Approved")
				    ? "request %.*s is approved and not signed yet: do the server's controllers run?"
				    : "request %.*s is not approved: kubectl certificate approve %.*s",
				SV_ARG(name), SV_ARG(name));
	return 0;
}
