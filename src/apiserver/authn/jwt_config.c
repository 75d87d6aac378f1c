/* Reading an AuthenticationConfiguration. */
#include "apiserver/authn/jwt_config.h"
#include "apiserver/authn/jwt_keys.h"
#include "base/budget.h"
#include "base/strmap.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/validate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define WRONG_SHOWN_MAX 100 /* errors that are told */

struct jwt_reader {
	struct arena *a;
	struct buf wrong; /* all errors, as a list of upstream's is printed */
	size_t n;
	struct sv disallowed;
	const struct cel_type *claims, *user;
	bool email, email_verified; /* expressions of this issuer look at claims.email, .email_verified */
};

/* --- errors --- */

static void _printf_(3, 4) jwt_wrong(struct jwt_reader *r, struct sv path, const char *fmt, ...)
{
	va_list ap;

	if (r->n++ >= WRONG_SHOWN_MAX)
		return;
	if (r->n > 1)
		buf_adds(&r->wrong, ", ");
	buf_printf(&r->wrong, "%.*s: ", SV_ARG(path));
	va_start(ap, fmt);
	buf_vprintf(&r->wrong, fmt, ap);
	va_end(ap);
}

static void jwt_invalid(struct jwt_reader *r, struct sv path, struct sv value, const char *why)
{
	jwt_wrong(r, path, "Invalid value: \"%.*s\": %s", SV_ARG(value), why);
}

static struct sv jwt_at(struct jwt_reader *r, struct sv path, const char *member)
{
	return arena_svf(r->a, "%.*s%s%s", SV_ARG(path), path.n ? "." : "", member);
}

static struct sv jwt_item(struct jwt_reader *r, struct sv path, size_t i)
{
	return arena_svf(r->a, "%.*s[%zu]", SV_ARG(path), i);
}

/* --- members --- */

static const struct val *jwt_member(const struct val *v, const char *name)
{
	const struct val *m = val_member_sv(v, sv_from(name));

	return val_type(m) == VAL_NULL ? NULL : m;
}

/* v is a map of no other members than those, each of the type that its letter says: s, b, m (map), l (list). */
static void jwt_shape(struct jwt_reader *r, const struct val *v, struct sv path, const char *const *members)
{
	static const struct {
		char letter;
		enum val_type type;
	} types[] = { { 's', VAL_STR }, { 'b', VAL_BOOL }, { 'm', VAL_MAP }, { 'l', VAL_LIST } };

	if (!v || val_type(v) == VAL_NULL)
		return;
	if (val_type(v) != VAL_MAP) {
		jwt_wrong(r, path, "Invalid value: must be an object");
		return;
	}
	for (struct val_iter it = val_iter(v); val_iter_next(&it);) {
		const char *const *m = members;

		while (*m && !sv_is(it.key, *m + 1))
			m++;
		if (!*m) {
			jwt_wrong(r, path.n ? path : SV("AuthenticationConfiguration"),
				  "strict decoding error: unknown field \"%.*s\"", SV_ARG(it.key));
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			if (types[i].letter == **m && val_type(it.value) != types[i].type &&
			    val_type(it.value) != VAL_NULL)
				jwt_wrong(r, jwt_at(r, path, *m + 1), "Invalid value: it is of type %s",
					  val_type_name(val_type(it.value)));
	}
}

static struct sv jwt_text(struct jwt_reader *r, const struct val *v, const char *name)
{
	return arena_sv(r->a, val_str(jwt_member(v, name)));
}

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
	struct cel_issues issues = CEL_ISSUES(r->a);
	struct cel_program *p = NULL;

	if (text.n > CEL_TEXT_MAX) {
		jwt_wrong(r, path, "Too long: may not be more than %d bytes", CEL_TEXT_MAX);
		return NULL;
	}
	p = cel_compile(&env, text, &issues);
	if (!p) {
		jwt_wrong(r, path, "Invalid value: \"%.*s\": compilation failed: %.*s", SV_ARG(text),
			  SV_ARG(cel_issues_text(r->a, &issues, text)));
	} else if (rule && cel_program_kind(p) != CEL_BOOL) {
		jwt_invalid(r, path, text, "must evaluate to bool");
	}
	if (!about_user)
		r->email_verified |= jwt_selects(text, "email_verified");
	return p;
}

/* --- the issuer --- */

static void jwt_read_url(struct jwt_reader *r, struct sv path, struct sv url)
{
	struct sv rest = url, authority;

	if (!sv_starts(url, SV("https://"))) {
		jwt_invalid(r, path, url, "URL scheme must be https");
		return;
	}
	rest = sv_sub(url, 8, url.n);
	authority = rest;
	for (size_t i = 0; i < rest.n; i++) {
		unsigned char c = (unsigned char)rest.p[i];

		if (c <= ' ' || c == 0x7f) {
			jwt_invalid(r, path, url, "net/url: invalid control character in URL");
			return;
		}
		if ((c == '/' || c == '?' || c == '#') && authority.n == rest.n)
			authority = sv_sub(rest, 0, i);
	}
	if (!authority.n)
		jwt_invalid(r, path, url, "URL must have a host");
	if (sv_find(authority, '@') >= 0)
		jwt_invalid(r, path, url, "URL must not contain a username or password");
	if (sv_find(rest, '?') >= 0)
		jwt_invalid(r, path, url, "URL must not contain a query");
	if (sv_find(rest, '#') >= 0)
		jwt_invalid(r, path, url, "URL must not contain a fragment");
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
	const struct val *list = jwt_member(issuer, "audiences");
	struct sv path = jwt_at(r, at, "audiences"), policy = jwt_text(r, issuer, "audienceMatchPolicy");

	if (!val_len(list)) {
		jwt_wrong(r, path, "Required value: at least one %.*s is required", SV_ARG(path));
		return;
	}
	i->audiences = ARENA_ARRAY(r->a, struct sv, val_len(list));
	VAL_EACH(list, v) {
		struct sv audience = arena_sv(r->a, val_str(v)), item = jwt_item(r, path, i->n_audiences);

		if (!audience.n)
			jwt_wrong(r, item, "Required value");
		else if (strmap_has(&seen, audience))
			jwt_wrong(r, item, "Duplicate value: \"%.*s\"", SV_ARG(audience));
		(void)strmap_set(&seen, audience, i);
		i->audiences[i->n_audiences++] = audience;
	}
	path = jwt_at(r, at, "audienceMatchPolicy");
	if (i->n_audiences > 1 && !sv_is(policy, "MatchAny"))
		jwt_invalid(r, path, policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
	if (i->n_audiences == 1 && policy.n && !sv_is(policy, "MatchAny"))
		jwt_invalid(r, path, policy, "audienceMatchPolicy must be empty or MatchAny for single audience");
}

static void jwt_read_issuer(struct jwt_reader *r, const struct val *issuer, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "surl",	     "sdiscoveryURL",	     "scertificateAuthority",
					       "laudiences", "saudienceMatchPolicy", "segressSelectorType",
					       NULL };
	struct sv path = jwt_at(r, at, "url"), egress = jwt_text(r, issuer, "egressSelectorType");

	jwt_shape(r, issuer, at, members);
	i->url = jwt_text(r, issuer, "url");
	i->discovery_url = jwt_text(r, issuer, "discoveryURL");
	i->ca_pem = jwt_text(r, issuer, "certificateAuthority");
	if (!i->url.n) {
		jwt_wrong(r, path, "Required value");
	} else {
		if (sv_eq(i->url, r->disallowed))
			jwt_wrong(r, path,
				  "Invalid value: \"%.*s\": URL must not overlap with disallowed issuers: [%.*s]",
				  SV_ARG(i->url), SV_ARG(r->disallowed));
		jwt_read_url(r, path, i->url);
	}
	path = jwt_at(r, at, "discoveryURL");
	if (i->discovery_url.n) {
		if (i->url.n && sv_eq(jwt_no_slash(i->url), jwt_no_slash(i->discovery_url)))
			jwt_invalid(r, path, i->discovery_url, "discoveryURL must be different from URL");
		jwt_read_url(r, path, i->discovery_url);
	}
	jwt_read_audiences(r, issuer, at, i);
	if (i->ca_pem.n && !jwt_pem_good(i->ca_pem))
		jwt_wrong(r, jwt_at(r, at, "certificateAuthority"),
			  "Invalid value: \"<omitted>\": data does not contain any valid RSA or ECDSA certificates");
	if (egress.n && !sv_is(egress, "controlplane") && !sv_is(egress, "cluster"))
		jwt_invalid(r, jwt_at(r, at, "egressSelectorType"), egress,
			    "egress selector must be either controlplane or cluster");
}

/* --- mappings --- */

static void jwt_read_mapping(struct jwt_reader *r, const struct val *m, struct sv at, bool required, bool prefixed,
			     struct jwt_mapping *ret)
{
	static const char *const members[] = { "sclaim", "sexpression", "sprefix", NULL }, *const plain[] = {
		"sclaim", "sexpression", NULL
	};
	struct sv text = jwt_text(r, m, "expression");

	jwt_shape(r, m, at, prefixed ? members : plain);
	ret->claim = jwt_text(r, m, "claim");
	ret->prefix = jwt_text(r, m, "prefix");
	if (ret->claim.n && text.n) {
		jwt_invalid(r, at, SV(""), "claim and expression can't both be set");
	} else if (text.n) {
		if (jwt_member(m, "prefix"))
			jwt_invalid(r, jwt_at(r, at, "prefix"), ret->prefix,
				    "may not be specified when expression is set");
		ret->program = jwt_compile(r, jwt_at(r, at, "expression"), text, false, false);
	} else if (ret->claim.n) {
		if (prefixed && !jwt_member(m, "prefix"))
			jwt_wrong(r, jwt_at(r, at, "prefix"),
				  "Required value: prefix is required when claim is set. It can be set to an empty "
				  "string to disable prefixing");
	} else if (required) {
		jwt_wrong(r, at, "Required value: claim or expression is required");
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
		jwt_wrong(r, path, "Required value");
		return;
	}
	if (slash <= 0 || (size_t)slash + 1 == key.n)
		jwt_invalid(r, path, key, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else if (fmt_dns_subdomain(domain))
		jwt_invalid(r, path, domain, fmt_dns_subdomain(domain));
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] >= 'A' && key.p[i] <= 'Z') {
			jwt_invalid(r, path, key, "must be lowercase");
			break;
		}
	if (jwt_reserved(domain))
		jwt_invalid(r, path, key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
}

static void jwt_read_extra(struct jwt_reader *r, const struct val *list, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "skey", "svalueExpression", NULL };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t n = 0;

	i->extra = ARENA_ARRAY(r->a, struct jwt_extra, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct jwt_extra *e = &i->extra[i->n_extra];
		struct sv item = jwt_item(r, at, n++), key_at = jwt_at(r, item, "key"),
			  text_at = jwt_at(r, item, "valueExpression");

		jwt_shape(r, v, item, members);
		e->key = jwt_text(r, v, "key");
		e->text = jwt_text(r, v, "valueExpression");
		jwt_read_extra_key(r, key_at, e->key);
		if (strmap_has(&seen, e->key)) {
			jwt_wrong(r, key_at, "Duplicate value: \"%.*s\"", SV_ARG(e->key));
			continue;
		}
		(void)strmap_set(&seen, e->key, e);
		if (!e->text.n) {
			jwt_wrong(r, text_at, "Required value");
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

	jwt_shape(r, v, at, about_user ? of_user : of_claims);
	rule->text = jwt_text(r, v, "expression");
	rule->message = jwt_text(r, v, "message");
	if (!about_user) {
		rule->claim = jwt_text(r, v, "claim");
		rule->required = jwt_text(r, v, "requiredValue");
	}
	path = jwt_at(r, at, rule->claim.n ? "claim" : "expression");
	if (rule->claim.n && rule->text.n) {
		jwt_invalid(r, at, rule->claim, "claim and expression can't both be set");
		return;
	}
	if (!rule->claim.n && !rule->text.n) {
		jwt_wrong(r, about_user ? path : at, "Required value%s",
			  about_user ? "" : ": claim or expression is required");
		return;
	}
	if (rule->claim.n && rule->message.n)
		jwt_invalid(r, jwt_at(r, at, "message"), rule->message, "may not be specified when claim is set");
	if (rule->text.n && rule->required.n)
		jwt_invalid(r, jwt_at(r, at, "requiredValue"), rule->required,
			    "may not be specified when expression is set");
	name = arena_svf(r->a, "%s:%.*s", rule->claim.n ? "claim" : "expression",
			 SV_ARG(rule->claim.n ? rule->claim : rule->text));
	if (strmap_has(seen, name)) {
		jwt_wrong(r, path, "Duplicate value: \"%.*s\"", SV_ARG(rule->claim.n ? rule->claim : rule->text));
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

		jwt_read_rule(r, v, jwt_item(r, at, i), about_user, &seen, &(*ret)[i]);
	}
}

/* --- all of it --- */

static void jwt_read_one(struct jwt_reader *r, const struct val *v, struct sv at, struct jwt_issuer *i)
{
	static const char *const members[] = { "missuer", "lclaimValidationRules", "mclaimMappings",
					       "luserValidationRules", NULL },
				 *const mappings[] = { "musername", "mgroups", "muid", "lextra", NULL };
	const struct val *m = jwt_member(v, "claimMappings"), *username = jwt_member(m, "username");
	struct sv m_at = jwt_at(r, at, "claimMappings"), text = val_str(jwt_member(username, "expression"));

	jwt_shape(r, v, at, members);
	jwt_shape(r, m, m_at, mappings);
	r->email_verified = false;
	r->email = jwt_selects(text, "email");
	jwt_read_issuer(r, jwt_member(v, "issuer"), jwt_at(r, at, "issuer"), i);
	jwt_read_rules(r, jwt_member(v, "claimValidationRules"), jwt_at(r, at, "claimValidationRules"), false,
		       &i->rules, &i->n_rules);
	jwt_read_mapping(r, username, jwt_at(r, m_at, "username"), true, true, &i->username);
	/* What follows does not count for it, but for extra. */
	bool verified = r->email_verified;
	jwt_read_mapping(r, jwt_member(m, "groups"), jwt_at(r, m_at, "groups"), false, true, &i->groups);
	jwt_read_mapping(r, jwt_member(m, "uid"), jwt_at(r, m_at, "uid"), false, false, &i->uid);
	r->email_verified = verified;
	jwt_read_extra(r, jwt_member(m, "extra"), jwt_at(r, m_at, "extra"), i);
	if (r->email && !r->email_verified)
		jwt_invalid(r, jwt_at(r, m_at, "username.expression"), text,
			    "claims.email_verified must be used in claimMappings.username.expression or "
			    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
			    "claims.email is used in claimMappings.username.expression");
	jwt_read_rules(r, jwt_member(v, "userValidationRules"), jwt_at(r, at, "userValidationRules"), true,
		       &i->user_rules, &i->n_user_rules);
}

static void jwt_read_anonymous(struct jwt_reader *r, const struct val *v, struct jwt_config *c)
{
	static const char *const members[] = { "benabled", "lconditions", NULL }, *const of_one[] = { "spath", NULL };
	const struct val *list = jwt_member(v, "conditions");

	if (!v)
		return;
	jwt_shape(r, v, SV("anonymous"), members);
	c->anonymous_set = true;
	c->anonymous = val_bool(jwt_member(v, "enabled"));
	c->anonymous_paths = ARENA_ARRAY(r->a, struct sv, val_len(list) + 1);
	VAL_EACH(list, one) {
		jwt_shape(r, one, jwt_item(r, SV("anonymous.conditions"), c->n_anonymous_paths), of_one);
		c->anonymous_paths[c->n_anonymous_paths++] = jwt_text(r, one, "path");
	}
	if (!c->anonymous && c->n_anonymous_paths)
		jwt_wrong(r, SV("anonymous.conditions"),
			  "Invalid value: enabled should be set to true when conditions are defined");
}

static void jwt_read_all(struct jwt_reader *r, const struct val *doc, struct jwt_config *c)
{
	static const char *const members[] = { "sapiVersion", "skind", "ljwt", "manonymous", NULL };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT, seen_discovery = STRMAP_INIT;
	const struct val *list = jwt_member(doc, "jwt");

	jwt_shape(r, doc, SV(""), members);
	if (val_len(list) > JWT_ISSUERS_MAX) {
		jwt_wrong(r, SV("jwt"), "Too many: %zu: must have at most %d items", val_len(list), JWT_ISSUERS_MAX);
		return;
	}
	c->issuers = ARENA_ARRAY(r->a, struct jwt_issuer, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct sv at = jwt_item(r, SV("jwt"), c->n_issuers);
		struct jwt_issuer *i = &c->issuers[c->n_issuers++];

		jwt_read_one(r, v, at, i);
		if (i->url.n && strmap_has(&seen, i->url))
			jwt_wrong(r, jwt_at(r, at, "issuer.url"), "Duplicate value: \"%.*s\"", SV_ARG(i->url));
		if (i->discovery_url.n && strmap_has(&seen_discovery, i->discovery_url))
			jwt_wrong(r, jwt_at(r, at, "issuer.discoveryURL"), "Duplicate value: \"%.*s\"",
				  SV_ARG(i->discovery_url));
		(void)strmap_set(&seen, i->url, i);
		(void)strmap_set(&seen_discovery, i->discovery_url, i);
	}
	jwt_read_anonymous(r, jwt_member(doc, "anonymous"), c);
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

static const struct val *jwt_document(struct arena *a, struct sv text, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc;

	if (text.n > JWT_CONFIG_MAX) {
		err_set(err, ERR_INVALID, "it is longer than %zu bytes", JWT_CONFIG_MAX);
		return NULL;
	}
	doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	if (!doc)
		return NULL;
	if (val_is(jwt_member(doc, "kind"), "AuthenticationConfiguration") &&
	    (val_is(jwt_member(doc, "apiVersion"), "apiserver.config.k8s.io/v1") ||
	     val_is(jwt_member(doc, "apiVersion"), "apiserver.config.k8s.io/v1beta1")))
		return doc;
	err_set(err, ERR_INVALID,
		"no kind \"%.*s\" is registered for version \"%.*s\": it must be an AuthenticationConfiguration of "
		"apiserver.config.k8s.io/v1",
		SV_ARG(val_str(jwt_member(doc, "kind"))), SV_ARG(val_str(jwt_member(doc, "apiVersion"))));
	return NULL;
}

struct jwt_config *jwt_config_parse(struct sv text, struct sv disallowed, unsigned algs, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT; /* of the text */
	_cleanup_(jwt_config_unrefp) struct jwt_config *c = xcalloc(1, sizeof(*c));
	struct jwt_reader r = { .a = &c->arena, .wrong = BUF_INIT, .disallowed = disallowed };
	const struct val *doc;
	struct jwt_config *good = c;

	atomic_init(&c->refs, 1);
	doc = jwt_document(&a, text, err);
	if (!doc)
		return NULL;
	jwt_types(&r);
	jwt_read_all(&r, doc, c);
	if (r.n) {
		err_set(err, ERR_INVALID, r.n > 1 ? "[%.*s]" : "%.*s", SV_ARG(buf_sv(&r.wrong)));
		buf_release(&r.wrong);
		return NULL;
	}
	buf_release(&r.wrong);
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
