/* pki_tls.c - connections made of keys and certificates: as whom this server shows itself, and whom it believes. */
#include "apiserver/pki-internal.h"
#include "base/buf.h"
#include "net/key.h"
#include "net/tls.h"

#include <string.h>

int pki_load_tls(struct pki *p, struct err *err)
{
	_cleanup_(buf_release) struct buf clients = BUF_INIT;
	struct tls_ctx *tls;

	pki_bundle(&clients, p->ca_cert, buf_sv(&p->more_cas));
	tls = tls_server_ctx(&(struct tls_server_opts){ .cert_pem = p->shown.n ? buf_sv(&p->shown) : p->server_cert,
							.key_pem = p->shown.n ? buf_sv(&p->shown_key) : p->server_key,
							.only_13 = p->only_13,
							.suites = p->suites,
							.named = p->named,
							.n_named = p->n_named,
							.client_ca_pem = buf_sv(&clients),
							.proxy_ca_pem = buf_sv(&p->proxy_cas) },
			     err);
	if (!tls)
		return -1;
	tls_ctx_unref(p->tls);
	p->tls = tls;
	return 0;
}

static void pki_swap(struct buf *a, struct buf *b)
{
	struct buf was = *a;

	*a = *b;
	*b = was;
}

/* Puts texts into two of p's, for which its TLS is made again; they stay what they were when that fails. */
static int pki_change(struct pki *p, struct buf *one, struct sv one_text, struct buf *two, struct sv two_text,
		      struct err *err)
{
	_cleanup_(buf_release) struct buf b1 = BUF_INIT, b2 = BUF_INIT;
	int rc = 0;

	buf_addsv(&b1, one_text);
	buf_addsv(&b2, two_text);
	pthread_mutex_lock(&p->lock);
	if (!sv_eq(buf_sv(one), one_text) || !sv_eq(buf_sv(two), two_text)) {
		pki_swap(one, &b1);
		pki_swap(two, &b2);
		rc = pki_load_tls(p, err) < 0 ? -1 : 1;
		if (rc < 0) {
			pki_swap(one, &b1);
			pki_swap(two, &b2);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int pki_trust(struct pki *p, struct sv more_cas, struct sv proxy_cas, struct err *err)
{
	return pki_change(p, &p->more_cas, more_cas, &p->proxy_cas, proxy_cas, err);
}

int pki_show(struct pki *p, struct sv cert, struct sv key, struct err *err)
{
	return pki_change(p, &p->shown, cert, &p->shown_key, key, err);
}

static struct tls_named *pki_copy_named(struct arena *a, const struct tls_named *named, size_t n)
{
	struct tls_named *copy = ARENA_ARRAY(a, struct tls_named, n + 1);

	for (size_t i = 0; i < n; i++) {
		struct sv *names = ARENA_ARRAY(a, struct sv, named[i].n_names + 1);

		for (size_t k = 0; k < named[i].n_names; k++)
			names[k] = arena_sv(a, named[i].names[k]);
		copy[i] = (struct tls_named){ .cert_pem = arena_sv(a, named[i].cert_pem),
					      .key_pem = arena_sv(a, named[i].key_pem),
					      .names = names,
					      .n_names = named[i].n_names };
	}
	return copy;
}

void pki_drop_named(struct arena *a, const struct tls_named *named, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (named[i].key_pem.n)
			explicit_bzero((void *)(uintptr_t)named[i].key_pem.p, named[i].key_pem.n);
	arena_release(a);
}

int pki_name(struct pki *p, const struct tls_named *named, size_t n, struct err *err)
{
	struct arena fresh = ARENA_INIT, was;
	struct tls_named *copy = pki_copy_named(&fresh, named, n), *was_named;
	size_t was_n;
	int rc;

	pthread_mutex_lock(&p->lock);
	was = p->named_arena;
	was_named = p->named;
	was_n = p->n_named;
	p->named_arena = fresh;
	p->named = copy;
	p->n_named = n;
	rc = pki_load_tls(p, err);
	if (rc < 0) {
		fresh = p->named_arena;
		p->named_arena = was;
		p->named = was_named;
		p->n_named = was_n;
	}
	pthread_mutex_unlock(&p->lock);
	pki_drop_named(rc < 0 ? &fresh : &was, rc < 0 ? copy : was_named, rc < 0 ? n : was_n);
	return rc;
}

void pki_kubelets(struct pki *p, struct sv ca, struct sv cert, struct sv key)
{
	p->kubelet_ca = arena_sv(&p->arena, ca);
	p->kubelet_cert = arena_sv(&p->arena, cert);
	p->kubelet_key = arena_sv(&p->arena, key);
}

void pki_trusted(struct pki *p, struct arena *a, struct sv *ret_clients, struct sv *ret_proxies)
{
	_cleanup_(buf_release) struct buf clients = BUF_INIT, proxies = BUF_INIT;

	pthread_mutex_lock(&p->lock);
	pki_bundle(&clients, p->ca_cert, buf_sv(&p->more_cas));
	pki_bundle(&proxies, p->front_ca, buf_sv(&p->proxy_cas));
	pthread_mutex_unlock(&p->lock);
	*ret_clients = arena_sv(a, buf_sv(&clients));
	*ret_proxies = arena_sv(a, buf_sv(&proxies));
}

int pki_front_proxy(struct pki *p, struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	struct cert_opts c = { .common_name = FRONT_PROXY_CLIENT,
			       .client = true,
			       .not_after_ns = pki_clock_ns(p) + CA_LIFE_NS };
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (!p->front_cert.n)
		rc = cert_make(&p->arena, &c, p->front_ca, p->front_key, &p->front_cert, &p->front_cert_key, err);
	*ret_cert = p->front_cert;
	*ret_key = p->front_cert_key;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

struct tls_ctx *pki_kubelet_tls(struct pki *p, struct err *err)
{
	static const char *const group[] = { KUBELET_CLIENT_GROUP, NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct cert_opts c = { .common_name = "kube-apiserver-kubelet-client", .organizations = group, .client = true };
	struct tls_client_opts o = { .ca_pem = p->kubelet_ca.n ? p->kubelet_ca : p->ca_cert,
				     .cert_pem = p->kubelet_cert,
				     .key_pem = p->kubelet_key };
	struct tls_ctx *tls;

	pthread_mutex_lock(&p->lock);
	if (!p->kubelet_tls && (o.cert_pem.n || pki_leaf(p, &a, &c, CA_LIFE_NS, &o.cert_pem, &o.key_pem, err) == 0))
		p->kubelet_tls = tls_client_ctx(&o, err);
	tls = p->kubelet_tls;
	pthread_mutex_unlock(&p->lock);
	return tls;
}

struct tls_ctx *pki_any_tls(struct pki *p, struct err *err)
{
	struct tls_ctx *tls;

	if (!p)
		return err_set(err, ERR_UNAVAILABLE, "there is no TLS here"), NULL;
	pthread_mutex_lock(&p->lock);
	if (!p->any_tls)
		p->any_tls = tls_client_ctx(&(struct tls_client_opts){ .insecure = true }, err);
	tls = p->any_tls;
	pthread_mutex_unlock(&p->lock);
	return tls;
}
