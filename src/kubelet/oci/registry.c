#include "kubelet/oci/registry.h"

#include "base/percent.h"
#include "kubelet/oci/image_config.h"
#include "kubelet/oci/registry-internal.h"
#include "net/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define RESUMES_MAX 5
#define RESUME_WAIT_MS 200

struct registry_call *registry_begin(const struct registry_endpoint *e, size_t n, int stop_fd, struct err *err)
{
	struct registry_call *c = xcalloc(1, sizeof(*c));

	c->stop_fd = stop_fd;
	c->n = n;
	c->e = ARENA_ARRAY(&c->a, struct registry_endpoint, n + 1);
	c->authorization = ARENA_ARRAY(&c->a, struct sv, n + 1);
	if (n)
		memcpy(c->e, e, n * sizeof(*e));
	if (registry_multi_begin(c, err) == 0)
		return c;
	return registry_end(c);
}

struct registry_call *registry_end(struct registry_call *c)
{
	if (c) {
		registry_multi_end(c);
		arena_release(&c->a);
	}
	free(c);
	return NULL;
}

static const char *registry_url(struct arena *a, const struct registry_endpoint *e, const char *what, struct sv name)
{
	_cleanup_(buf_release) struct buf ns = BUF_INIT;

	if (e->ns.n) {
		buf_adds(&ns, "?ns=");
		percent_encode(&ns, e->ns, PERCENT_UNRESERVED);
	}
	return arena_printf(a, "%s/%.*s/%s/%.*s%s", e->url, SV_ARG(e->repository), what, SV_ARG(name), buf_cstr(&ns));
}

static bool registry_gave_up(struct registry_call *c)
{
	return registry_stopped(c, 0, NULL) < 0;
}

/* --- manifests --- */

static int registry_manifest_of(struct registry_call *c, size_t i, struct arena *a, struct sv name, struct sv *bytes,
				struct sv *type, struct sv *digest, struct err *err)
{
	_cleanup_(registry_ask_release) struct registry_ask k = { 0 };
	struct registry_want w = { .accept = IMAGE_ACCEPT, .max = IMAGE_DOCUMENT_MAX };
	char hex[SHA256_HEX];

	w.url = registry_url(a, &c->e[i], "manifests", name);
	if (registry_ask_authorized(&k, c, i, &w, err) < 0)
		return -1;
	if (k.status != 200)
		return registry_refused(&k, w.url, err);
	sha256_hex(buf_sv(&k.body), hex);
	*digest = arena_svf(a, "sha256:%s", hex);
	if (image_digest_hex(name).n && !sv_eq(*digest, name))
		return err_set(err, ERR_INVALID, "'%s' answers what has another digest: %.*s", w.url, SV_ARG(*digest));
	*bytes = arena_sv(a, buf_sv(&k.body));
	*type = arena_sv(a, k.media_type);
	return 0;
}

int registry_manifest(struct registry_call *c, struct arena *a, struct sv tag_or_digest, struct sv *ret_bytes,
		      struct sv *ret_media_type, struct sv *ret_digest, struct err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (registry_manifest_of(c, i, a, tag_or_digest, ret_bytes, ret_media_type, ret_digest, &why) == 0) {
			c->at = i;
			return 0;
		}
		/* The registry's own answer, which comes last, says more than its mirrors'. But one that is not there
		 * by https may be there by http, which is only asked then. */
		if (i + 1 == c->n || registry_gave_up(c))
			return err_move(err, &why);
	}
	return err_set(err, ERR_INTERNAL, "there is no registry to ask");
}

/* --- blobs --- */

struct registry_blob {
	struct registry_call *c;
	struct sv digest;
	uint64_t size, got;
	size_t passed; /* endpoints that did not have it */
	int resumed;
	struct registry_ask ask; /* c NULL: none under way */
	EVP_MD_CTX *md;
	struct arena a;
	bool checked;
};

struct registry_blob *registry_blob_open(struct registry_call *c, struct sv digest, uint64_t size, struct err *err)
{
	struct registry_blob *b = xcalloc(1, sizeof(*b));

	b->c = c;
	b->size = size;
	b->digest = arena_sv(&b->a, digest);
	b->md = EVP_MD_CTX_new();
	if (!b->md || EVP_DigestInit_ex(b->md, EVP_sha256(), NULL) != 1) {
		(void)err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
		return registry_blob_close(b);
	}
	return b;
}

struct registry_blob *registry_blob_close(struct registry_blob *b)
{
	if (b) {
		registry_ask_release(&b->ask);
		EVP_MD_CTX_free(b->md);
		arena_release(&b->a);
	}
	free(b);
	return NULL;
}

/* Drops what a server sent again that does not know ranges. */
static int registry_blob_skip(struct registry_blob *b, struct err *err)
{
	for (uint64_t left = b->got; left;) {
		size_t n;

		if (registry_ask_more(&b->ask, err) < 0)
			return -1;
		if (!b->ask.body.n)
			return err_set(err, ERR_UNAVAILABLE, "a blob broke off");
		n = MIN((uint64_t)b->ask.body.n, left);
		buf_drop_front(&b->ask.body, n);
		left -= n;
	}
	return 0;
}

/* Asks one endpoint from where it was. *ret_gone: it has none of it, which asking again does not change. */
static int registry_blob_ask(struct registry_blob *b, bool *ret_gone, struct err *err)
{
	size_t i = (b->c->at + b->passed) % b->c->n;
	struct registry_want w = { .stream = true };

	*ret_gone = false;
	w.url = registry_url(&b->a, &b->c->e[i], "blobs", b->digest);
	if (b->got)
		w.range = arena_printf(&b->a, "bytes=%" PRIu64 "-", b->got);
	if (registry_ask_authorized(&b->ask, b->c, i, &w, err) < 0)
		return -1;
	if (b->ask.status == 200)
		return registry_blob_skip(b, err);
	if (b->ask.status == 206 && b->got &&
	    sv_starts(b->ask.range, sv_from(arena_printf(&b->a, "bytes %" PRIu64 "-", b->got))))
		return 0;
	*ret_gone = b->ask.status / 100 == 4 && b->ask.status != 429;
	return registry_refused(&b->ask, w.url, err);
}

/* After a failure: 0 when there is another way, which is then to be tried. */
static int registry_blob_again(struct registry_blob *b, bool gone, struct err *why, struct err *err)
{
	registry_ask_release(&b->ask);
	if (registry_gave_up(b->c))
		return err_move(err, why);
	if (!gone && b->resumed < RESUMES_MAX) {
		b->resumed++;
		err_release(why);
		return registry_stopped(b->c, b->resumed * RESUME_WAIT_MS, err);
	}
	if (++b->passed >= b->c->n)
		return err_move(err, why);
	b->resumed = 0;
	err_release(why);
	return 0;
}

static int registry_blob_check(struct registry_blob *b, struct err *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char hex[SHA256_HEX];

	b->checked = true;
	(void)EVP_DigestFinal_ex(b->md, sum, NULL);
	for (unsigned i = 0; i < SHA256_BYTES; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]);
	return sv_is(image_digest_hex(b->digest), hex)
		   ? 0
		   : err_set(err, ERR_INVALID, "unexpected commit digest sha256:%s, expected %.*s: failed precondition",
			     hex, SV_ARG(b->digest));
}

static ssize_t registry_blob_take(struct registry_blob *b, void *p, size_t n, struct err *err)
{
	if (b->ask.body.n > b->size - b->got)
		return err_set(err, ERR_INVALID, "blob %.*s has more than the %" PRIu64 " bytes of its manifest",
			       SV_ARG(b->digest), b->size);
	n = MIN(n, b->ask.body.n);
	memcpy(p, b->ask.body.p, n);
	buf_drop_front(&b->ask.body, n);
	(void)EVP_DigestUpdate(b->md, p, n);
	b->got += n;
	return (ssize_t)n;
}

ssize_t registry_blob_read(void *blob, void *p, size_t n, struct err *err)
{
	struct registry_blob *b = blob;

	if (!n)
		return registry_stopped(b->c, 0, err);
	while (b->got < b->size) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		bool gone = false;
		int rc = b->ask.c ? 0 : registry_blob_ask(b, &gone, &why);

		if (rc == 0)
			rc = registry_ask_more(&b->ask, &why);
		if (rc == 0 && b->ask.body.n)
			return registry_blob_take(b, p, n, err);
		if (rc == 0)
			(void)err_set(&why, ERR_UNAVAILABLE, "blob %.*s ended after %" PRIu64 " of %" PRIu64 " bytes",
				      SV_ARG(b->digest), b->got, b->size);
		if (registry_blob_again(b, gone, &why, err) < 0)
			return -1;
	}
	return b->checked ? 0 : registry_blob_check(b, err);
}
