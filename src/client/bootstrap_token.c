#include "client/bootstrap_token.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "net/digest.h"

#define ID_LEN 6
#define SECRET_LEN 16
#define HASH_LEN 64
#define GROUP "system:bootstrappers"
#define GROUP_MAX 255 /* characters behind the prefix, and one */

static bool all_of(struct sv s, size_t n, bool hex)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= (hex ? 'f' : 'z'))))
			return false;
	return s.n == n;
}

bool join_hash_good(struct sv hash)
{
	return all_of(hash, HASH_LEN, true);
}

int join_token_parse(struct sv text, struct join_token *ret, struct err *err)
{
	struct sv rest = text;
	ssize_t dot;

	*ret = (struct join_token){ .ca_hash = SV("") };
	if (sv_starts(text, SV("K10"))) {
		ssize_t colons = sv_find_sv(text, SV("::"));

		if (colons < 0)
			return err_set(err, ERR_INVALID,
				       "the token begins with K10 but has no '::': copy all of it, as K10<hash of the "
				       "CA>::<id>.<secret>");
		ret->ca_hash = sv_sub(text, 3, (size_t)colons - 3);
		if (!join_hash_good(ret->ca_hash))
			return err_set(err, ERR_INVALID,
				       "what follows K10 in the token is no SHA-256 in 64 hex digits: copy all of it");
		rest = sv_sub(text, (size_t)colons + 2, text.n);
	}
	dot = sv_find(rest, '.');
	if (dot >= 0) {
		ret->id = sv_sub(rest, 0, (size_t)dot);
		ret->secret = sv_sub(rest, (size_t)dot + 1, rest.n);
	}
	if (!all_of(ret->id, ID_LEN, false) || !all_of(ret->secret, SECRET_LEN, false))
		return err_set(err, ERR_INVALID,
			       "a join token is <id>.<secret>, six and sixteen of a-z and 0-9, after K10<hash of the "
			       "CA>:: where that is known");
	return 0;
}

struct sv join_token_format(struct arena *a, struct sv ca_pem, struct sv id, struct sv secret)
{
	char hash[SHA256_HEX];

	sha256_hex(ca_pem, hash);
	return arena_svf(a, "K10%s::%.*s.%.*s", hash, SV_ARG(id), SV_ARG(secret));
}

int join_token_check_ca(const struct join_token *t, struct sv ca_pem, struct err *err)
{
	char hash[SHA256_HEX];

	if (t->ca_hash.n == 0)
		return err_set(err, ERR_UNAUTHORIZED, "the token does not say which CA to trust: use its K10 form");
	sha256_hex(ca_pem, hash);
	if (!sv_is(t->ca_hash, hash))
		return err_set(err, ERR_UNAUTHORIZED,
			       "the server's CA (SHA-256 %s) is not the one the token was made for: this is another "
			       "cluster, or somebody in between",
			       hash);
	return 0;
}

struct sv bootstrap_token_field(struct arena *a, const struct obj *secret, const char *name)
{
	const struct val *v = val_member_sv(obj_get(secret, F_data), sv_from(name));
	struct sv out;

	return v && b64_decode(a, val_str(v), &out) ? out : SV_NULL;
}

int64_t bootstrap_token_end(const struct obj *secret)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t end;

	if (!val_member_sv(obj_get(secret, F_data), SV("expiration")))
		return INT64_MAX;
	struct sv text = bootstrap_token_field(&a, secret, "expiration");

	if (text.p && text.n == 0)
		return INT64_MAX; /* as upstream */
	return text.p && time_parse(text, &end) ? end : INT64_MIN;
}

int bootstrap_token_read(struct arena *a, const struct obj *secret, const char *usage, int64_t now_ns,
			 struct join_token *ret, struct err *err)
{
	struct sv id = bootstrap_token_field(a, secret, "token-id"),
		  text = bootstrap_token_field(a, secret, "token-secret");

	if (obj_deleting(secret) || !val_is(obj_get(secret, F_type), BOOTSTRAP_TOKEN_TYPE))
		return err_set(err, ERR_UNAUTHORIZED, "the Secret is of another type, or is going");
	if (join_token_parse(arena_svf(a, "%.*s.%.*s", SV_ARG(id), SV_ARG(text)), ret, NULL) < 0 ||
	    !sv_eq(obj_name(secret), arena_svf(a, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(id))))
		return err_set(err, ERR_UNAUTHORIZED, "the Secret's token-id or token-secret is not one");
	if (now_ns >= bootstrap_token_end(secret))
		return err_set(err, ERR_UNAUTHORIZED, "the bootstrap token has expired");
	if (!sv_is(bootstrap_token_field(a, secret, arena_printf(a, "usage-bootstrap-%s", usage)), "true"))
		return err_set(err, ERR_UNAUTHORIZED, "the bootstrap token is not for %s", usage);
	return 0;
}

struct sv bootstrap_token_sign(struct arena *a, const struct join_token *t, struct sv content)
{
	struct sv header = b64url_encode(a, arena_svf(a, "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}", SV_ARG(t->id)));
	struct sv payload = b64url_encode(a, content);
	unsigned char mac[SHA256_BYTES];

	hmac_sha256(t->secret, arena_svf(a, "%.*s.%.*s", SV_ARG(header), SV_ARG(payload)), mac);
	return arena_svf(a, "%.*s..%.*s", SV_ARG(header),
			 SV_ARG(b64url_encode(a, sv_make((const char *)mac, sizeof(mac)))));
}

bool bootstrap_group_good(struct sv g)
{
	struct sv rest = sv_sub(g, sizeof(GROUP), g.n);

	if (!sv_starts(g, SV(GROUP ":")) || rest.n == 0 || rest.n > GROUP_MAX + 1)
		return false;
	for (size_t i = 0; i < rest.n; i++) {
		bool alnum = (rest.p[i] >= 'a' && rest.p[i] <= 'z') || (rest.p[i] >= '0' && rest.p[i] <= '9');

		if (!alnum && (i + 1 == rest.n || (rest.p[i] != ':' && rest.p[i] != '-')))
			return false;
	}
	return true;
}

/* n characters of a-z and 0-9, each as likely as the others. */
static struct sv random_text(struct env *e, struct arena *a, size_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char *out = arena_alloc(a, n);

	for (size_t i = 0; i < n; i++)
		out[i] = alphabet[env_random_below(e, sizeof(alphabet) - 1)];
	return sv_make(out, n);
}

void bootstrap_token_random(struct env *e, struct arena *a, struct join_token *ret)
{
	*ret = (struct join_token){ .id = random_text(e, a, ID_LEN),
				    .secret = random_text(e, a, SECRET_LEN),
				    .ca_hash = SV("") };
}

static void bootstrap_token_put(struct arena *a, struct val *data, const char *key, struct sv value)
{
	val_set_str_sv(a, data, sv_from(key), b64_encode(a, value));
}

struct val *bootstrap_token_doc(struct arena *a, const struct bootstrap_token_opts *o)
{
	struct val *doc = val_new_map(a), *meta = val_set_map(a, doc, F_metadata), *data;
	char end[TIME_TEXT_MAX];

	val_set_cstr(a, doc, F_kind, "Secret");
	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_str(a, meta, F_name, arena_svf(a, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(o->token.id)));
	val_set_cstr(a, meta, F_namespace, BOOTSTRAP_TOKEN_NS);
	if (o->join)
		val_set_str_sv(a, val_set_map(a, meta, F_labels), SV(JOIN_TOKEN_LABEL), SV("true"));
	val_set_cstr(a, doc, F_type, BOOTSTRAP_TOKEN_TYPE);
	data = val_set_map(a, doc, F_data);
	if (o->description && *o->description)
		bootstrap_token_put(a, data, "description", sv_from(o->description));
	bootstrap_token_put(a, data, "token-id", o->token.id);
	bootstrap_token_put(a, data, "token-secret", o->token.secret);
	if (o->authentication)
		bootstrap_token_put(a, data, "usage-bootstrap-authentication", SV("true"));
	if (o->signing)
		bootstrap_token_put(a, data, "usage-bootstrap-signing", SV("true"));
	if (o->groups && *o->groups)
		bootstrap_token_put(a, data, "auth-extra-groups", sv_from(o->groups));
	if (o->end_ns != INT64_MAX)
		bootstrap_token_put(a, data, "expiration", time_format(o->end_ns, false, end));
	return doc;
}
