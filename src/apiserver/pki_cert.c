/* pki_cert.c - what the cluster's CA signs for others and for this process. */
#include "apiserver/pki-internal.h"
#include "base/b64.h"
#include "base/buf.h"
#include "net/tls.h"

int64_t pki_clock_ns(struct pki *p)
{
	return MAX(env_now_ns(p->env), CLOCK_FLOOR_NS);
}

void pki_bundle(struct buf *b, struct sv first, struct sv then)
{
	buf_addsv(b, first);
	if (then.n && b->n && b->p[b->n - 1] != '\n')
		buf_addc(b, '\n');
	buf_addsv(b, then);
}

int pki_leaf(struct pki *p, struct arena *a, struct cert_opts *c, int64_t life_ns, struct sv *ret_cert,
	     struct sv *ret_key, struct err *err)
{
	c->not_after_ns = pki_clock_ns(p) + life_ns;
	return cert_make(a, c, p->ca_cert, p->ca_key, ret_cert, ret_key, err);
}

int pki_client_cert(struct pki *p, struct arena *a, const char *cn, const char *const *orgs, struct sv *ret_cert,
		    struct sv *ret_key, struct err *err)
{
	struct cert_opts c = { .common_name = cn, .organizations = orgs, .client = true };

	return pki_leaf(p, a, &c, LEAF_LIFE_NS, ret_cert, ret_key, err);
}

/* Of components inside: it is never written down and lives as long as the process, so it need not be renewed. */
int pki_server_cert(struct pki *p, struct arena *a, const char *cn, const char *const *dns, const char *const *ips,
		    struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	struct cert_opts c = { .common_name = cn, .dns_names = dns, .ip_addrs = ips, .server = true };

	return pki_leaf(p, a, &c, CA_LIFE_NS, ret_cert, ret_key, err);
}

int pki_admin_kubeconfig(struct pki *p, struct arena *a, const char *server_url, struct sv *ret_yaml, struct err *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv cert, key;

	if (pki_client_cert(p, a, "system:admin", masters, &cert, &key, err) < 0)
		return -1;
	buf_adds(&b, "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    server: ");
	buf_adds(&b, server_url);
	buf_adds(&b, "\n    certificate-authority-data: ");
	b64_add(&b, p->ca_cert);
	buf_adds(&b, "\nusers:\n- name: default\n  user:\n    client-certificate-data: ");
	b64_add(&b, cert);
	buf_adds(&b, "\n    client-key-data: ");
	b64_add(&b, key);
	buf_adds(&b, "\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n"
		     "current-context: default\n");
	*ret_yaml = arena_sv(a, buf_sv(&b));
	return 0;
}
