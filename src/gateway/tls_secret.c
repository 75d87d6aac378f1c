#include "gateway/tls_secret.h"

#include "base/b64.h"
#include "base/buf.h"
#include "base/pem.h"
#include "net/tls.h"

#include <stdlib.h>

struct sv tls_secret_data(struct arena *a, const struct obj *secret, const char *key)
{
	struct sv bytes = SV_NULL;

	if (!b64_decode(a, val_str(val_member_sv(obj_get(secret, F_data), sv_from(key))), &bytes))
		return SV_NULL;
	return bytes;
}

/* Blocks alone, no lines between them and no empty ones: an empty line ends what HAProxy is told. */
static void pem_add(struct buf *b, struct sv pem)
{
	struct sv line;
	bool inside = false;

	while (sv_split(&pem, '\n', &line)) {
		line = sv_trim(line);
		inside |= sv_starts(line, SV("-----BEGIN "));
		if (inside && line.n) {
			buf_addsv(b, line);
			buf_addc(b, '\n');
		}
		inside &= !sv_starts(line, SV("-----END "));
	}
}

/* Normalized text, or why it is not shown. */
struct checked {
	const char *why; /* static */
	size_t n;
	char pem[];
};

/* There is a key in it. */
static void checked_free(void *checked)
{
	struct checked *k = checked;

	explicit_bzero(k->pem, k->n);
	free(k);
}

void tls_checked_release(struct tls_checked *c)
{
	strmap_release_with(&c->known, checked_free);
	strmap_release_with(&c->used, checked_free);
}

void tls_checked_sweep(struct tls_checked *c)
{
	strmap_release_with(&c->known, checked_free);
	c->known = c->used;
	c->used = STRMAP_INIT;
}

static const char *pair_check(struct arena *a, struct sv cert, struct sv key, struct sv *ret_pem)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf pem = BUF_INIT;
	struct tls_ctx *ctx;

	if (!key.n || pem_encrypted(key) || sv_find(cert, '\0') >= 0 || sv_find(key, '\0') >= 0 ||
	    cert_chain_check(cert, &err) < 0)
		return "has no certificate and key that can be read";
	if (!cert_is_of(cert, key, SV("")))
		return "has a key that is not its certificate's";
	/* What a server of ours would not take, HAProxy does not either, and with it all others' would not be shown. */
	ctx = tls_server_ctx(&(struct tls_server_opts){ .cert_pem = cert, .key_pem = key }, &err);
	if (!ctx)
		return "has a certificate that TLS does not take: too weak a key, mostly";
	tls_ctx_unref(ctx);
	buf_reserve(&pem, cert.n + key.n + 2); /* it does not move: a key that is left behind is not wiped */
	pem_add(&pem, cert);
	pem_add(&pem, key);
	*ret_pem = arena_sv(a, buf_sv(&pem));
	explicit_bzero(pem.p, pem.n);
	return NULL;
}

static const char *secret_check(struct arena *a, const struct obj *secret, struct sv *ret_pem)
{
	const char *why;
	struct sv key;

	if (!sv_is(val_get_str(obj_root(secret), F_type), "kubernetes.io/tls"))
		return "is not of the type kubernetes.io/tls";
	key = tls_secret_data(a, secret, "tls.key");
	why = pair_check(a, tls_secret_data(a, secret, "tls.crt"), key, ret_pem);
	if (key.n)
		explicit_bzero((void *)(uintptr_t)key.p, key.n); /* decoded for us, in the run's arena */
	return why;
}

static struct checked *checked_new(struct arena *a, struct tls_checked *c, const struct obj *secret)
{
	struct sv pem = SV("");
	const char *why = secret_check(a, secret, &pem);
	struct checked *k = xcalloc(1, sizeof(*k) + pem.n + 1);

	c->looked++;
	k->why = why;
	k->n = pem.n;
	if (pem.n) {
		memcpy(k->pem, pem.p, pem.n);
		explicit_bzero((void *)(uintptr_t)pem.p, pem.n);
	}
	return k;
}

const char *tls_secret_pem(struct arena *a, struct tls_checked *c, struct sv key, const struct obj *secret,
			   struct sv *ret_pem)
{
	struct checked *k;
	struct sv version;

	*ret_pem = SV("");
	if (!secret)
		return "is not there";
	if (!c)
		return secret_check(a, secret, ret_pem);
	version = arena_svf(a, "%.*s %.*s %lld", SV_ARG(key), SV_ARG(obj_uid(secret)), (long long)obj_rev(secret));
	k = strmap_get(&c->used, version);
	if (!k) {
		k = strmap_del(&c->known, version);
		k = k ? k : checked_new(a, c, secret);
		strmap_set(&c->used, version, k);
	}
	*ret_pem = arena_sv(a, sv_make(k->pem, k->n));
	return k->why;
}
