/* Answers to a 401: credentials themselves (Basic), or a token of the registry's realm for them (Bearer). */
#include "base/b64.h"
#include "base/percent.h"
#include "codec/json.h"
#include "kubelet/oci/registry-internal.h"

#define TOKEN_MAX ((size_t)64 << 10)

static struct sv registry_basic(struct arena *a, const struct registry_endpoint *e)
{
	struct sv both = arena_svf(a, "%.*s:%.*s", SV_ARG(e->username), SV_ARG(e->password));

	return e->username.n ? arena_svf(a, "Basic %.*s", SV_ARG(b64_encode(a, both))) : SV("");
}

/* By its own scope, whatever the challenge names: what a registry asks for is not ours to want. */
static const char *registry_token_query(struct arena *a, const struct registry_endpoint *e, struct sv service)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "service=");
	percent_encode(&b, service, PERCENT_UNRESERVED);
	buf_adds(&b, "&scope=");
	percent_encode(&b, arena_svf(a, "repository:%.*s:pull", SV_ARG(e->repository)), PERCENT_UNRESERVED);
	return arena_cstr(a, buf_sv(&b));
}

static int registry_token(struct registry_call *c, size_t i, const struct registry_challenge *ch, struct err *err)
{
	_cleanup_(registry_ask_release) struct registry_ask k = { 0 };
	struct registry_endpoint *e = &c->e[i];
	const char *query = registry_token_query(&c->a, e, ch->service);
	struct registry_want w = { .max = TOKEN_MAX, .authorization = registry_basic(&c->a, e) };
	struct sv origin = registry_origin(ch->realm), token;
	struct registry_endpoint realm = *e;
	struct val *doc;

	if (!origin.n || (!sv_starts(ch->realm, SV("https://")) && !sv_eq(origin, registry_origin(sv_from(e->url)))))
		return err_set(
		    err, ERR_FORBIDDEN,
		    "failed to authorize: the registry's realm '%.*s' is neither https nor the registry itself",
		    SV_ARG(sv_sub(ch->realm, 0, 200)));
	/* The credentials are for the realm, which may be another host; certificates are not. */
	if (!sv_eq(origin, registry_origin(sv_from(e->url))))
		realm = (struct registry_endpoint){ 0 };
	realm.url = arena_cstr(&c->a, ch->realm);
	w.url = arena_printf(&c->a, "%s%c%s", realm.url, sv_find(ch->realm, '?') < 0 ? '?' : '&', query);
	if (e->identity_token.n) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		buf_printf(&b, "grant_type=refresh_token&client_id=caravel&%s&refresh_token=", query);
		percent_encode(&b, e->identity_token, PERCENT_UNRESERVED);
		w.post = arena_cstr(&c->a, buf_sv(&b));
		w.url = realm.url;
		w.authorization = SV("");
	}
	if (registry_ask(&k, c, &realm, &w, err) < 0)
		return err_wrap(err, "failed to authorize: failed to fetch %s token",
				e->username.n || e->identity_token.n ? "oauth" : "anonymous");
	if (k.status / 100 != 2)
		return err_set(err, k.status == 429 ? ERR_TOO_MANY_REQUESTS : ERR_FORBIDDEN,
			       "failed to authorize: failed to fetch %s token: unexpected status from GET request to "
			       "%s: %ld",
			       e->username.n || e->identity_token.n ? "oauth" : "anonymous", realm.url, k.status);
	doc = json_decode(&c->a, buf_sv(&k.body), NULL, NULL);
	token = val_str(val_member_sv(doc, SV("token")));
	if (!token.n)
		token = val_str(val_member_sv(doc, SV("access_token")));
	if (!token.n)
		return err_set(err, ERR_FORBIDDEN, "failed to authorize: '%s' answers no token", realm.url);
	c->authorization[i] = arena_svf(&c->a, "Bearer %.*s", SV_ARG(token));
	return 0;
}

static int registry_authorize(struct registry_call *c, size_t i, const struct registry_challenge *ch, struct err *err)
{
	struct registry_endpoint *e = &c->e[i];

	if (e->registry_token.n)
		c->authorization[i] = arena_svf(&c->a, "Bearer %.*s", SV_ARG(e->registry_token));
	else if (ch->bearer)
		return registry_token(c, i, ch, err);
	else if (ch->basic)
		c->authorization[i] = registry_basic(&c->a, e);
	return 0;
}

int registry_ask_authorized(struct registry_ask *k, struct registry_call *c, size_t i, struct registry_want *w,
			    struct err *err)
{
	struct registry_challenge ch;

	w->authorization = c->authorization[i];
	if (registry_ask(k, c, &c->e[i], w, err) < 0)
		return -1;
	if (k->status != 401 || k->foreign)
		return 0;
	/* A token may also have grown old during a long pull: so a 401 is answered each time, once. */
	ch = (struct registry_challenge){ k->challenge.bearer, k->challenge.basic, arena_sv(&c->a, k->challenge.realm),
					  arena_sv(&c->a, k->challenge.service) };
	c->authorization[i] = SV("");
	if (registry_authorize(c, i, &ch, err) < 0)
		return -1;
	w->authorization = c->authorization[i];
	return w->authorization.n ? registry_ask(k, c, &c->e[i], w, err) : 0;
}
