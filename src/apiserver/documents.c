/* Documents that are the same for everybody and change only with the kinds that are served: discovery and OpenAPI.
 * Made when first asked for, then kept with the snapshot of the kinds under a digest that clients cache by: as gzip,
 * which most take, and what is not long also as it is. Long ones are made in pieces, so that neither making nor keeping
 * them takes their size. Each has a lock of its own: who wants another does not wait for one that takes long. */
#include "apiserver/apiserver-internal.h"
#include "base/strmap.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT_MAX ((size_t)256 * 1024) /* more is not kept but as gzip */
#define PIECE_MIN ((size_t)64 * 1024) /* what is compressed at once, at least */

struct slot {
	pthread_mutex_t lock; /* held while it is made */
	struct document *d;   /* NULL: not made yet */
};

struct documents {
	pthread_mutex_t lock;
	struct strmap by_key; /* key -> struct slot */
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

static void slot_free(void *p)
{
	struct slot *t = p;

	document_free(t->d);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct documents *documents_free(struct documents *d)
{
	if (!d)
		return NULL;
	strmap_release_with(&d->by_key, slot_free);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return NULL;
}

/* --- making one --- */

/* A document on its way: what is in b is not yet in gzip. */
struct making {
	struct buf b, gzip;
	struct gzip_pieces *z;
	EVP_MD_CTX *sum;
	size_t bytes; /* that went into gzip */
};

static void making_begin(struct making *m)
{
	*m = (struct making){ .b = BUF_INIT, .gzip = BUF_INIT, .z = gzip_begin(), .sum = EVP_MD_CTX_new() };
	BUG_ON(!m->sum || EVP_DigestInit_ex(m->sum, EVP_sha512(), NULL) != 1);
}

static void making_add(struct making *m, bool last)
{
	BUG_ON(EVP_DigestUpdate(m->sum, m->b.p, m->b.n) != 1);
	gzip_add(m->z, buf_sv(&m->b), last, &m->gzip);
	m->bytes += m->b.n;
}

void document_piece(struct buf *b)
{
	struct making *m = CONTAINER_OF(b, struct making, b);

	if (b->n < PIECE_MIN)
		return;
	making_add(m, false);
	buf_clear(b);
}

static void digest(struct document *d, EVP_MD_CTX *ctx)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(ctx, sum, &n) != 1)
		n = 0;
	d->etag[0] = '"';
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(d->etag + 1 + 2 * (size_t)i, 3, "%02X", sum[i]);
	d->etag[1 + 2 * n] = '"';
	d->etag[2 + 2 * n] = '\0';
}

/* Exactly as long as it is: it is kept. */
static struct sv making_detach(struct buf *b)
{
	size_t n = b->n;
	char *p = xmemdup(b->p ? b->p : "", n + 1);

	buf_release(b);
	return sv_make(p, n);
}

static struct document *making_end(struct making *m, const char *key)
{
	struct document *d = xcalloc(1, sizeof(*d));
	bool whole = m->bytes == 0;

	making_add(m, true);
	d->key = xstrdup(key);
	d->bytes = m->bytes;
	d->gzip = making_detach(&m->gzip);
	if (whole && d->bytes <= KEPT_MAX)
		d->json = making_detach(&m->b);
	buf_release(&m->b);
	digest(d, m->sum);
	EVP_MD_CTX_free(m->sum);
	gzip_end(m->z);
	return d;
}

struct document *document_new(const char *key, struct buf *b)
{
	struct making m;

	making_begin(&m);
	buf_addsv(&m.b, buf_sv(b));
	buf_release(b);
	return making_end(&m, key);
}

struct sv document_text(struct arena *a, const struct document *d)
{
	struct http_source *src;
	struct http_chunk c;
	char *text;
	size_t n = 0;

	if (d->json.p)
		return d->json;
	text = arena_alloc(a, d->bytes);
	src = gunzip_source(d->gzip, d->bytes, NULL, NULL);
	while (src->next(src, &c)) {
		BUG_ON(c.data.n > d->bytes - n);
		memcpy(text + n, c.data.p, c.data.n);
		n += c.data.n;
		c.release(c.owner);
	}
	src->release(src);
	return sv_make(text, n);
}

/* What is kept of these kinds: with their snapshot, of the built-in ones with the server. */
static struct documents *documents_of(struct apiserver *s, const struct api_set *api)
{
	return api->n_late ? api_set_state(api) : s->docs;
}

static struct slot *document_slot(struct documents *ds, const char *key)
{
	struct slot *t;

	pthread_mutex_lock(&ds->lock);
	t = strmap_get(&ds->by_key, sv_from(key));
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		pthread_mutex_init(&t->lock, NULL);
		strmap_set(&ds->by_key, sv_from(key), t);
	}
	pthread_mutex_unlock(&ds->lock);
	return t;
}

const struct document *document_of(struct apiserver *s, const struct api_set *api, const char *key,
				   document_make_fn *make)
{
	struct slot *t = document_slot(documents_of(s, api), key);
	const struct document *d;

	pthread_mutex_lock(&t->lock);
	if (!t->d) {
		struct making m;

		making_begin(&m);
		make(s, api, key, &m.b);
		t->d = making_end(&m, key);
	}
	d = t->d;
	pthread_mutex_unlock(&t->lock);
	return d;
}

const struct document *document_get(struct api_req *q, const char *key, document_make_fn *make)
{
	return document_of(q->server, q->api, key, make);
}
