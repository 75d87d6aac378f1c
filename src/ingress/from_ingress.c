/* One Ingress after the other, the oldest first; canaries when all others have their places. */
#include "ingress/from_ingress.h"

#include "base/b64.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "gateway/gateway.h"
#include "ingress/annotations.h"
#include "ingress/backend.h"
#include "ingress/check.h"
#include "object/age.h"
#include "object/annotation.h"

#include <stdlib.h>

#define ROUTES_MAX 20000
#define ROUTES_NAMESPACE_MAX 5000 /* who has an old Ingress would push out the routes of all that are younger */
#define USERS_MAX 1024
#define SERVER_S 60
#define CONNECT_S 2 /* a SYN may be lost once; then the next endpoint is tried */
#define TUNNEL_S 3600

#define BAD "IngressInvalid"
#define CONFLICT "IngressConflict"

struct from {
	struct arena *a;
	const struct ing_source *s;
	VEC(struct ing_route) routes;
	struct strmap places;	/* key of a route -> its number + 1 */
	struct strmap counts;	/* namespace -> how many routes it has */
	struct strmap backends; /* key -> struct ing_backend * */
	struct strmap hosts;	/* with a certificate -> whose Ingress it is */
	VEC(struct from_cert *) certs;
	struct strmap cert_of; /* key -> struct from_cert *; NULL value never */
};

struct from_cert {
	struct sv key, pem; /* pem "": it is not right */
	VEC(struct ing_host) hosts;
};

static void from_say(struct from *f, const struct obj *ingress, const char *reason, const char *fmt, ...)
    _printf_(4, 5);
static void from_say(struct from *f, const struct obj *ingress, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	f->s->say(f->s->ctx, ingress, reason, arena_vprintf(f->a, fmt, ap));
	va_end(ap);
}

/* --- backends --- */

static const struct ing_backend *from_backend(struct from *f, const struct obj *ingress, const struct val *backend)
{
	const struct val *ref = val_get(backend, F_service);
	struct sv name = val_get_str(ref, F_name), port = val_get_str(ref, F_port, F_name), key;
	const char *why = "is not there";
	struct ing_backend *b;
	struct obj *service;

	if (!ref) {
		from_say(f, ingress, BAD, "a backend that is no service is not known here: it answers 503");
		return NULL;
	}
	key = port.n ? arena_svf(f->a, "%.*s/%.*s:%.*s", SV_ARG(obj_ns(ingress)), SV_ARG(name), SV_ARG(port))
		     : arena_svf(f->a, "%.*s/%.*s:%lld", SV_ARG(obj_ns(ingress)), SV_ARG(name),
				 (long long)val_get_int(ref, 0, F_port, F_number));
	b = strmap_get(&f->backends, key);
	if (b)
		return b;
	b = ARENA_NEW(f->a, struct ing_backend);
	b->key = key;
	strmap_set(&f->backends, key, b);
	f->s->uses(f->s->ctx, obj_ns(ingress), name);
	service = f->s->service(f->s->ctx, obj_ns(ingress), name);
	if (service)
		why = ing_backend_fill(f->a, f->s, b, service, ref);
	if (why)
		from_say(f, ingress, BAD, "service %.*s %s: it answers 503", SV_ARG(key), why);
	return b;
}

/* --- certificates --- */

static struct from_cert *from_cert(struct from *f, const struct obj *ingress, struct sv name)
{
	struct sv key = arena_svf(f->a, "%.*s/%.*s", SV_ARG(obj_ns(ingress)), SV_ARG(name));
	struct from_cert *c = strmap_get(&f->cert_of, key);
	const char *why;

	if (c)
		return c;
	c = ARENA_NEW(f->a, struct from_cert);
	c->key = key;
	strmap_set(&f->cert_of, key, c);
	vec_push(&f->certs, c);
	why = tls_secret_pem(f->a, f->s->checked, key, f->s->secret(f->s->ctx, obj_ns(ingress), name), &c->pem);
	if (why)
		from_say(f, ingress, BAD, "secret %.*s %s: the self-made certificate is shown instead", SV_ARG(key),
			 why);
	return c;
}

static void from_tls_host(struct from *f, struct obj *ingress, struct from_cert *c, struct sv host)
{
	const struct obj *had = strmap_get(&f->hosts, host);

	if (!ing_is_host(host)) {
		from_say(f, ingress, BAD, "a host of spec.tls is no DNS name in lower case");
		return;
	}
	if (had) {
		if (had != ingress)
			from_say(f, ingress, CONFLICT,
				 "the certificate of host %.*s is that of ingress %.*s/%.*s, which is older",
				 SV_ARG(host), SV_ARG(obj_ns(had)), SV_ARG(obj_name(had)));
		return;
	}
	strmap_set(&f->hosts, host, ingress);
	if (c && c->pem.n)
		vec_push(&c->hosts, ((struct ing_host){ host, ingress }));
}

static void from_tls(struct from *f, struct obj *ingress)
{
	VAL_EACH(obj_get(ingress, F_spec, F_tls), t) {
		struct sv name = val_get_str(t, F_secretName);
		const struct val *hosts = val_get(t, F_hosts);
		struct from_cert *c = name.n ? from_cert(f, ingress, name) : NULL;

		VAL_EACH(hosts, h)
			from_tls_host(f, ingress, c, val_str(h));
		if (val_len(hosts))
			continue;
		VAL_EACH(obj_get(ingress, F_spec, F_rules), r)
			if (val_get_str(r, F_host).n)
				from_tls_host(f, ingress, c, val_get_str(r, F_host));
	}
}

/* For which hosts the Ingress asks for TLS; "": for all. */
static void from_tls_names(const struct obj *ingress, struct strmap *ret)
{
	VAL_EACH(obj_get(ingress, F_spec, F_tls), t) {
		if (!val_len(val_get(t, F_hosts)))
			strmap_set(ret, SV(""), ret);
		VAL_EACH(val_get(t, F_hosts), h)
			strmap_set(ret, val_str(h), ret);
	}
}

/* --- filters --- */

struct annotation_said {
	struct from *f;
	const struct obj *ingress;
};

static void from_annotation_said(void *ctx, struct sv name, const char *why)
{
	struct annotation_said *s = ctx;

	from_say(s->f, s->ingress, BAD, "annotation %.*s has no effect: %s", SV_ARG(name), why);
}

static void user_add(struct from *f, const struct obj *ingress, struct ing_filters *t, struct strmap *seen,
		     struct sv name, struct sv hash)
{
	const char *why = ing_is_user(name) ? ing_hash_refused(hash) : "user names are letters, digits and - _ . @";

	if (!why && t->n_users == USERS_MAX)
		why = "there are too many users";
	if (!why && strmap_set(seen, name, t))
		why = "a user is there twice";
	if (why)
		from_say(f, ingress, BAD, "a user of its auth-secret is not let in: %s", why);
	else
		t->users[t->n_users++] = (struct ing_user){ name, hash };
}

static const char *from_users(struct from *f, const struct obj *ingress, const struct ing_annotations *n,
			      struct ing_filters *t)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct sv name = ingress_own_secret(obj_root(ingress), n->auth_secret), text, line;
	const struct obj *secret;

	if (!name.p && n->auth_secret.n)
		return "is of another namespace";
	if (!name.n)
		return "is not named";
	secret = f->s->secret(f->s->ctx, obj_ns(ingress), name);
	if (!secret)
		return "is not there";
	t->users = ARENA_ARRAY(f->a, struct ing_user, USERS_MAX);
	if (n->auth_map) {
		VAL_EACH_MEMBER(obj_get(secret, F_data), m)
			if (b64_decode(f->a, val_str(m.value), &text))
				user_add(f, ingress, t, &seen, arena_sv(f->a, m.key), sv_trim(text));
		return NULL;
	}
	text = tls_secret_data(f->a, secret, "auth");
	if (!text.n)
		return "has no key `auth`";
	while (sv_split(&text, '\n', &line)) {
		ssize_t colon = sv_find(line, ':');

		line = sv_trim(line);
		if (line.n && line.p[0] != '#' && colon > 0)
			user_add(f, ingress, t, &seen, sv_sub(line, 0, (size_t)colon),
				 sv_sub(line, (size_t)colon + 1, line.n));
	}
	return NULL;
}

static void from_protection(struct from *f, const struct obj *ingress, const struct ing_annotations *n,
			    struct ing_filters *t)
{
	const char *why;

	t->allow = n->allow;
	t->deny = n->deny;
	t->rps = n->rps;
	t->rpm = n->rpm;
	t->connections = n->connections;
	t->burst = n->rps || n->rpm ? n->burst : 0;
	t->refused = n->refused;
	if (!n->auth_basic)
		return;
	t->auth = true;
	t->realm = n->auth_realm;
	why = from_users(f, ingress, n, t);
	if (why) {
		from_say(f, ingress, BAD, "its auth-secret %s: nobody is let in", why);
		t->refused = true;
	}
}

/* What holds for all of an Ingress. */
static void from_filters(struct from *f, const struct obj *ingress, struct ing_annotations *n, struct ing_filters *t)
{
	struct annotation_said said = { f, ingress };

	ing_annotations_read(f->a, obj_root(ingress), n, from_annotation_said, &said);
	*t = (struct ing_filters){
		.app_root = n->app_root,
		.vhost = n->vhost,
		.prefix = n->prefix,
		.body_max = (uint64_t)n->body_max,
		.connect_s = n->connect_s ? n->connect_s : CONNECT_S,
		.server_s = n->read_s || n->send_s ? MAX(n->read_s, n->send_s) : SERVER_S,
		.tunnel_s = n->read_s || n->send_s ? MAX(n->read_s, n->send_s) : TUNNEL_S,
		.protocol = n->protocol == 4 ? ING_H2C : (enum ing_protocol)n->protocol, /* GRPC */
		.least_conn = n->least_conn != 0,
	};
	if (n->temporal_redirect.n || n->permanent_redirect.n) {
		t->redirect = n->temporal_redirect.n ? n->temporal_redirect : n->permanent_redirect;
		t->redirect_code = n->temporal_redirect.n ? n->temporal_code : n->permanent_code;
	}
	if (n->sticky) {
		t->sticky = true;
		t->cookie = n->cookie;
		t->cookie_s = n->cookie_s;
	}
	if (n->cors) {
		t->cors = true;
		t->cors_credentials = n->cors_credentials;
		t->cors_origin = n->cors_origin;
		t->cors_methods = n->cors_methods;
		t->cors_headers = n->cors_headers;
		t->cors_expose = n->cors_expose;
		t->cors_age_s = n->cors_age_s;
	}
	from_protection(f, ingress, n, t);
}

/* --- routes --- */

static bool from_route_host(struct from *f, const struct obj *ingress, struct sv host, struct ing_route *r)
{
	r->host = host;
	r->host_kind = !host.n ? ING_HOST_ANY : host.p[0] == '*' ? ING_HOST_WILDCARD : ING_HOST_EXACT;
	if (!host.n || ing_is_host(host))
		return true;
	from_say(f, ingress, BAD, "a host is no DNS name in lower case: its rule has no effect");
	return false;
}

static bool from_route_path(struct from *f, const struct obj *ingress, const struct val *p,
			    const struct ing_annotations *n, struct ing_route *r, struct ing_filters *t)
{
	struct sv path = val_get_str(p, F_path), type = val_get_str(p, F_pathType);
	const char *why = NULL;

	if (!path.n)
		path = SV("/");
	r->path_kind = sv_is(type, "Exact") ? ING_PATH_EXACT : ING_PATH_PREFIX;
	if (n->rewrite_target.n) {
		why = ing_rewrite_read(path, n->rewrite_target, &path, &t->rewrite_to, &t->rewrite_cut);
		t->rewrite = true;
		if (!path.n)
			path = SV("/");
	} else if (sv_is(type, "ImplementationSpecific") && ing_path_is_pattern(path)) {
		why = "regular expressions are not understood without rewrite-target";
	}
	if (!why && !ing_path(f->a, path, &r->path))
		why = "it does not begin with /, is too long, or has control characters";
	if (why) {
		from_say(f, ingress, BAD, "a path has no effect: %s", why);
		return false;
	}
	/* '/' alone, and at the end, says nothing of a prefix; what is cut off was counted on the path as requested. */
	while (r->path_kind == ING_PATH_PREFIX && sv_ends(r->path, SV("/")))
		r->path.n--;
	if (t->rewrite && t->rewrite_cut != SIZE_MAX)
		t->rewrite_cut = r->path.n + 1;
	return true;
}

static void from_route_add(struct from *f, const struct obj *ingress, const struct ing_route *r)
{
	struct sv key = ing_route_key(f->a, r);
	size_t had = (size_t)(uintptr_t)strmap_get(&f->places, key);
	const struct obj *other = had ? f->routes.p[had - 1].from : NULL;
	void **count;

	if (other) {
		from_say(f, ingress, CONFLICT, "%.*s is served by ingress %.*s/%.*s%s", SV_ARG(key),
			 SV_ARG(obj_ns(other)), SV_ARG(obj_name(other)),
			 other == ingress ? "'s earlier rule" : ", which is older");
		return;
	}
	count = strmap_slot(&f->counts, obj_ns(ingress));
	if (f->routes.n == ROUTES_MAX || (uintptr_t)*count == ROUTES_NAMESPACE_MAX) {
		from_say(f, ingress, BAD, "there are more routes than HAProxy is given here (%d, of a namespace %d)",
			 ROUTES_MAX, ROUTES_NAMESPACE_MAX);
		return;
	}
	*count = (void *)((uintptr_t)*count + 1);
	vec_push(&f->routes, *r);
	strmap_set(&f->places, key, (void *)(uintptr_t)f->routes.n);
}

/* A canary is one more target of the route it stands beside. */
static void from_route_canary(struct from *f, const struct obj *ingress, const struct ing_annotations *n,
			      const struct ing_route *r, const struct ing_backend *b)
{
	struct sv key = ing_route_key(f->a, r);
	size_t had = (size_t)(uintptr_t)strmap_get(&f->places, key);
	struct ing_route *main = had ? &f->routes.p[had - 1] : NULL;
	uint32_t weight = (uint32_t)MIN(n->canary_weight, n->canary_weight_total);
	uint32_t total = (uint32_t)n->canary_weight_total;

	if (!main || !main->n_targets || main->n_targets == ING_TARGETS_MAX) {
		from_say(f, ingress, BAD, "canary for %.*s: %s", SV_ARG(key),
			 main ? "it has too many already, or only redirects" : "no other ingress serves it");
		return;
	}
	if (main->n_targets == 1)
		main->targets[0].weight = total - weight;
	else
		main->targets[0].weight -= MIN(weight, main->targets[0].weight);
	main->targets[main->n_targets++] = (struct ing_target){
		.backend = b,
		.from = ingress,
		.weight = weight,
		.header = n->canary_header,
		.header_value = n->canary_header_value,
		.cookie = n->canary_cookie,
	};
}

/* Of an Ingress: shared by its routes, but for those that are rewritten, each in its own way. */
struct shared_filters {
	struct ing_filters plain, tls; /* without and with ssl_redirect */
};

static struct ing_filters *from_route_filters(struct from *f, struct shared_filters *s, bool tls, bool own)
{
	struct ing_filters *t = tls ? &s->tls : &s->plain, *copy;

	if (!own)
		return t;
	copy = ARENA_NEW(f->a, struct ing_filters);
	*copy = *t;
	return copy;
}

static void from_rule(struct from *f, struct obj *ingress, const struct val *rule, const struct ing_annotations *n,
		      struct shared_filters *shared, const struct strmap *tls)
{
	VAL_EACH(val_get(rule, F_http, F_paths), p) {
		struct ing_route r = { .from = ingress, .n_targets = 1 };
		const struct ing_backend *b;
		struct ing_filters *t;

		if (!from_route_host(f, ingress, val_get_str(rule, F_host), &r))
			continue;
		r.filters = t = from_route_filters(
		    f, shared,
		    n->force_ssl_redirect || (n->ssl_redirect && (strmap_has(tls, SV("")) || strmap_has(tls, r.host))),
		    n->rewrite_target.n);
		if (!from_route_path(f, ingress, p, n, &r, t))
			continue;
		b = from_backend(f, ingress, val_get(p, F_backend));
		if (n->canary) {
			from_route_canary(f, ingress, n, &r, b);
			continue;
		}
		r.targets[0] = (struct ing_target){ .backend = b, .weight = 1 };
		from_route_add(f, ingress, &r);
	}
}

static void from_fallback(struct from *f, struct obj *ingress, const struct ing_filters *base)
{
	const struct val *b = obj_get(ingress, F_spec, F_defaultBackend);
	struct ing_route r = { .from = ingress, .fallback = true, .filters = base, .n_targets = 1 };

	if (!b)
		return;
	r.targets[0] = (struct ing_target){ .backend = from_backend(f, ingress, b), .weight = 1 };
	from_route_add(f, ingress, &r);
}

static void from_one(struct from *f, struct obj *ingress, bool canaries)
{
	_cleanup_(strmap_release) struct strmap tls = STRMAP_INIT;
	struct ing_annotations n;
	struct shared_filters *shared;

	if (sv_is(annotation_of(obj_root(ingress), "nginx.ingress.kubernetes.io/canary"), "true") != canaries)
		return;
	shared = ARENA_NEW(f->a, struct shared_filters);
	from_filters(f, ingress, &n, &shared->plain);
	shared->tls = shared->plain;
	shared->tls.ssl_redirect = true;
	from_tls(f, ingress);
	from_tls_names(ingress, &tls);
	VAL_EACH(obj_get(ingress, F_spec, F_rules), rule)
		from_rule(f, ingress, rule, &n, shared, &tls);
	if (!n.canary)
		from_fallback(f, ingress, &shared->plain);
}

static void from_certificates(struct from *f, struct ing_model *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < f->certs.n; i++)
		n += f->certs.p[i]->hosts.n;
	ret->certificates = ARENA_ARRAY(f->a, struct ing_certificate, f->certs.n);
	ret->shown = ARENA_ARRAY(f->a, struct ing_shown, n);
	for (size_t i = 0; i < f->certs.n; i++) {
		struct from_cert *c = f->certs.p[i];

		for (size_t k = 0; k < c->hosts.n; k++)
			ret->shown[ret->n_shown++] =
			    (struct ing_shown){ 0, c->hosts.p[k].host, ret->n_certificates, c->hosts.p[k].from };
		if (c->hosts.n)
			ret->certificates[ret->n_certificates++] = (struct ing_certificate){ c->key, c->pem };
		vec_release(&c->hosts);
	}
}

static void from_hosts(struct from *f, struct ing_model *ret)
{
	_cleanup_(gw_ingresses_release) struct gw_ingresses all;

	gw_ingresses_of(f->s->ingresses, f->s->n_ingresses, f->s->classes, &all);
	ret->hosts = ARENA_ARRAY(f->a, struct ing_host, all.hosts.n);
	STRMAP_EACH(&all.hosts, e)
		ret->hosts[ret->n_hosts++] = (struct ing_host){ arena_sv(f->a, sv_make(e->key, e->key_n)), e->value };
}

void ing_from_ingresses(struct arena *a, const struct ing_source *s, struct ing_model *ret)
{
	struct from f = { .a = a, .s = s };
	VEC(struct obj *) ours = VEC_INIT;

	for (size_t i = 0; i < s->n_ingresses; i++)
		if (ingress_is_ours(s->classes, obj_root(s->ingresses[i])) && !obj_deleting(s->ingresses[i]))
			vec_push(&ours, s->ingresses[i]);
	if (ours.n > 1)
		qsort(ours.p, ours.n, sizeof(*ours.p), obj_by_age);
	for (size_t i = 0; i < 2 * ours.n; i++)
		from_one(&f, ours.p[i % ours.n], i >= ours.n);
	*ret = (struct ing_model){ .n_routes = f.routes.n };
	ret->routes = ARENA_ARRAY(a, struct ing_route, f.routes.n);
	if (f.routes.n)
		memcpy(ret->routes, f.routes.p, f.routes.n * sizeof(*f.routes.p));
	from_certificates(&f, ret);
	from_hosts(&f, ret);
	if (s->checked)
		tls_checked_sweep(s->checked);
	vec_release(&f.routes);
	vec_release(&f.certs);
	vec_release(&ours);
	strmap_release(&f.places);
	strmap_release(&f.counts);
	strmap_release(&f.backends);
	strmap_release(&f.hosts);
	strmap_release(&f.cert_of);
}
