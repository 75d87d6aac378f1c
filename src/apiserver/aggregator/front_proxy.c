/* The certificate that is shown to aggregated servers: that of --proxy-client-cert-file, else one of our own CA. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/pki.h"
#include "base/file.h"
#include "net/tls.h"

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
