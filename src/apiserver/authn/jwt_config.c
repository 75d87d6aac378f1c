/* Reading an AuthenticationConfiguration. */
#include "apiserver/authn/jwt_config.h"
#include "apiserver/authn/jwt_keys.h"
#include "apiserver/config_reader.h"
#include "base/strmap.h"
#include "object/validate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct jwt_reader {
	struct arena *a;
	struct conf *conf; /* its arena, and the errors */
	const struct sv *disallowed;
	size_t n_disallowed;
	const struct cel_type *claims, *user;
	bool email, email_verified; /* expressions of this issuer look at claims.email, .email_verified */
};

/* --- expressions --- */

/* The text selects that member of `claims`. Where it stands in a string it counts as well, which asks for more at
 * worst: a name that is verified, too. */
static bool jwt_selects(struct sv text, const char *member)
{
	size_t n = strlen(member);

	for (size_t i = 0; i + n <= text.n; i++) {
		size_t back = i;
		char next = i + n < text.n ? text.p[i + n] : ' ';

		if (memcmp(text.p + i, member, n) != 0 || next == '_' || (next >= '0' && next <= '9') ||
		    (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z'))
			continue;
		while (back && strchr(" \t\r\n.?", text.p[back - 1]))
			back--;
		if (back < i && back >= 6 && memcmp(text.p + back - 6, "claims", 6) == 0)
			return true;
	}
	return false;
}

static struct cel_program *jwt_compile(struct jwt_reader *r, struct sv path, struct sv text, bool about_user, bool rule)
{
	const struct cel_var var = { about_user ? SV("user") : SV("claims"), about_user ? r->user : r->claims };
	const struct cel_env env = { .release = CEL_V(1, 37), .vars = &var, .n_vars = 1 };
	struct cel_program *p = conf_compile(r->conf, path, &env, text, rule);

	if (!about_user)
		r->email_verified |= jwt_selects(text, "email_verified");
	return p;
}

/* --- the issuer --- */

static void jwt_read_url(struct jwt_reader *r, struct sv path, struct sv url)
{
	struct sv rest = url, authority;

	if (!sv_starts(url, SV("https://"))) {
		conf_invalid(r->conf, path, url, "URL scheme must be https");
		return;
	}
	rest = sv_sub(url, 8, url.n);
	authority = rest;
	for (size_t i = 0; i < rest.n; i++) {
		unsigned char c = (unsigned char)rest.p[i];

		if (c <= ' ' || c == 0x7f) {
			conf_invalid(r->conf, path, url, "net/url: invalid control character in URL");
			return;
		}
		if ((c == '/' || c == '?' || c == '#') && authority.n == rest.n)
			authority = sv_sub(rest, 0, i);
	}
	if (!authority.n)
		conf_invalid(r->conf, path, url, "URL must have a host");
	if (sv_find(authority, '@') >= 0)
		conf_invalid(r->conf, path, url, "URL must not contain a username or password");
	if (sv_find(rest, '?') >= 0)
		conf_invalid(r->conf, path, url, "URL must not contain a query");
	if (sv_find(rest, '#') >= 0)
		conf_invalid(r->conf, path, url, "URL must not contain a fragment");
}

static struct sv jwt_no_slash(struct sv s)
{
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

/* At least one certificate, and none that cannot be read. */
static bool jwt_pem_good(struct sv pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x = NULL;
	size_t n = 0;

	for (; bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)); n++)
		X509_free(x);
	BIO_free(bio);
	ERR_clear_error();
	return n > 0;
}

static void jwt_read_audiences(struct jwt_reader *r, const struct val *issuer, struct sv at, struct jwt_issuer *i)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	const struct val *list = conf_member(issuer, "audiences");
	struct sv path = conf_at(r->conf, at, "audiences"), policy = conf_text(r->conf, issuer, "audienceMatchPolicy");

	if (!val_len(list)) {
		conf_wrong(r->conf, path, "Required value: at least one %.*s is required", SV_ARG(path));
		return;
	}
	i->audiences = ARENA_ARRAY(r->a, struct sv, val_len(list));
	VAL_EACH(list, v) {
		struct sv audience = arena_sv(r->a, val_str(v)), item = conf_item(r->conf, path, i->n_audiences);

		if (!audience.n)
			conf_wrong(r->conf, item, "Required value");
		else if (strmap_has(&seen, audience))
			conf_wrong(r->conf, item, "Duplicate value: \"%.*s\"", SV_ARG(audience));
		(void)strmap_set(&seen, audience, i);
		i->audiences[i->n_audiences++] = audience;
	}
	path = conf_at(r->conf, at, "audienceMatchPolicy");
	if (i->n_audiences > 1 && !sv_is(policy, "MatchAny"))
		conf_invalid(r->conf, path, policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
	if (i->n_audiences == 1 && policy.n && !sv_is(policy, "MatchAny"))
		conf_invalid(r->conf, path, policy,
			     "audienceMatchPolicy must be empty or MatchAny for single audience");
}

/* The cluster's own tokens are never somebody else's. */
static void jwt_check_disallowed(struct jwt_reader *r, struct sv path, struct sv url)
{
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	bool bad = false;

	for (size_t i = 0; i < r->n_disallowed; i++) {
		buf_printf(&all, "%s%.*s", i ? " " : "", SV_ARG(r->disallowed[i]));
		bad = bad || sv_eq(url, r->disallowed[i]);
	}
	if (bad)
		conf_wrong(r->conf, path, "Invalid value: \"%.*s\": URL must not overlap with disallowed issuers: [%s]",
			   SV_ARG(url), buf_cstr(&all));
}

static void jwt_read_issuer(struct jwt_reader *r, const struct val *issuer, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "surl",	     "sdiscoveryURL",	     "scertificateAuthority",
					       "laudiences", "saudienceMatchPolicy", "segressSelectorType",
					       NULL };
	struct sv path = conf_at(r->conf, at, "url"), egress = conf_text(r->conf, issuer, "egressSelectorType");

	conf_shape(r->conf, issuer, at, members);
	i->url = conf_text(r->conf, issuer, "url");
	i->discovery_url = conf_text(r->conf, issuer, "discoveryURL");
	i->ca_pem = conf_text(r->conf, issuer, "certificateAuthority");
	if (!i->url.n) {
		conf_wrong(r->conf, path, "Required value");
	} else {
		jwt_check_disallowed(r, path, i->url);
		jwt_read_url(r, path, i->url);
	}
	path = conf_at(r->conf, at, "discoveryURL");
	if (i->discovery_url.n) {
		if (i->url.n && sv_eq(jwt_no_slash(i->url), jwt_no_slash(i->discovery_url)))
			conf_invalid(r->conf, path, i->discovery_url, "discoveryURL must be different from URL");
		jwt_read_url(r, path, i->discovery_url);
	}
	jwt_read_audiences(r, issuer, at, i);
	if (i->ca_pem.n && !jwt_pem_good(i->ca_pem))
		conf_wrong(r->conf, conf_at(r->conf, at, "certificateAuthority"),
			   "Invalid value: \"<omitted>\": data does not contain any valid RSA or ECDSA certificates");
	if (egress.n && !sv_is(egress, "controlplane") && !sv_is(egress, "cluster"))
		conf_invalid(r->conf, conf_at(r->conf, at, "egressSelectorType"), egress,
			     "egress selector must be either controlplane or cluster");
}

/* --- mappings --- */

static void jwt_read_mapping(struct jwt_reader *r, const struct val *m, struct sv at, bool required, bool prefixed,
			     struct jwt_mapping *ret)
{
	static const char *const members[] = { "sclaim", "sexpression", "sprefix", NULL }, *const plain[] = {
		"sclaim", "sexpression", NULL
	};
	struct sv text = conf_text(r->conf, m, "expression");

	conf_shape(r->conf, m, at, prefixed ? members : plain);
	ret->claim = conf_text(r->conf, m, "claim");
	ret->prefix = conf_text(r->conf, m, "prefix");
	if (ret->claim.n && text.n) {
		conf_invalid(r->conf, at, SV(""), "claim and expression can't both be set");
	} else if (text.n) {
		if (conf_member(m, "prefix"))
			conf_invalid(r->conf, conf_at(r->conf, at, "prefix"), ret->prefix,
				     "may not be specified when expression is set");
		ret->program = jwt_compile(r, conf_at(r->conf, at, "expression"), text, false, false);
	} else if (ret->claim.n) {
		if (prefixed && !conf_member(m, "prefix"))
			conf_wrong(r->conf, conf_at(r->conf, at, "prefix"),
				   "Required value: prefix is required when claim is set. It can be set to an empty "
				   "string to disable prefixing");
	} else if (required) {
		conf_wrong(r->conf, at, "Required value: claim or expression is required");
	}
}

static bool jwt_reserved(struct sv domain)
{
	return sv_is(domain, "kubernetes.io") || sv_ends(domain, SV(".kubernetes.io")) || sv_is(domain, "k8s.io") ||
	       sv_ends(domain, SV(".k8s.io"));
}

static void jwt_read_extra_key(struct jwt_reader *r, struct sv path, struct sv key)
{
	ssize_t slash = sv_find(key, '/');
	struct sv domain = slash < 0 ? SV("") : sv_sub(key, 0, (size_t)slash);

	if (!key.n) {
		conf_wrong(r->conf, path, "Required value");
		return;
	}
	if (slash <= 0 || (size_t)slash + 1 == key.n)
		conf_invalid(r->conf, path, key, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else if (fmt_dns_subdomain(domain))
		conf_invalid(r->conf, path, domain, fmt_dns_subdomain(domain));
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] >= 'A' && key.p[i] <= 'Z') {
			conf_invalid(r->conf, path, key, "must be lowercase");
			break;
		}
	if (jwt_reserved(domain))
		conf_invalid(r->conf, path, key,
			     "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
}

static void jwt_read_extra(struct jwt_reader *r, const struct val *list, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "skey", "svalueExpression", NULL };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t n = 0;

	i->extra = ARENA_ARRAY(r->a, struct jwt_extra, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct jwt_extra *e = &i->extra[i->n_extra];
		struct sv item = conf_item(r->conf, at, n++), key_at = conf_at(r->conf, item, "key"),
			  text_at = conf_at(r->conf, item, "valueExpression");

		conf_shape(r->conf, v, item, members);
		e->key = conf_text(r->conf, v, "key");
		e->text = conf_text(r->conf, v, "valueExpression");
		jwt_read_extra_key(r, key_at, e->key);
		if (strmap_has(&seen, e->key)) {
			conf_wrong(r->conf, key_at, "Duplicate value: \"%.*s\"", SV_ARG(e->key));
			continue;
		}
		(void)strmap_set(&seen, e->key, e);
		if (!e->text.n) {
			conf_wrong(r->conf, text_at, "Required value");
			continue;
		}
		e->program = jwt_compile(r, text_at, e->text, false, false);
		i->n_extra++;
	}
}

/* --- rules --- */

static void jwt_read_rule(struct jwt_reader *r, const struct val *v, struct sv at, bool about_user, struct strmap *seen,
			  struct jwt_rule *rule)
{
	static const char *const of_claims[] = { "sclaim", "srequiredValue", "sexpression", "smessage", NULL },
				 *const of_user[] = { "sexpression", "smessage", NULL };
	struct sv name, path;

	conf_shape(r->conf, v, at, about_user ? of_user : of_claims);
	rule->text = conf_text(r->conf, v, "expression");
	rule->message = conf_text(r->conf, v, "message");
	if (!about_user) {
		rule->claim = conf_text(r->conf, v, "claim");
		rule->required = conf_text(r->conf, v, "requiredValue");
	}
	path = conf_at(r->conf, at, rule->claim.n ? "claim" : "expression");
	if (rule->claim.n && rule->text.n) {
		conf_invalid(r->conf, at, rule->claim, "claim and expression can't both be set");
		return;
	}
	if (!rule->claim.n && !rule->text.n) {
		conf_wrong(r->conf, about_user ? path : at, "Required value%s",
			   about_user ? "" : ": claim or expression is required");
		return;
	}
	if (rule->claim.n && rule->message.n)
		conf_invalid(r->conf, conf_at(r->conf, at, "message"), rule->message,
			     "may not be specified when claim is set");
	if (rule->text.n && rule->required.n)
		conf_invalid(r->conf, conf_at(r->conf, at, "requiredValue"), rule->required,
			     "may not be specified when expression is set");
	name = arena_svf(r->a, "%s:%.*s", rule->claim.n ? "claim" : "expression",
			 SV_ARG(rule->claim.n ? rule->claim : rule->text));
	if (strmap_has(seen, name)) {
		conf_wrong(r->conf, path, "Duplicate value: \"%.*s\"",
			   SV_ARG(rule->claim.n ? rule->claim : rule->text));
		return;
	}
	(void)strmap_set(seen, name, rule);
	if (rule->text.n)
		rule->program = jwt_compile(r, path, rule->text, about_user, true);
}

static void jwt_read_rules(struct jwt_reader *r, const struct val *list, struct sv at, bool about_user,
			   struct jwt_rule **ret, size_t *ret_n)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	*ret = ARENA_ARRAY(r->a, struct jwt_rule, val_len(list) + 1);
	*ret_n = 0;
	VAL_EACH(list, v) {
		size_t i = (*ret_n)++;

		jwt_read_rule(r, v, conf_item(r->conf, at, i), about_user, &seen, &(*ret)[i]);
	}
}

/* --- all of it --- */

static void jwt_read_one(struct jwt_reader *r, const struct val *v, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "missuer", "lclaimValidationRules", "mclaimMappings",
					       "luserValidationRules", NULL },
				 *const mappings[] = { "musername", "mgroups", "muid", "lextra", NULL };
	const struct val *m = conf_member(v, "claimMappings"), *username = conf_member(m, "username");
	struct sv m_at = conf_at(r->conf, at, "claimMappings"), text = val_str(conf_member(username, "expression"));

	conf_shape(r->conf, v, at, members);
	conf_shape(r->conf, m, m_at, mappings);
	r->email_verified = false;
	r->email = jwt_selects(text, "email");
	jwt_read_issuer(r, conf_member(v, "issuer"), conf_at(r->conf, at, "issuer"), i);
	jwt_read_rules(r, conf_member(v, "claimValidationRules"), conf_at(r->conf, at, "claimValidationRules"), false,
		       &i->rules, &i->n_rules);
	jwt_read_mapping(r, username, conf_at(r->conf, m_at, "username"), true, true, &i->username);
	/* What follows does not count for it, but for extra. */
	bool verified = r->email_verified;
	jwt_read_mapping(r, conf_member(m, "groups"), conf_at(r->conf, m_at, "groups"), false, true, &i->groups);
	jwt_read_mapping(r, conf_member(m, "uid"), conf_at(r->conf, m_at, "uid"), false, false, &i->uid);
	r->email_verified = verified;
	jwt_read_extra(r, conf_member(m, "extra"), conf_at(r->conf, m_at, "extra"), i);
	if (r->email && !r->email_verified)
		conf_invalid(r->conf, conf_at(r->conf, m_at, "username.expression"), text,
			     "claims.email_verified must be used in claimMappings.username.expression or "
			     "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
			     "claims.email is used in claimMappings.username.expression");
	jwt_read_rules(r, conf_member(v, "userValidationRules"), conf_at(r->conf, at, "userValidationRules"), true,
		       &i->user_rules, &i->n_user_rules);
}

static void jwt_read_anonymous(struct jwt_reader *r, const struct val *v, struct jwt_config *c)
{
	static const char *const members[] = { "benabled", "lconditions", NULL }, *const of_one[] = { "spath", NULL };
	const struct val *list = conf_member(v, "conditions");

	if (!v)
		return;
	conf_shape(r->conf, v, SV("anonymous"), members);
	c->anonymous_set = true;
	c->anonymous = val_bool(conf_member(v, "enabled"));
	c->anonymous_paths = ARENA_ARRAY(r->a, struct sv, val_len(list) + 1);
	VAL_EACH(list, one) {
		conf_shape(r->conf, one, conf_item(r->conf, SV("anonymous.conditions"), c->n_anonymous_paths), of_one);
		c->anonymous_paths[c->n_anonymous_paths++] = conf_text(r->conf, one, "path");
	}
	if (!c->anonymous && c->n_anonymous_paths)
		conf_wrong(r->conf, SV("anonymous.conditions"),
			   "Invalid value: enabled should be set to true when conditions are defined");
}

static void jwt_read_all(struct jwt_reader *r, const struct val *doc, struct jwt_config *c)
{
	static const char *const members[] = { "sapiVersion", "skind", "ljwt", "manonymous", NULL };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT, seen_discovery = STRMAP_INIT;
	const struct val *list = conf_member(doc, "jwt");

	conf_shape(r->conf, doc, SV(""), members);
	if (val_len(list) > JWT_ISSUERS_MAX) {
		conf_wrong(r->conf, SV("jwt"), "Too many: %zu: must have at most %d items", val_len(list),
			   JWT_ISSUERS_MAX);
		return;
	}
	c->issuers = ARENA_ARRAY(r->a, struct jwt_issuer, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct sv at = conf_item(r->conf, SV("jwt"), c->n_issuers);
		struct jwt_issuer *i = &c->issuers[c->n_issuers++];

		jwt_read_one(r, v, at, i);
		if (i->url.n && strmap_has(&seen, i->url))
			conf_wrong(r->conf, conf_at(r->conf, at, "issuer.url"), "Duplicate value: \"%.*s\"",
				   SV_ARG(i->url));
		if (i->discovery_url.n && strmap_has(&seen_discovery, i->discovery_url))
			conf_wrong(r->conf, conf_at(r->conf, at, "issuer.discoveryURL"), "Duplicate value: \"%.*s\"",
				   SV_ARG(i->discovery_url));
		(void)strmap_set(&seen, i->url, i);
		(void)strmap_set(&seen_discovery, i->discovery_url, i);
	}
	jwt_read_anonymous(r, conf_member(doc, "anonymous"), c);
}

static void jwt_types(struct jwt_reader *r)
{
	struct cel_field *f = ARENA_ARRAY(r->a, struct cel_field, 4);
	const struct cel_type *list = &cel_t_list_string;

	f[0] = (struct cel_field){ .name = SV("extra"),
				   .key = SV("extra"),
				   .type = cel_type_map(r->a, &cel_t_string, list) };
	f[1] = (struct cel_field){ .name = SV("groups"), .key = SV("groups"), .type = list };
	f[2] = (struct cel_field){ .name = SV("uid"), .key = SV("uid"), .type = &cel_t_string };
	f[3] = (struct cel_field){ .name = SV("username"), .key = SV("username"), .type = &cel_t_string };
	r->user = cel_type_object(r->a, SV("kubernetes.UserInfo"), f, 4);
	r->claims = cel_type_map(r->a, &cel_t_string, &cel_t_dyn);
}

struct jwt_config *jwt_config_parse(struct sv text, const struct sv *disallowed, size_t n_disallowed, unsigned algs,
				    struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT; /* of the text */
	_cleanup_(jwt_config_unrefp) struct jwt_config *c = xcalloc(1, sizeof(*c));
	_cleanup_(conf_release) struct conf conf = { .a = &c->arena, .kind = "AuthenticationConfiguration" };
	struct jwt_reader r = { .a = &c->arena, .conf = &conf, .disallowed = disallowed, .n_disallowed = n_disallowed };
	const struct val *doc;
	struct jwt_config *good = c;

	atomic_init(&c->refs, 1);
	doc = text.n > JWT_CONFIG_MAX ? NULL : conf_document(&conf, &a, text, err);
	if (text.n > JWT_CONFIG_MAX)
		err_set(err, ERR_INVALID, "it is longer than %zu bytes", JWT_CONFIG_MAX);
	if (!doc)
		return NULL;
	jwt_types(&r);
	jwt_read_all(&r, doc, c);
	if (conf_end(&conf, err) < 0)
		return NULL;
	for (size_t i = 0; i < c->n_issuers; i++) {
		struct jwt_issuer *is = &c->issuers[i];

		is->algs = algs;
		is->claims_type = r.claims;
		is->user_type = r.user;
		is->keys = jwt_keys_new(is->url, is->discovery_url, is->ca_pem);
	}
	c = NULL;
	return good;
}

struct jwt_config *jwt_config_ref(struct jwt_config *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

static void jwt_rules_release(struct jwt_rule *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cel_program_unref(r[i].program);
}

struct jwt_config *jwt_config_unref(struct jwt_config *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < c->n_issuers; i++) {
		struct jwt_issuer *is = &c->issuers[i];

		cel_program_unref(is->username.program);
		cel_program_unref(is->groups.program);
		cel_program_unref(is->uid.program);
		for (size_t k = 0; k < is->n_extra; k++)
			cel_program_unref(is->extra[k].program);
		jwt_rules_release(is->rules, is->n_rules);
		jwt_rules_release(is->user_rules, is->n_user_rules);
		jwt_keys_unref(is->keys);
	}
	arena_release(&c->arena);
	free(c);
	return NULL;
}
