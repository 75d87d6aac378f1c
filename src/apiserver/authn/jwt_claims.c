/* From claims to a user. */
#include "apiserver/authn/jwt.h"
#include "base/timefmt.h"

#include <math.h>

#define NOT_BEFORE_LEEWAY_S (5 * 60) /* as upstream's library */
#define AUDIENCES_SHOWN_MAX 1000     /* bytes */

/* --- times and audience --- */

/* Seconds since 1970 as a number (RFC 7519, NumericDate), at its day of a clock that counts nanoseconds in 64 bits. */
static bool claim_time(const struct val *claims, const char *name, int64_t *ret_ns, bool *ret_there)
{
	const struct val *v = val_member_sv(claims, sv_from(name));
	double s = val_num(v);

	*ret_there = v && val_type(v) != VAL_NULL;
	if (!*ret_there)
		return true;
	if ((val_type(v) != VAL_INT && val_type(v) != VAL_FLOAT) || !isfinite(s))
		return false;
	s = s < 0 ? 0 : s > 9e9 ? 9e9 : s;
	*ret_ns = (int64_t)s * NS_PER_SEC;
	return true;
}

static void audiences_write(struct buf *b, struct sv s)
{
	if (b->n < AUDIENCES_SHOWN_MAX)
		buf_printf(b, "%s\"%.*s\"", b->n > 1 ? " " : "", SV_ARG(sv_sub(s, 0, 200)));
}

static int check_audience(const struct jwt_issuer *is, const struct val *claims, struct err *err)
{
	_cleanup_(buf_release) struct buf want = BUF_INIT, got = BUF_INIT;
	const struct val *aud = val_member_sv(claims, SV("aud"));

	for (size_t i = 0; i < is->n_audiences; i++) {
		if (val_type(aud) == VAL_STR && sv_eq(val_str(aud), is->audiences[i]))
			return 0;
		VAL_EACH(aud, v)
			if (val_type(v) == VAL_STR && sv_eq(val_str(v), is->audiences[i]))
				return 0;
	}
	buf_addc(&want, '[');
	buf_addc(&got, '[');
	for (size_t i = 0; i < is->n_audiences; i++)
		audiences_write(&want, is->audiences[i]);
	if (val_type(aud) == VAL_STR)
		audiences_write(&got, val_str(aud));
	VAL_EACH(aud, v)
		audiences_write(&got, val_str(v));
	return err_set(err, ERR_UNAUTHORIZED, "oidc: verify token: oidc: expected audience in %s] got %s]",
		       buf_cstr(&want), buf_cstr(&got));
}

int jwt_check(const struct jwt_issuer *is, struct arena *a, const struct val *claims, int64_t now_ns,
	      int64_t *ret_expires_ns, struct err *err)
{
	int64_t expires = 0, before = 0;
	bool has_expires, has_before;
	char text[TIME_TEXT_MAX];

	(void)a;
	if (!sv_eq(val_str(val_member_sv(claims, SV("iss"))), is->url))
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: verify token: oidc: id token issued by a different provider");
	if (!claim_time(claims, "exp", &expires, &has_expires) || !claim_time(claims, "nbf", &before, &has_before))
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: verify token: oidc: failed to unmarshal claims: a time is no number");
	/* One without an end has ended in 1970. */
	if (now_ns >= expires)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: verify token: oidc: token is expired (Token Expiry: %s)",
			       time_format(expires, false, text).p);
	if (has_before && now_ns + NOT_BEFORE_LEEWAY_S * NS_PER_SEC < before)
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: verify token: oidc: current time is before the nbf (not before) time: %s",
			       time_format(before, false, text).p);
	*ret_expires_ns = expires;
	return check_audience(is, claims, err);
}

/* --- expressions --- */

static int claims_eval(struct arena *a, const struct cel_program *p, const struct cel_value *in, uint64_t *budget,
		       const char *what, struct cel_value *ret, struct err *err)
{
	struct cel_run run = { .arena = a, .vars = in, .limit = CEL_LIMIT_CALL, .budget = budget };

	if (cel_eval(p, &run, ret) == CEL_DONE)
		return 0;
	return err_set(err, ERR_UNAUTHORIZED, "oidc: error evaluating %s: %.*s", what,
		       SV_ARG(sv_sub(run.error, 0, 1000)));
}

/* A text or a list of them, what is empty left out. */
static int claims_texts(struct arena *a, const struct cel_value *v, const char *what, struct sv **ret, size_t *ret_n,
			struct err *err)
{
	size_t n = v->kind == CEL_LIST ? cel_count(v) : 1;

	*ret = ARENA_ARRAY(a, struct sv, n + 2); /* room for system:authenticated */
	*ret_n = 0;
	if (v->kind == CEL_NULL)
		return 0;
	if (v->kind == CEL_STRING) {
		if (cel_text(v).n)
			(*ret)[(*ret_n)++] = cel_text(v);
		return 0;
	}
	for (size_t i = 0; v->kind == CEL_LIST && i < n; i++) {
		struct cel_value e = cel_at(a, v, i);

		if (e.kind != CEL_STRING)
			return err_set(
			    err, ERR_UNAUTHORIZED,
			    "oidc: error evaluating %s: expression must return a string or a list of strings", what);
		if (cel_text(&e).n)
			(*ret)[(*ret_n)++] = cel_text(&e);
	}
	if (v->kind != CEL_LIST)
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: error evaluating %s: expression must return a string or a list of strings", what);
	return 0;
}

/* --- mappings --- */

struct claims_in {
	struct arena *a;
	const struct val *claims;
	struct cel_value value; /* the same, for expressions */
	uint64_t budget;
};

static int claims_text(struct claims_in *c, const struct jwt_mapping *m, const char *plural, const char *what,
		       struct sv *ret, struct err *err)
{
	struct cel_value v;
	const struct val *claim;
	bool there;

	*ret = SV("");
	if (m->program) {
		_cleanup_free_ char *whole = xasprintf("%s claim expression", what);

		if (claims_eval(c->a, m->program, &c->value, &c->budget, whole, &v, err) < 0)
			return -1;
		if (v.kind != CEL_STRING)
			return err_set(err, ERR_UNAUTHORIZED,
				       "oidc: error evaluating %s claim expression: %s claim expression must return a "
				       "string",
				       what, what);
		*ret = cel_text(&v);
		return 0;
	}
	if (!m->claim.n)
		return 0;
	claim = val_member_sv(c->claims, m->claim);
	there = claim != NULL;
	if (val_type(claim) != VAL_STR)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: parse %s \"%.*s\": %s", plural, SV_ARG(m->claim),
			       there ? "it is no string" : "claim not present");
	*ret = m->prefix.n ? arena_svf(c->a, "%.*s%.*s", SV_ARG(m->prefix), SV_ARG(val_str(claim))) : val_str(claim);
	return 0;
}

/* An address that its issuer does not vouch for is nobody's name. */
static int claims_email(const struct claims_in *c, const struct jwt_issuer *is, struct err *err)
{
	const struct val *verified = val_member_sv(c->claims, SV("email_verified"));

	if (!sv_is(is->username.claim, "email") || !verified)
		return 0;
	if (val_type(verified) != VAL_BOOL)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: parse 'email_verified' claim: it is no boolean");
	return val_bool(verified) ? 0 : err_set(err, ERR_UNAUTHORIZED, "oidc: email not verified");
}

static int claims_groups(struct claims_in *c, const struct jwt_mapping *m, struct user_info *ret, struct err *err)
{
	const struct val *claim = m->claim.n ? val_member_sv(c->claims, m->claim) : NULL;
	struct cel_value v = cel_null();

	if (m->program) {
		if (claims_eval(c->a, m->program, &c->value, &c->budget, "group claim expression", &v, err) < 0)
			return -1;
		return claims_texts(c->a, &v, "group claim expression", &ret->groups, &ret->n_groups, err);
	}
	ret->groups = ARENA_ARRAY(c->a, struct sv, val_len(claim) + 2);
	ret->n_groups = 0;
	if (claim && val_type(claim) != VAL_STR && val_type(claim) != VAL_LIST && val_type(claim) != VAL_NULL)
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: parse groups claim \"%.*s\": it is no string and no list of them",
			       SV_ARG(m->claim));
	if (val_type(claim) == VAL_STR)
		ret->groups[ret->n_groups++] = val_str(claim);
	for (size_t i = 0; val_type(claim) == VAL_LIST && i < val_len(claim); i++) {
		const struct val *g = val_at(claim, i);

		if (val_type(g) != VAL_STR)
			return err_set(err, ERR_UNAUTHORIZED,
				       "oidc: parse groups claim \"%.*s\": it is no string and no list of them",
				       SV_ARG(m->claim));
		ret->groups[ret->n_groups++] = val_str(g);
	}
	for (size_t i = 0; m->prefix.n && i < ret->n_groups; i++)
		ret->groups[i] = arena_svf(c->a, "%.*s%.*s", SV_ARG(m->prefix), SV_ARG(ret->groups[i]));
	return 0;
}

static int claims_extra(struct claims_in *c, const struct jwt_issuer *is, struct user_info *ret, struct err *err)
{
	struct cel_value v;

	ret->extra = ARENA_ARRAY(c->a, struct extra_info, is->n_extra + 1);
	for (size_t i = 0; i < is->n_extra; i++) {
		struct extra_info *e = &ret->extra[ret->n_extra];

		e->key = is->extra[i].key;
		if (claims_eval(c->a, is->extra[i].program, &c->value, &c->budget, "extra claim expression", &v, err) <
			0 ||
		    claims_texts(c->a, &v, "extra claim expression", &e->values, &e->n_values, err) < 0)
			return -1;
		ret->n_extra += e->n_values > 0;
	}
	return 0;
}

/* --- rules --- */

static int rule_claim(const struct jwt_rule *r, const struct val *claims, struct err *err)
{
	const struct val *v = val_member_sv(claims, r->claim);

	if (!v)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: required claim %.*s not present in ID token",
			       SV_ARG(r->claim));
	if (val_type(v) != VAL_STR)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: parse claim %.*s: it is no string", SV_ARG(r->claim));
	if (sv_eq(val_str(v), r->required))
		return 0;
	return err_set(err, ERR_UNAUTHORIZED, "oidc: required claim %.*s value does not match. Got = %.*s, want = %.*s",
		       SV_ARG(r->claim), SV_ARG(sv_sub(val_str(v), 0, 200)), SV_ARG(r->required));
}

static int rule_holds(struct arena *a, const struct jwt_rule *r, const struct cel_value *in, uint64_t *budget,
		      const char *what, struct err *err)
{
	struct cel_value v;

	if (claims_eval(a, r->program, in, budget, what, &v, err) < 0)
		return -1;
	if (v.kind != CEL_BOOL)
		return err_set(err, ERR_UNAUTHORIZED,
			       "oidc: error evaluating %s: validation expression must return a bool", what);
	if (v.b)
		return 0;
	return err_set(err, ERR_UNAUTHORIZED, "oidc: error evaluating %s: validation expression '%.*s' failed%s%.*s",
		       what, SV_ARG(r->text), r->message.n ? ": " : "", SV_ARG(r->message));
}

static struct val *user_texts(struct arena *a, const struct sv *list, size_t n)
{
	struct val *out = val_new_list(a);

	for (size_t i = 0; i < n; i++)
		val_push(a, out, val_new_str_ref(a, list[i]));
	return out;
}

static const struct val *user_document(struct arena *a, const struct user_info *u)
{
	struct val *doc = val_new_map(a), *extra = val_new_map(a);

	val_set_str_sv(a, doc, SV("username"), u->name);
	val_set_str_sv(a, doc, SV("uid"), u->uid);
	val_set_sv(a, doc, SV("groups"), user_texts(a, u->groups, u->n_groups));
	for (size_t i = 0; i < u->n_extra; i++)
		val_set_sv(a, extra, u->extra[i].key, user_texts(a, u->extra[i].values, u->extra[i].n_values));
	val_set_sv(a, doc, SV("extra"), extra);
	return doc;
}

int jwt_user(const struct jwt_issuer *is, struct arena *a, const struct val *claims, struct user_info *ret,
	     struct err *err)
{
	struct claims_in c = { .a = a, .claims = claims, .budget = CEL_BUDGET_OBJECT };
	struct cel_value user;

	c.value = cel_from_doc(a, claims, is->claims_type);
	*ret = (struct user_info){ 0 };
	if (claims_text(&c, &is->username, "username claims", "username", &ret->name, err) < 0 ||
	    claims_email(&c, is, err) < 0 || claims_groups(&c, &is->groups, ret, err) < 0 ||
	    claims_text(&c, &is->uid, "uid claim", "uid", &ret->uid, err) < 0 || claims_extra(&c, is, ret, err) < 0)
		return -1;
	if (!ret->name.n)
		return err_set(err, ERR_UNAUTHORIZED, "oidc: the token names nobody: its username is empty");
	for (size_t i = 0; i < is->n_rules; i++)
		if (is->rules[i].claim.n && rule_claim(&is->rules[i], claims, err) < 0)
			return -1;
	for (size_t i = 0; i < is->n_rules; i++)
		if (is->rules[i].program &&
		    rule_holds(a, &is->rules[i], &c.value, &c.budget, "claim validation expression", err) < 0)
			return -1;
	if (!is->n_user_rules)
		return 0;
	user = cel_from_doc(a, user_document(a, ret), is->user_type);
	for (size_t i = 0; i < is->n_user_rules; i++)
		if (rule_holds(a, &is->user_rules[i], &user, &c.budget, "user info validation rule", err) < 0)
			return -1;
	return 0;
}
