#include "cli/api_way.h"

#include "client/https.h"
#include "codec/json.h"
#include "net/tls.h"

#define CALL_NS (60 * NS_PER_SEC)

int api_way_open(struct api_way *w, struct arena *a, const char *kubeconfig, struct err *err)
{
	char *host;
	bool tls;

	*w = (struct api_way){ .pool = NULL };
	if (kubeconfig_load(a, kubeconfig, NULL, &w->k, err) < 0 ||
	    https_parse_url(a, w->k.server, &tls, &host, &w->ep.port, &w->prefix, err) < 0)
		return -1;
	if (!tls)
		return err_set(err, ERR_INVALID, "'%s': Secrets are read over https:// only, not %s", kubeconfig,
			       w->k.server);
	w->ep.host = host;
	w->ep.server_name = w->k.server_name;
	w->ep.tls = tls_client_ctx(
	    &(struct tls_client_opts){
		.ca_pem = w->k.ca_pem, .cert_pem = w->k.cert_pem, .key_pem = w->k.key_pem, .insecure = w->k.insecure },
	    err);
	if (!w->ep.tls)
		return -1;
	w->pool = http_pool_new();
	w->what = w->k.server;
	return 0;
}

void api_way_release(struct api_way *w)
{
	if (w->pool)
		http_pool_free(w->pool);
	tls_ctx_unref(w->ep.tls);
	*w = (struct api_way){ .pool = NULL };
}

int api_way_call(struct api_way *w, struct arena *a, const char *method, const char *target, struct sv body, size_t max,
		 struct http_response *ret, struct err *err)
{
	struct http_header headers[4] = { { SV("accept"), SV("application/json, */*") },
					  { SV("user-agent"), SV("caravel") } };
	size_t n = 2;

	if (body.n)
		headers[n++] = (struct http_header){ SV("content-type"), SV("application/json") };
	if (w->k.token)
		headers[n++] = (struct http_header){ SV("authorization"), arena_svf(a, "Bearer %s", w->k.token) };
	if (http_call(w->pool, a, &w->ep, method, arena_printf(a, "%.*s%s", SV_ARG(w->prefix), target), headers, n,
		      body, CALL_NS, max, ret, err) < 0)
		return err_wrap(err, "%s", w->what);
	return 0;
}

int api_way_refused(const struct api_way *w, const struct http_response *r, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = val_str(val_member_sv(json_decode(&a, r->body, NULL, NULL), SV("message")));
	enum err_reason reason = r->status == 410   ? ERR_EXPIRED
				 : r->status == 403 ? ERR_FORBIDDEN
				 : r->status == 404 ? ERR_NOT_FOUND
				 : r->status == 409 ? ERR_ALREADY_EXISTS
				 : r->status == 422 ? ERR_INVALID
						    : ERR_UNAVAILABLE;

	if (!text.n)
		text = sv_sub(sv_trim(r->body), 0, 500);
	return err_set(err, reason, "%s answers %d: %.*s", w->what, r->status, SV_ARG(text));
}
