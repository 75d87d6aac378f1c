/* Documents that are the same for everybody and change only with the kinds that are served: discovery and OpenAPI.
 * Made when first asked for, then kept with the snapshot of the kinds as JSON and gzip, under a digest that clients
 * cache by. */
#include "apiserver/apiserver-internal.h"
#include "base/strmap.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct documents {
	pthread_mutex_t lock;
	struct strmap by_key;
};

struct documents *documents_new(void)
{
	struct documents *d = xcalloc(1, sizeof(*d));

	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void document_free(void *p)
{
	struct document *d = p;

	if (!d)
		return;
	free(d->key);
	free((char *)(uintptr_t)d->json.p);
	free((char *)(uintptr_t)d->gzip.p);
	free(d);
}

struct documents *documents_free(struct documents *d)
{
	if (!d)
		return NULL;
	strmap_release_with(&d->by_key, document_free);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return NULL;
}

static void digest(struct document *d)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(d->json.p, d->json.n, sum, &n, EVP_sha512(), NULL) != 1)
		n = 0;
	d->etag[0] = '"';
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(d->etag + 1 + 2 * (size_t)i, 3, "%02X", sum[i]);
	d->etag[1 + 2 * n] = '"';
	d->etag[2 + 2 * n] = '\0';
}

struct document *document_new(const char *key, struct buf *b)
{
	struct document *d = xcalloc(1, sizeof(*d));
	struct buf z = BUF_INIT;

	d->key = xstrdup(key);
	d->json.n = b->n;
	d->json.p = buf_detach(b);
	digest(d);
	gzip_bytes(&z, d->json);
	d->gzip.n = z.n;
	d->gzip.p = buf_detach(&z);
	return d;
}

/* What is kept of the kinds that q knows: with their snapshot, of the built-in ones with the server. */
static struct documents *documents_of(struct api_req *q)
{
	return q->api->n_late ? api_set_state(q->api) : q->server->docs;
}

const struct document *document_get(struct api_req *q, const char *key, document_make_fn *make)
{
	struct documents *ds = documents_of(q);
	struct document *d;

	pthread_mutex_lock(&ds->lock);
	d = strmap_get(&ds->by_key, sv_from(key));
	if (!d) {
		struct buf b = BUF_INIT;

		make(q->server, q->api, key, &b);
		d = document_new(key, &b);
		strmap_set(&ds->by_key, sv_from(key), d);
	}
	pthread_mutex_unlock(&ds->lock);
	return d;
}
