/* The certificate that is shown to aggregated servers: that of --proxy-client-cert-file, else one of our own CA. Files
 * are read again with each round of questions, as certificates are renewed while servers run; what does not fit
 * together changes nothing. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/pki.h"
#include "base/file.h"
#include "base/log.h"
#include "net/tls.h"

#include <stdlib.h>

#define FILE_MAX ((size_t)256 * 1024)

static int front_proxy_read(const struct apiserver *s, struct arena *a, struct sv *ret_cert, struct sv *ret_key,
			    struct err *err)
{
	if (file_read(a, s->o.proxy_cert_file, FILE_MAX, ret_cert, err) < 0)
		return err_wrap(err, "--proxy-client-cert-file");
	if (file_read(a, s->o.proxy_key_file, FILE_MAX, ret_key, err) < 0)
		return err_wrap(err, "--proxy-client-key-file");
	if (!cert_is_of(*ret_cert, *ret_key, SV("")))
		return err_set(
		    err, ERR_INVALID,
		    "--proxy-client-cert-file and --proxy-client-key-file: '%s' is no certificate of the key "
		    "'%s'",
		    s->o.proxy_cert_file, s->o.proxy_key_file);
	return 0;
}

int aggregator_check(struct apiserver *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv cert, key;

	return s->o.proxy_cert_file ? front_proxy_read(s, &a, &cert, &key, err) : 0;
}

int agg_front_proxy(struct apiserver *s, struct arena *a, struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	*ret_cert = *ret_key = SV("");
	if (s->o.proxy_cert_file)
		return front_proxy_read(s, a, ret_cert, ret_key, err);
	return s->pki ? pki_front_proxy(s->pki, ret_cert, ret_key, err) : 0;
}

/* e as it is, led to its server under another certificate: who uses e has a reference, and goes on with that. */
static struct agg_service *front_proxy_again(struct aggregator *g, struct agg_service *e)
{
	struct agg_service *next = agg_service_new(g->s, e->obj);

	next->available = e->available;
	next->openapi = e->openapi;
	buf_addsv(&next->list, buf_sv(&e->list));
	buf_addsv(&next->openapi_hash, buf_sv(&e->openapi_hash));
	memcpy(next->unavailable, e->unavailable, sizeof(next->unavailable));
	return next;
}

void agg_front_proxy_follow(struct aggregator *g)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv cert, key;
	uint64_t now;

	if (!g->s->o.proxy_cert_file || env_mono_ns(g->env) < g->cert_due_ns)
		return;
	g->cert_due_ns = env_mono_ns(g->env) + AGG_PERIOD_NS;
	if (front_proxy_read(g->s, &a, &cert, &key, &why) < 0) {
		log_warn("apiserver", "aggregated servers are shown the certificate there was", "error", "%s",
			 err_msg(&why));
		return;
	}
	now = sv_hash(cert) ^ sv_hash(key);
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; g->cert_hash && g->cert_hash != now && i < g->list.n; i++) {
		struct agg_service *was = g->list.p[i];

		g->list.p[i] = front_proxy_again(g, was);
		agg_service_unref(was);
	}
	g->cert_hash = now;
	pthread_mutex_unlock(&g->lock);
}
