#include "client/bootstrap_token.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "net/digest.h"

#define ID_LEN 6
#define SECRET_LEN 16
#define HASH_LEN 64

static bool all_of(struct sv s, size_t n, bool hex)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= (hex ? 'f' : 'z'))))
			return false;
	return s.n == n;
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
		if (!all_of(ret->ca_hash, HASH_LEN, true))
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
