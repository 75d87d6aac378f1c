#include "apiserver/authn/front_proxy.h"
#include "apiserver/apiserver-internal.h"
#include "base/log.h"
#include "object/feature.h"

static bool front_proxy_listed(const char *const *list, struct sv name)
{
	for (; list && *list; list++)
		if (sv_ieq(sv_from(*list), name))
			return true;
	return false;
}

/* What stands behind a prefix of the list; SV_NULL: none is one of name. Nothing behind it is a key, too. */
static struct sv front_proxy_behind(const char *const *list, struct sv name)
{
	for (; list && *list; list++) {
		struct sv prefix = sv_from(*list);

		if (name.n >= prefix.n && sv_ieq(sv_sub(name, 0, prefix.n), prefix))
			return sv_sub(name, prefix.n, name.n);
	}
	return SV_NULL;
}

/* The value of the first name that has one. */
static struct sv front_proxy_first(const struct http_req *r, const char *const *names)
{
	for (; names && *names; names++)
		for (size_t i = 0; i < r->n_headers; i++)
			if (sv_ieq(r->headers[i].name, sv_from(*names))) {
				if (r->headers[i].value.n)
					return r->headers[i].value;
				break;
			}
	return SV("");
}

/* Common names are compared as they are: no header, no lower case. */
static bool front_proxy_allowed(const struct apiserver_front_proxies *o, struct sv common_name)
{
	if (!o->allowed_names || !*o->allowed_names)
		return true;
	for (const char *const *n = o->allowed_names; *n; n++)
		if (sv_is(common_name, *n))
			return true;
	return false;
}

static void front_proxy_groups(struct api_req *q, const struct apiserver_front_proxies *o)
{
	const struct http_req *r = q->http;

	q->user.groups = ARENA_ARRAY(q->arena, struct sv, r->n_headers + 1);
	for (const char *const *name = o->group; name && *name; name++)
		for (size_t i = 0; i < r->n_headers; i++)
			if (sv_ieq(r->headers[i].name, sv_from(*name)) && r->headers[i].value.n &&
			    q->user.n_groups < r->n_headers)
				q->user.groups[q->user.n_groups++] = r->headers[i].value;
}

int front_proxy_user(struct api_req *q)
{
	const struct apiserver_front_proxies *o = &q->server->o.front_proxies;
	const struct http_req *r = q->http;
	const struct http_peer *peer = r->peer;
	struct sv name;

	if (!o->ca_file || !peer || !peer->proxy_cert || env_now_ns(q->server->env) >= peer->not_after_ns ||
	    !front_proxy_allowed(o, peer->common_name))
		return 1;
	name = front_proxy_first(r, o->username);
	if (!name.n)
		return 1;
	q->user = (struct user_info){ .name = name, .expires_ns = peer->not_after_ns };
	if (feature_on(FG_RemoteRequestHeaderUID))
		q->user.uid = front_proxy_first(r, o->uid);
	front_proxy_groups(q, o);
	for (size_t i = 0; i < r->n_headers; i++) {
		struct sv key = front_proxy_behind(o->extra_prefix, r->headers[i].name);

		if (key.p)
			user_add_extra(q->arena, &q->user, http_percent_decode(q->arena, key, false),
				       r->headers[i].value);
	}
	user_is_authenticated(&q->user);
	return 0;
}

bool front_proxy_header(const struct apiserver *s, struct sv name)
{
	const struct apiserver_front_proxies *o = &s->o.front_proxies;

	return sv_starts(name, SV("x-remote-")) || front_proxy_listed(o->username, name) ||
	       front_proxy_listed(o->uid, name) || front_proxy_listed(o->group, name) ||
	       front_proxy_behind(o->extra_prefix, name).p;
}

void front_proxy_check(const struct apiserver *s)
{
	const struct apiserver_front_proxies *o = &s->o.front_proxies;
	const struct {
		const char *flag, *standard;
		const char *const *list;
	} rows[] = {
		{ "username-headers", "X-Remote-User", o->username },
		{ "group-headers", "X-Remote-Group", o->group },
		{ "extra-headers-prefix", "X-Remote-Extra-", o->extra_prefix },
	};

	if (o->ca_file && (!o->username || !*o->username))
		log_warn("authn", "front proxies have a CA and no header to say who asks: none of them counts", "flag",
			 "--requestheader-username-headers");
	if (o->ca_file && s->o.client_ca_file && strcmp(o->ca_file, s->o.client_ca_file) == 0 &&
	    (!o->allowed_names || !*o->allowed_names))
		log_warn(
		    "authn",
		    "clients have the CA of front proxies: each of them may say that it is anybody; name the proxies",
		    "flag", "--requestheader-allowed-names");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].list && *rows[i].list && !front_proxy_listed(rows[i].list, sv_from(rows[i].standard)))
			log_warn("authn",
				 "without the header that this server itself sends, aggregated servers do not learn "
				 "from it who asks",
				 "flag", "--requestheader-%s, lacks %s", rows[i].flag, rows[i].standard);
}
