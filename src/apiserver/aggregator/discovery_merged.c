/* The lists of groups and versions when others serve some of them: what is served here and what the others said last,
 * in the order of their priorities. Made when somebody asks, and kept until either changes. */
#include "apiserver/aggregator/aggregator-internal.h"

#include <stdlib.h>

/* A document that is kept, and held by those who send it. */
struct agg_doc {
	atomic_int refs;
	struct agg_doc *next;
	struct document *d;
};

#define DOCS_MAX 64 /* kept at once: there are as many paths as groups */

static void *doc_hold(void *p)
{
	struct agg_doc *k = p;

	atomic_fetch_add(&k->refs, 1);
	return k;
}

static void doc_let_go(void *p)
{
	struct agg_doc *k = p;

	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	document_free(k->d);
	free(k);
}

struct agg_doc *agg_doc_ref(struct agg_doc *k)
{
	return k ? doc_hold(k) : NULL;
}

struct agg_doc *agg_doc_unref(struct agg_doc *k)
{
	if (k)
		doc_let_go(k);
	return NULL;
}

struct agg_doc *agg_doc_new(const char *key, struct buf *b)
{
	struct agg_doc *k = xcalloc(1, sizeof(*k));

	atomic_init(&k->refs, 1);
	k->d = document_new(key, b);
	k->d->hold = doc_hold;
	k->d->let_go = doc_let_go;
	k->d->owner = k;
	return k;
}

void agg_doc_answer(struct api_req *q, struct agg_doc *k_take, const char *type)
{
	arena_defer(q->arena, doc_let_go, k_take);
	document_answer(q, k_take->d, type, false);
}

void agg_docs_drop(struct aggregator *g)
{
	while (g->docs) {
		struct agg_doc *k = g->docs;

		g->docs = k->next;
		doc_let_go(k);
	}
	g->n_docs = 0;
	api_set_unref(g->docs_of);
	g->docs_of = NULL;
}

/* --- one row for each group version --- */

struct row {
	const char *group, *version;
	int group_priority, version_priority;
	const struct api_version *local; /* or */
	const struct agg_service *remote;
};

struct rows {
	struct row *p;
	size_t n;
};

static int row_by_name(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	int c = strcmp(a->group, b->group);

	if (!c)
		c = strcmp(a->version, b->version);
	return c ? c : (a->remote == NULL) - (b->remote == NULL);
}

static int row_by_priority(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	int c;

	if (a->group_priority != b->group_priority)
		return a->group_priority > b->group_priority ? -1 : 1;
	c = strcmp(a->group, b->group);
	if (c)
		return c;
	if (a->version_priority != b->version_priority)
		return a->version_priority > b->version_priority ? -1 : 1;
	return api_version_order(a->version, b->version);
}

/* Of a group version that both have, the other server's counts; a group stands where its highest version does. */
static void rows_settle(struct rows *l)
{
	size_t n = 0;

	qsort(l->p, l->n, sizeof(*l->p), row_by_name);
	for (size_t i = 0; i < l->n; i++)
		if (!n || strcmp(l->p[n - 1].group, l->p[i].group) != 0 ||
		    strcmp(l->p[n - 1].version, l->p[i].version) != 0)
			l->p[n++] = l->p[i];
	l->n = n;
	for (size_t i = 0, end; i < n; i = end) {
		int highest = 0;

		for (end = i; end < n && strcmp(l->p[end].group, l->p[i].group) == 0; end++)
			highest = MAX(highest, l->p[end].group_priority);
		for (size_t k = i; k < end; k++)
			l->p[k].group_priority = highest;
	}
	qsort(l->p, l->n, sizeof(*l->p), row_by_priority);
}

/* All but core. The lock is held while they are used. */
static struct rows rows_of(struct aggregator *g, const struct api_set *api)
{
	struct rows l = { NULL, g->list.n };

	for (size_t i = 0; i < api->n_groups; i++)
		l.n += api->groups[i].n;
	l.p = xcalloc(l.n, sizeof(*l.p));
	l.n = 0;
	for (size_t i = 0; i < api->n_groups; i++)
		for (size_t k = 0; *api->groups[i].name && k < api->groups[i].n; k++) {
			const struct api_version *v = &api->groups[i].versions[k];

			l.p[l.n++] =
			    (struct row){ v->group, v->version, api->groups[i].priority, v->version_priority, v, NULL };
		}
	for (size_t i = 0; i < g->list.n; i++) {
		const struct agg_service *e = g->list.p[i];

		if (!e->built_in)
			l.p[l.n++] =
			    (struct row){ e->group, e->version, e->group_priority, e->version_priority, NULL, e };
	}
	rows_settle(&l);
	return l;
}

/* The end of the group that begins at i. */
static size_t rows_group(const struct rows *l, size_t i)
{
	size_t end = i;

	while (end < l->n && strcmp(l->p[end].group, l->p[i].group) == 0)
		end++;
	return end;
}

/* --- documents --- */

static void plain_group(struct buf *b, const struct row *r, size_t n)
{
	buf_printf(b, "\"name\":\"%s\",\"versions\":[", r->group);
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", i ? "," : "", r->group, r[i].version,
			   r[i].version);
	buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", r->group, r->version,
		   r->version);
}

static void remote_version(struct buf *b, const struct agg_service *e)
{
	buf_printf(b, "{\"version\":\"%s\"", e->version);
	if (e->list.n) {
		buf_adds(b, ",\"resources\":");
		buf_addsv(b, buf_sv(&e->list));
	}
	buf_printf(b, ",\"freshness\":\"%s\"}", e->available ? "Current" : "Stale");
}

static void aggregated_rows(struct buf *b, const struct row *r, size_t n)
{
	buf_printf(b, "{\"metadata\":{\"name\":\"%s\"},\"versions\":[", r->group);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		if (r[i].local)
			discovery_version(b, r[i].local);
		else
			remote_version(b, r[i].remote);
	}
	buf_adds(b, "]}");
}

static void make_apis(const struct rows *l, bool aggregated, struct buf *b)
{
	buf_adds(b, aggregated ? "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\","
				 "\"metadata\":{},\"items\":["
			       : "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
	for (size_t i = 0, end; i < l->n; i = end) {
		end = rows_group(l, i);
		if (i)
			buf_addc(b, ',');
		if (aggregated) {
			aggregated_rows(b, &l->p[i], end - i);
			continue;
		}
		buf_addc(b, '{');
		plain_group(b, &l->p[i], end - i);
		buf_addc(b, '}');
	}
	buf_adds(b, "]}\n");
}

static bool make_one(const struct rows *l, struct sv group, struct buf *b)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!sv_is(group, l->p[i].group))
			continue;
		buf_adds(b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
		plain_group(b, &l->p[i], rows_group(l, i) - i);
		buf_adds(b, "}\n");
		return true;
	}
	return false;
}

/* The index of what is served here, and a line for each version of others that are there and have a document. */
static void make_openapi(const struct rows *l, struct sv own, struct buf *b)
{
	while (own.n && own.p[own.n - 1] != '}')
		own.n--;
	if (own.n < 2)
		return;
	buf_addsv(b, sv_sub(own, 0, own.n - 2));
	for (size_t i = 0; i < l->n; i++) {
		const struct agg_service *e = l->p[i].remote;

		if (!e || !e->available || !e->openapi)
			continue;
		buf_printf(b, ",\"apis/%s/%s\":{\"serverRelativeURL\":\"/openapi/v3/apis/%s/%s%s%.*s\"}", l->p[i].group,
			   l->p[i].version, l->p[i].group, l->p[i].version, e->openapi_hash.n ? "?hash=" : "",
			   SV_ARG(buf_sv(&e->openapi_hash)));
	}
	buf_adds(b, "}}");
}

/* A reference to the document of that key, or NULL: there is none. own: the index that is to be added to. */
static struct agg_doc *doc_get(struct api_req *q, const char *key, struct sv own)
{
	struct aggregator *g = q->server->aggregator;
	struct agg_doc *k;

	pthread_mutex_lock(&g->lock);
	if (g->docs_of != q->api || g->n_docs >= DOCS_MAX) {
		agg_docs_drop(g);
		g->docs_of = api_set_ref(q->api);
	}
	for (k = g->docs; k && strcmp(k->d->key, key) != 0;)
		k = k->next;
	if (!k) {
		struct rows l = rows_of(g, q->api);
		struct buf b = BUF_INIT;
		bool there = true;

		if (own.p)
			make_openapi(&l, own, &b);
		else if (strcmp(key, "/apis") == 0 || strcmp(key, "aggregated:/apis") == 0)
			make_apis(&l, *key == 'a', &b);
		else
			there = make_one(&l, sv_from(key + strlen("/apis/")), &b);
		free(l.p);
		if (there) {
			k = agg_doc_new(key, &b);
			k->next = g->docs;
			g->docs = k;
			g->n_docs++;
		}
		buf_release(&b);
	}
	if (k)
		(void)doc_hold(k);
	pthread_mutex_unlock(&g->lock);
	return k;
}

static bool doc_answer(struct api_req *q, const char *key, struct sv own, const char *type)
{
	struct agg_doc *k = doc_get(q, key, own);

	if (!k)
		return false;
	agg_doc_answer(q, k, type);
	return true;
}

bool aggregator_discovery(struct api_req *q)
{
	struct sv path = q->path, rest;

	if (!atomic_load(&q->server->aggregator->n_remote))
		return false;
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	if (sv_is(path, "/apis") && discovery_aggregated(q))
		return doc_answer(q, "aggregated:/apis", SV_NULL, DISCOVERY_AGGREGATED);
	if (sv_is(path, "/apis"))
		return doc_answer(q, "/apis", SV_NULL, "application/json");
	rest = sv_sub(path, strlen("/apis/"), path.n);
	return sv_starts(path, SV("/apis/")) && sv_find(rest, '/') < 0 &&
	       doc_answer(q, arena_cstr(q->arena, path), SV_NULL, "application/json");
}

bool aggregator_openapi_index(struct api_req *q, struct sv own)
{
	return atomic_load(&q->server->aggregator->n_remote) && doc_answer(q, "openapi/v3", own, "application/json");
}
