#include "apiserver/bootstrap/cluster_info.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "base/b64.h"
#include "client/bootstrap_token.h"

struct val *cluster_info_doc(struct apiserver *s, struct arena *a)
{
	const char *host = s->o.advertise_address;
	struct val *doc, *meta;
	bool v6;

	if (!host || !s->pki)
		return NULL;
	doc = val_new_map(a);
	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "ConfigMap");
	meta = val_set_map(a, doc, F_metadata);
	val_set_cstr(a, meta, F_namespace, CLUSTER_INFO_NS);
	val_set_cstr(a, meta, F_name, CLUSTER_INFO);
	v6 = strchr(host, ':') != NULL;
	val_set_str_sv(a, val_set_map(a, doc, F_data), SV("kubeconfig"),
		       arena_svf(a,
				 "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: %.*s\n"
				 "    server: https://%s%s%s:%d\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\n"
				 "kind: Config\nusers: null\n",
				 SV_ARG(b64_encode(a, s->pki->ca_cert)), v6 ? "[" : "", host, v6 ? "]" : "",
				 s->o.advertise_port));
	return doc;
}
