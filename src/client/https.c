/* The calls of the HTTPS transport; its watches are in https_watch.c. */
#include "client/https-internal.h"

#include "base/file.h"
#include "client/kubeconfig.h"
#include "codec/json.h"

#include <stdlib.h>

#define CALL_TIMEOUT_NS (65 * NS_PER_SEC) /* servers give up after 60 s and say so */

/* --- credentials --- */

static bool token_is_of(struct https_client *h, const struct stat *st)
{
	const struct stat *old = &h->token_stat;
	bool same;

	pthread_mutex_lock(&h->lock);
	same = h->token.n && st->st_ino == old->st_ino && st->st_dev == old->st_dev && st->st_size == old->st_size &&
	       st->st_mtim.tv_sec == old->st_mtim.tv_sec && st->st_mtim.tv_nsec == old->st_mtim.tv_nsec;
	pthread_mutex_unlock(&h->lock);
	return same;
}

/* Reads the token file again when it is another one than last time. Kubelets replace projected
 * tokens by renaming; a reader that comes at a bad moment goes on with the old token. The disk is waited for without
 * the lock: of two who read at once either may be the last to say what it saw, and the next call looks again. */
static int token_refresh(struct https_client *h, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct stat st = { 0 };
	struct sv text = SV_NULL;
	int rc = 0;

	if (stat(h->token_file, &st) == 0 && token_is_of(h, &st))
		return 0;
	if (file_read(&a, h->token_file, HTTPS_TOKEN_MAX, &text, &why) == 0) {
		text = sv_trim(text);
		if (!text.n)
			err_set(&why, ERR_UNAUTHORIZED, "token file '%s' is empty", h->token_file);
	}
	pthread_mutex_lock(&h->lock);
	if (why.reason == ERR_NONE) {
		buf_clear(&h->token);
		buf_addsv(&h->token, text);
		h->token_stat = st;
	} else if (!h->token.n) {
		rc = err_move(err, &why);
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

int https_headers(struct https_client *h, struct arena *a, const char *content_type, struct http_header **ret,
		  size_t *ret_n, struct err *err)
{
	struct http_header *v = ARENA_ARRAY(a, struct http_header, HTTPS_HEADERS_MAX);
	size_t n = 0;
	int rc = 0;

	v[n++] = (struct http_header){ SV("accept"), SV("application/json") };
	v[n++] = (struct http_header){ SV("user-agent"), h->agent };
	if (content_type)
		v[n++] = (struct http_header){ SV("content-type"), sv_from(content_type) };
	if (h->token_file)
		rc = token_refresh(h, err);
	pthread_mutex_lock(&h->lock);
	if (rc == 0 && h->token.n)
		v[n++] =
		    (struct http_header){ SV("authorization"), arena_svf(a, "Bearer %.*s", SV_ARG(buf_sv(&h->token))) };
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < h->n_impersonate; i++)
		v[n++] = h->impersonate[i];
	*ret = v;
	*ret_n = n;
	return rc;
}

/* --- calls --- */

struct call {
	struct https_client *h;
	struct arena *a;
	const char *method;
	const char *content_type; /* NULL: no body */
	struct sv body;
	size_t max;
};

/* What reads is asked of each server in turn; what writes may have happened, and is told as failed. */
static int https_call_somewhere(const struct call *k, struct buf *target, const struct http_header *headers, size_t n,
				struct http_response *ret, struct err *err)
{
	struct https_client *h = k->h;
	size_t tries = h->servers && strcmp(k->method, "GET") == 0 ? servers_count(h->servers) : 1;

	if (!h->servers)
		return http_call(h->pool, k->a, &h->ep, k->method, buf_cstr(target), headers, n, k->body, h->timeout_ns,
				 k->max, ret, err);
	for (;;) {
		_cleanup_(servers_let_go) struct servers_at at;
		_cleanup_(err_release) struct err why = ERR_INIT;

		servers_current(h->servers, &at);
		if (http_call(h->pool, k->a, &at.ep, k->method, buf_cstr(target), headers, n, k->body, h->timeout_ns,
			      k->max, ret, &why) == 0)
			return 0;
		if (why.reason == ERR_UNAVAILABLE || why.reason == ERR_TIMEOUT)
			servers_failed(h->servers, &at);
		else
			tries = 1;
		if (--tries == 0)
			return err_move(err, &why);
	}
}

static int https_call_run(const struct call *k, struct buf *target, struct http_response *ret, struct err *err)
{
	struct http_header *headers;
	size_t n;

	if (https_headers(k->h, k->a, k->content_type, &headers, &n, err) < 0)
		return -1;
	if (https_call_somewhere(k, target, headers, n, ret, err) < 0)
		return -1;
	if (ret->status < 200 || ret->status > 299)
		return https_failure(err, k->method, ret);
	return 0;
}

static struct val *https_decode(struct arena *a, struct sv body, struct err *err)
{
	_cleanup_(err_release) struct err bad = ERR_INIT;
	struct val *v = json_decode(a, body, &(struct json_opts){ .borrow_text = true }, &bad);

	if (!v)
		err_set(err, ERR_INTERNAL, "cannot read the server's answer: %s", err_msg(&bad));
	else if (v->type != VAL_MAP)
		err_set(err, ERR_INTERNAL, "the server's answer is no object");
	return v && v->type == VAL_MAP ? v : NULL;
}

/* One object in, one object out. */
static int call_object(const struct call *k, struct buf *target, struct obj **ret, struct err *err)
{
	struct http_response r;
	struct val *v;

	if (https_call_run(k, target, &r, err) < 0)
		return -1;
	v = https_decode(k->a, r.body, err);
	if (!v)
		return -1;
	if (ret)
		*ret = obj_new(v, 0);
	return 0;
}

static int need_name(const struct resource *r, struct sv ns, struct sv name, struct err *err)
{
	if (!name.n)
		return err_set(err, ERR_BAD_REQUEST, "resource name may not be empty");
	if (r->namespaced && !ns.n)
		return err_set(err, ERR_BAD_REQUEST,
			       "an empty namespace may not be set when a resource name is provided");
	return 0;
}

static int https_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		     struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	struct https_client *h = (struct https_client *)c;
	const struct call k = { .h = h, .a = &a, .method = "GET", .max = HTTPS_OBJECT_MAX };

	if (need_name(r, ns, name, err) < 0 || https_path(h, r, ns, name, NULL, &target, err) < 0)
		return -1;
	return call_object(&k, &target, ret, err);
}

static int https_get_doc(struct client *c, struct arena *a, const char *target, const struct val **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	struct https_client *h = (struct https_client *)c;
	const struct call k = { .h = h, .a = a, .method = "GET", .max = HTTPS_PAGE_MAX };
	struct http_response r;

	buf_addsv(&path, h->prefix);
	buf_adds(&path, target);
	if (https_call_run(&k, &path, &r, err) < 0)
		return -1;
	*ret = https_decode(a, r.body, err);
	return *ret ? 0 : -1;
}

/* Those of `299 - "text"`. */
static void https_warnings(struct arena *a, const struct http_response *r, void (*warned)(struct sv text, void *ctx),
			   void *ctx)
{
	for (size_t i = 0; i < r->n_headers; i++) {
		struct sv v = r->headers[i].value;
		ssize_t from = sv_find(v, '"');
		struct buf text = BUF_INIT;

		if (!sv_is(r->headers[i].name, "warning") || from < 0)
			continue;
		for (size_t k = (size_t)from + 1; k < v.n && v.p[k] != '"'; k++) {
			if (v.p[k] == '\\' && k + 1 < v.n)
				k++;
			buf_addc(&text, v.p[k]);
		}
		warned(arena_sv(a, buf_sv(&text)), ctx);
		buf_release(&text);
	}
}

int client_https_document_warned(struct client *c, struct arena *a, const char *path,
				 void (*warned)(struct sv text, void *ctx), void *ctx, struct val **ret,
				 struct err *err)
{
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	struct https_client *h = (struct https_client *)c;
	const struct call k = { .h = h, .a = a, .method = "GET", .max = HTTPS_PAGE_MAX };
	struct http_response r;

	buf_addsv(&target, h->prefix);
	buf_adds(&target, path);
	if (https_call_run(&k, &target, &r, err) < 0)
		return -1;
	*ret = https_decode(a, r.body, err);
	if (*ret && warned)
		https_warnings(a, &r, warned, ctx);
	return *ret ? 0 : -1;
}

int client_https_document(struct client *c, struct arena *a, const char *path, struct val **ret, struct err *err)
{
	return client_https_document_warned(c, a, path, NULL, NULL, ret, err);
}

/* --- lists --- */

struct paging {
	struct obj_list *out;
	struct buf cont; /* the server's continue token */
	size_t cap;
	int64_t limit; /* 0: everything at once */
};

/* Servers leave kind and apiVersion of built-in kinds out of list items: the list says them. */
static struct val *https_with_type(struct arena *a, const struct resource *r, const struct val *item)
{
	char av[160];
	struct val *m = val_new_map(a);

	val_set_cstr(a, m, F_kind, r->kind);
	val_set_cstr(a, m, F_apiVersion, resource_api_version(r, av, sizeof(av)));
	VAL_EACH_MEMBER(item, e) {
		if (e.sym)
			val_set(a, m, e.sym, e.value);
		else
			val_set_sv(a, m, e.key, e.value);
	}
	return m;
}

struct obj *https_publish(struct arena *a, const struct keep *keep, const struct val *o)
{
	return keep ? obj_new_lean(keep_copy(a, keep, o)) : obj_new(o, 0);
}

static int take_page(struct paging *p, struct arena *a, const struct resource *r, struct sv body,
		     const struct keep *keep, struct err *err)
{
	struct val *v = https_decode(a, body, err), *items;
	struct obj_list *l = p->out;

	if (!v)
		return -1;
	items = val_get_mut(v, F_items);
	if (!p->cont.n && !sv_to_i64(val_get_str(v, F_metadata, F_resourceVersion), &l->rev))
		return err_set(err, ERR_INTERNAL, "the server's list has no resourceVersion");
	if (val_len(items) > p->cap - l->n) {
		p->cap = l->n + val_len(items) + (p->limit && l->n ? l->n / 2 : 0);
		l->items = xrealloc(l->items, p->cap * sizeof(struct obj *));
	}
	for (size_t i = 0; i < val_len(items); i++) {
		struct val *it = val_at_mut(items, i);

		if (it->type != VAL_MAP)
			return err_set(err, ERR_INTERNAL, "the server's list has an item that is no object");
		l->items[l->n++] = https_publish(a, keep, keep || val_get(it, F_kind) ? it : https_with_type(a, r, it));
	}
	buf_clear(&p->cont);
	buf_addsv(&p->cont, val_get_str(v, F_metadata, F_continue));
	return 0;
}

static void add_selectors(struct buf *target, const struct client_list_opts *o)
{
	if (o->label_selector && *o->label_selector)
		https_query(target, "labelSelector", sv_from(o->label_selector));
	if (o->field_selector && *o->field_selector)
		https_query(target, "fieldSelector", sv_from(o->field_selector));
}

static int get_page(struct https_client *h, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		    struct paging *p, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	const struct call k = { .h = h, .a = &a, .method = "GET", .max = HTTPS_PAGE_MAX };
	struct http_response res;

	if (https_path(h, r, ns, SV_NULL, NULL, &target, err) < 0)
		return -1;
	add_selectors(&target, o);
	if (p->limit)
		https_query_i64(&target, "limit", p->limit);
	if (p->cont.n) {
		https_query(&target, "continue", buf_sv(&p->cont)); /* knows the revision itself */
	} else if (o->resource_version > 0) {
		https_query_i64(&target, "resourceVersion", o->resource_version);
		https_query(&target, "resourceVersionMatch", SV("NotOlderThan"));
	} else if (o->resource_version < 0) {
		https_query_i64(&target, "resourceVersion", 0);
	}
	if (https_call_run(&k, &target, &res, err) < 0)
		return -1;
	return take_page(p, &a, r, res.body, o->keep, err);
}

static int https_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		      struct obj_list *ret, struct err *err)
{
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	struct paging p = { .out = &l, .limit = HTTPS_PAGE_ITEMS };
	int rc;

	do {
		_cleanup_(err_release) struct err why = ERR_INIT;

		rc = get_page((struct https_client *)c, r, ns, o, &p, &why);
		if (rc == 0)
			continue;
		if (p.cont.n && (why.reason == ERR_EXPIRED || why.reason == ERR_GONE)) {
			obj_list_release(&l);
			buf_clear(&p.cont);
			p.cap = 0;
			p.limit = 0;
		} else if (why.reason == ERR_TOO_LARGE && p.limit > 1) {
			p.limit /= 10; /* huge objects: the bound is on bytes */
			p.limit += !p.limit;
		} else {
			buf_release(&p.cont);
			return err_move(err, &why);
		}
	} while (rc < 0 || p.cont.n);
	buf_release(&p.cont);
	*ret = l;
	l = (struct obj_list){ 0 };
	return 0;
}

/* --- writes --- */

static int https_write_call(struct https_client *h, const char *method, const char *content_type, struct buf *target,
			    const struct val *doc, const struct client_write_opts *o, bool force, struct obj **ret,
			    struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct call k = { .h = h, .a = &a, .method = method, .content_type = content_type, .max = HTTPS_OBJECT_MAX };

	https_query(target, "fieldManager", sv_from(o->field_manager ? o->field_manager : h->c.name));
	if (o->dry_run)
		https_query(target, "dryRun", SV("All"));
	if (force)
		https_query(target, "force", SV("true"));
	json_encode(&body, doc);
	k.body = buf_sv(&body);
	return call_object(&k, target, ret, err);
}

static int https_create(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
			const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	struct https_client *h = (struct https_client *)c;

	if (r->namespaced && !ns.n)
		return err_set(err, ERR_BAD_REQUEST, "an empty namespace may not be set during creation");
	if (https_path(h, r, ns, name, o->subresource, &target, err) < 0)
		return -1;
	return https_write_call(h, "POST", "application/json", &target, doc, o, false, ret, err);
}

static int https_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
			const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	struct https_client *h = (struct https_client *)c;

	if (need_name(r, ns, name, err) < 0 || https_path(h, r, ns, name, o->subresource, &target, err) < 0)
		return -1;
	return https_write_call(h, "PUT", "application/json", &target, doc, o, false, ret, err);
}

static int https_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		       const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	static const char *const media[] = {
		[PATCH_JSON] = "application/json-patch+json",
		[PATCH_MERGE] = "application/merge-patch+json",
		[PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
		[PATCH_APPLY] = "application/apply-patch+yaml", /* JSON is YAML */
	};
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	struct https_client *h = (struct https_client *)c;

	if (need_name(r, ns, name, err) < 0 || https_path(h, r, ns, name, o->subresource, &target, err) < 0)
		return -1;
	return https_write_call(h, "PATCH", media[t], &target, patch, o, t == PATCH_APPLY && o->force, ret, err);
}

static int https_del(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		     const struct client_delete_opts *o, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf target = BUF_INIT, body = BUF_INIT;
	struct https_client *h = (struct https_client *)c;
	struct call k = {
		.h = h, .a = &a, .method = "DELETE", .content_type = "application/json", .max = HTTPS_OBJECT_MAX
	};
	struct val *doc = val_new_map(&a), *pre = val_new_map(&a);
	struct http_response r_unused;

	if (need_name(r, ns, name, err) < 0 || https_path(h, r, ns, name, NULL, &target, err) < 0)
		return -1;
	val_set_cstr(&a, doc, F_kind, "DeleteOptions");
	val_set_cstr(&a, doc, F_apiVersion, "v1");
	if (o->grace_seconds >= 0)
		val_set_int(&a, doc, F_gracePeriodSeconds, o->grace_seconds);
	if (o->precondition_uid.n)
		val_set_str(&a, pre, F_uid, o->precondition_uid);
	if (o->precondition_rev)
		val_set_strf(&a, pre, F_resourceVersion, "%" PRId64, o->precondition_rev);
	if (val_len(pre))
		val_set(&a, doc, F_preconditions, pre);
	if (o->propagation)
		val_set_cstr(&a, doc, F_propagationPolicy, o->propagation);
	json_encode(&body, doc);
	k.body = buf_sv(&body);
	return https_call_run(&k, &target, &r_unused, err);
}

/* --- life --- */

static void https_free(struct client *c)
{
	struct https_client *h = (struct https_client *)c;

	https_watch_stop(h);
	http_pool_free(h->pool);
	tls_ctx_unref(h->ep.tls);
	servers_unref(h->servers);
	buf_release(&h->token);
	arena_release(&h->arena);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
}

static const struct client_ops https_ops = {
	.get = https_get,
	.list = https_list,
	.create = https_create,
	.update = https_update,
	.patch = https_patch,
	.del = https_del,
	.watch = https_watch,
	.get_doc = https_get_doc,
	.unwatch = https_unwatch,
	.free = https_free,
};

/* As whom. */
static int setup_caller(struct https_client *h, const struct client_https_opts *o, struct err *err)
{
	struct arena *a = &h->arena;

	if (o->impersonate_user) {
		h->impersonate[h->n_impersonate++] =
		    (struct http_header){ SV("impersonate-user"), sv_from(arena_strdup(a, o->impersonate_user)) };
		for (size_t i = 0; o->impersonate_groups && o->impersonate_groups[i]; i++) {
			if (i == HTTPS_GROUPS_MAX)
				return err_set(err, ERR_BAD_REQUEST, "more than %d groups to impersonate",
					       HTTPS_GROUPS_MAX);
			h->impersonate[h->n_impersonate++] =
			    (struct http_header){ SV("impersonate-group"),
						  sv_from(arena_strdup(a, o->impersonate_groups[i])) };
		}
	}
	if (o->token && *o->token)
		buf_adds(&h->token, o->token);
	else if (o->token_file && *o->token_file)
		h->token_file = arena_strdup(a, o->token_file);
	h->timeout_ns = o->timeout_ns > 0 ? o->timeout_ns : CALL_TIMEOUT_NS;
	return 0;
}

static int setup(struct https_client *h, const struct client_https_opts *o, struct err *err)
{
	struct arena *a = &h->arena;
	bool tls;
	char *host;

	if (o->servers) {
		struct servers_at at;

		h->servers = servers_ref(o->servers);
		servers_current(h->servers, &at);
		h->prefix = at.prefix;
		servers_let_go(&at);
		return setup_caller(h, o, err);
	}
	if (https_parse_url(a, o->server ? o->server : "", &tls, &host, &h->ep.port, &h->prefix, err) < 0)
		return -1;
	h->ep.host = host;
	h->ep.server_name = o->server_name && *o->server_name ? arena_strdup(a, o->server_name) : NULL;
	if (tls) {
		const struct tls_client_opts t = {
			.ca_pem = o->ca_pem, .cert_pem = o->cert_pem, .key_pem = o->key_pem, .insecure = o->insecure
		};

		if (o->insecure && o->ca_pem.n)
			return err_set(err, ERR_BAD_REQUEST,
				       "a certificate authority is of no use when the server is not verified");
		h->ep.tls = tls_client_ctx(&t, err);
		if (!h->ep.tls)
			return -1;
	}
	return setup_caller(h, o, err);
}

struct client *client_https_new(struct env *env, const struct client_https_opts *o, struct err *err)
{
	struct https_client *h = xcalloc(1, sizeof(*h));

	h->c.ops = &https_ops;
	h->c.env = env;
	h->c.name = arena_strdup(&h->arena, o->name ? o->name : "caravel");
	h->agent = arena_svf(&h->arena, "%s/%s", h->c.name, CARAVEL_VERSION);
	h->pool = http_pool_new();
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	if (setup(h, o, err) < 0)
		return client_free(&h->c);
	return &h->c;
}

struct client *client_kubeconfig_new(struct env *env, const struct kubeconfig *k, const char *name, struct err *err)
{
	const struct client_https_opts o = {
		.server = k->server,
		.name = name,
		.server_name = k->server_name,
		.ca_pem = k->ca_pem,
		.insecure = k->insecure,
		.cert_pem = k->cert_pem,
		.key_pem = k->key_pem,
		.token = k->token,
		.token_file = k->token_file,
		.impersonate_user = k->impersonate_user,
		.impersonate_groups = k->impersonate_groups,
	};

	return client_https_new(env, &o, err);
}
