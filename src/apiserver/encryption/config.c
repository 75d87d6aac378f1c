/* The file: which resources, which providers, which keys. Every complaint names the place, none shows a key. */
#include "apiserver/encryption/encryption-internal.h"
#include "base/b64.h"
#include "base/env.h"
#include "base/timefmt.h"
#include "codec/yaml.h"

#define NAMES_MAX 1000

static const char *const cipher_names[_CIPHER_MAX] = { "identity", "aesgcm", "aescbc", "secretbox", "kms" };

static int enc_known_names(const struct val *v, const char *at, const char *const *names, size_t n, struct err *err)
{
	if (val_type(v) != VAL_MAP)
		return err_set(err, ERR_INVALID, "%s: Required value", at);
	VAL_EACH_MEMBER(v, m) {
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known |= sv_is(m.key, names[i]);
		if (!known)
			return err_set(err, ERR_INVALID, "strict decoding error: unknown field \"%s.%.*s\"", at,
				       SV_ARG(m.key));
	}
	return 0;
}

static int enc_read_key(struct arena *a, enum cipher c, const struct val *v, const char *at, struct enc_key *k,
			struct err *err)
{
	static const char *const names[] = { "name", "secret" };
	struct sv name = val_str(val_member_sv(v, SV("name"))), secret = val_str(val_member_sv(v, SV("secret"))), raw;
	bool box = c == CIPHER_SECRETBOX;

	if (enc_known_names(v, at, names, ARRAY_LEN(names), err) < 0)
		return -1;
	if (!name.n)
		return err_set(err, ERR_INVALID, "%s.name: Required value: name is mandatory for a key", at);
	if (sv_find(name, ':') >= 0)
		return err_set(err, ERR_INVALID, "%s.name: Invalid value: \"%.*s\": it may hold no colon", at,
			       SV_ARG(name));
	if (!secret.n)
		return err_set(err, ERR_INVALID, "%s.secret: Required value: secret is mandatory for a key", at);
	if (!b64_decode(a, secret, &raw))
		return err_set(err, ERR_INVALID,
			       "%s.secret: Invalid value: \"REDACTED\": secrets must be base64 encoded", at);
	if (box ? raw.n != 32 : raw.n != 16 && raw.n != 24 && raw.n != 32) {
		size_t n = raw.n;

		explicit_bzero((void *)(uintptr_t)raw.p, raw.n);
		return err_set(err, ERR_INVALID,
			       "%s.secret: Invalid value: \"REDACTED\": secret is not of the expected length, got %zu, "
			       "expected one of %s",
			       at, n, box ? "[32]" : "[16 24 32]");
	}
	*k = (struct enc_key){ .cipher = c,
			       .prefix = arena_printf(a, "k8s:enc:%s:v1:%.*s:", cipher_names[c], SV_ARG(name)),
			       .n = raw.n };
	memcpy(k->bytes, raw.p, raw.n);
	explicit_bzero((void *)(uintptr_t)raw.p, raw.n);
	return 0;
}

#define KMS_TIMEOUT_NS (3 * NS_PER_SEC)

static int enc_read_kms(struct arena *a, const struct val *v, const char *at, struct enc_key *k, struct err *err)
{
	static const char *const names[] = { "apiVersion", "name", "cachesize", "endpoint", "timeout" };
	const struct val *timeout = val_member_sv(v, SV("timeout"));
	struct sv version = val_str(val_member_sv(v, SV("apiVersion"))), name = val_str(val_member_sv(v, SV("name"))),
		  endpoint = val_str(val_member_sv(v, SV("endpoint")));

	if (enc_known_names(v, at, names, ARRAY_LEN(names), err) < 0)
		return -1;
	*k = (struct enc_key){ .cipher = CIPHER_KMS, .timeout_ns = KMS_TIMEOUT_NS };
	if (!version.n || sv_is(version, "v1"))
		return err_set(
		    err, ERR_INVALID,
		    "%s.apiVersion: Invalid value: \"v1\": KMSv1 is deprecated and will only receive security "
		    "updates going forward. Use KMSv2 instead",
		    at);
	if (!sv_is(version, "v2"))
		return err_set(err, ERR_INVALID,
			       "%s.apiVersion: Invalid value: \"%.*s\": unsupported apiVersion %.*s "
			       "for KMS provider, only v1 and v2 are supported",
			       at, SV_ARG(version), SV_ARG(version));
	if (!name.n)
		return err_set(err, ERR_INVALID, "%s.name: Required value: name is a required field", at);
	if (sv_find(name, ':') >= 0)
		return err_set(err, ERR_INVALID, "%s.name: Invalid value: \"%.*s\": should not contain ':'", at,
			       SV_ARG(name));
	if (val_member_sv(v, SV("cachesize")))
		return err_set(err, ERR_INVALID, "%s.cachesize: Invalid value: cachesize is not supported in v2", at);
	if (timeout && (!duration_parse(val_str(timeout), &k->timeout_ns) || k->timeout_ns <= 0))
		return err_set(err, ERR_INVALID, "%s.timeout: Invalid value: \"%.*s\": should be a positive value", at,
			       SV_ARG(val_str(timeout)));
	if (!endpoint.n)
		return err_set(err, ERR_INVALID, "%s.endpoint: Required value: endpoint is a required field", at);
	if (!sv_starts(endpoint, SV("unix://")) || endpoint.n < 9 || endpoint.n > 100)
		return err_set(
		    err, ERR_INVALID,
		    "%s.endpoint: Invalid value: \"%.*s\": unsupported scheme for KMS provider, only unix is "
		    "supported",
		    at, SV_ARG(endpoint));
	k->kms_name = arena_cstr(a, name);
	k->endpoint = arena_cstr(a, endpoint);
	k->prefix = arena_printf(a, "k8s:enc:kms:v2:%s:", k->kms_name);
	return 0;
}

static int enc_read_provider(struct arena *a, const struct val *v, const char *at, struct enc_rule *r, struct err *err)
{
	static const char *const list_names[] = { "keys" };
	const struct val *said = NULL, *keys;
	enum cipher c = _CIPHER_MAX;

	if (val_len(v) > 1)
		return err_set(err, ERR_INVALID,
			       "%s: Invalid value: more than one provider specified in a single element, should split "
			       "into different list elements",
			       at);
	VAL_EACH_MEMBER(v, m) {
		for (enum cipher i = CIPHER_IDENTITY; i < _CIPHER_MAX; i++)
			if (sv_is(m.key, cipher_names[i])) {
				c = i;
				said = m.value;
			}
	}
	if (c == _CIPHER_MAX)
		return err_set(err, ERR_INVALID,
			       "%s: Required value: provider does not contain any of the expected providers: KMS, "
			       "AESGCM, AESCBC, Secretbox, Identity",
			       at);
	if (enc_usable(c, err) < 0)
		return err_wrap(err, "%s.%s", at, cipher_names[c]);
	if (c == CIPHER_IDENTITY) {
		r->keys[r->n_keys++] = (struct enc_key){ .cipher = c, .prefix = "" };
		return 0;
	}
	at = arena_printf(a, "%s.%s", at, cipher_names[c]);
	if (c == CIPHER_KMS)
		return enc_read_kms(a, said, at, &r->keys[r->n_keys++], err);
	if (enc_known_names(said, at, list_names, 1, err) < 0)
		return -1;
	keys = val_member_sv(said, SV("keys"));
	if (!val_len(keys))
		return err_set(err, ERR_INVALID, "%s.keys: Required value: at least one keys is required", at);
	for (size_t i = 0; i < val_len(keys); i++)
		if (enc_read_key(a, c, val_at(keys, i), arena_printf(a, "%s.keys[%zu]", at, i), &r->keys[r->n_keys++],
				 err) < 0)
			return -1;
	return 0;
}

static bool enc_matches(struct sv pattern, struct sv group, struct sv plural)
{
	struct sv name, rest = pattern;

	if (sv_is(pattern, "*.*"))
		return true;
	(void)sv_split(&rest, '.', &name);
	return sv_eq(rest.p ? rest : SV(""), group) && (sv_is(name, "*") || sv_eq(name, plural));
}

static const char *enc_pattern_wrong(const struct enc_rule *r, struct sv p)
{
	struct sv name, rest = p;

	(void)sv_split(&rest, '.', &name);
	for (size_t i = 0; i < p.n; i++)
		if (p.p[i] >= 'A' && p.p[i] <= 'Z')
			return "resource name should not contain capital letters";
	if (sv_is(p, "*"))
		return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources";
	if (sv_is(p, "apiserveripinfo") || sv_is(p, "serviceipallocations") || sv_is(p, "servicenodeportallocations"))
		return "resources which do not have REST API/s cannot be encrypted";
	if (rest.p && sv_is(rest, "*") && !sv_is(name, "*"))
		return "resources cannot be encrypted across groups";
	if (rest.p && sv_is(rest, "extensions"))
		return "'extensions' group has been removed and cannot be used for encryption";
	if (rest.p && sv_is(rest, "events.k8s.io"))
		return "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' "
		       "instead in the config file";
	if (!name.n)
		return "a resource has a name";
	for (size_t i = 0; i < r->n_patterns; i++) {
		struct sv other_name, other = r->patterns[i];

		if (sv_eq(other, p))
			return "the same resource cannot be specified multiple times";
		(void)sv_split(&other, '.', &other_name);
		if (sv_is(r->patterns[i], "*.*") || sv_is(p, "*.*") ||
		    (sv_eq(other.p ? other : SV(""), rest.p ? rest : SV("")) &&
		     (sv_is(other_name, "*") || sv_is(name, "*"))))
			return "using overlapping resources such as 'secrets' and '*.' in the same resource list is "
			       "not allowed as they will be masked";
	}
	return NULL;
}

static int enc_read_rule(struct arena *a, const struct val *v, const char *at, struct enc_rule *r, struct err *err)
{
	static const char *const names[] = { "resources", "providers" };
	const struct val *resources = val_member_sv(v, SV("resources")), *providers = val_member_sv(v, SV("providers"));
	size_t keys = 0, i = 0;

	if (enc_known_names(v, at, names, ARRAY_LEN(names), err) < 0)
		return -1;
	if (!val_len(resources) || val_type(resources) != VAL_LIST)
		return err_set(err, ERR_INVALID, "%s.resources: Required value: at least one %s.resources is required",
			       at, at);
	if (!val_len(providers) || val_type(providers) != VAL_LIST)
		return err_set(err, ERR_INVALID, "%s.providers: Required value: at least one %s.providers is required",
			       at, at);
	if (val_len(resources) > NAMES_MAX || val_len(providers) > NAMES_MAX)
		return err_set(err, ERR_INVALID, "%s: more than %d names", at, NAMES_MAX);
	r->patterns = ARENA_ARRAY(a, struct sv, val_len(resources));
	VAL_EACH(resources, p) {
		const char *why = enc_pattern_wrong(r, val_str(p));

		if (why)
			return err_set(err, ERR_INVALID, "%s.resources[%zu]: Invalid value: \"%.*s\": %s", at,
				       r->n_patterns, SV_ARG(val_str(p)), why);
		r->patterns[r->n_patterns++] = val_str(p);
	}
	VAL_EACH(providers, p)
		VAL_EACH_MEMBER(p, m)
			keys += val_len(val_member_sv(m.value, SV("keys"))) + 1;
	r->keys = ARENA_ARRAY(a, struct enc_key, keys + 1);
	VAL_EACH(providers, p)
		if (enc_read_provider(a, p, arena_printf(a, "%s.providers[%zu]", at, i++), r, err) < 0)
			return -1;
	return 0;
}

/* Two of one name could not tell whose a value is. */
static int enc_check_kms(const struct enc_rules *rules, struct err *err)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;

	for (size_t i = 0; i < rules->n; i++) {
		for (size_t k = 0; k < rules->rules[i].n_keys; k++) {
			const char *name = rules->rules[i].keys[k].kms_name;

			if (name && strmap_set(&names, sv_from(name), (void *)(uintptr_t)rules))
				return err_set(
				    err, ERR_INVALID,
				    "resources[%zu].providers.kms.name: Invalid value: \"%s\": duplicate KMS "
				    "provider name, KMS provider names must be unique",
				    i, name);
		}
	}
	return 0;
}

int enc_config_parse(struct arena *a, struct sv text, struct enc_rules *ret, struct err *err)
{
	static const char *const names[] = { "apiVersion", "kind", "metadata", "resources" };
	struct budget values = BUDGET(doc_values_limit);
	struct val *doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	const struct val *rules = val_member_sv(doc, SV("resources"));
	struct sv version = val_str(val_member_sv(doc, SV("apiVersion")));

	if (!doc)
		return -1;
	if ((!sv_is(version, "apiserver.config.k8s.io/v1") && !sv_is(version, "v1")) ||
	    !val_is(val_member_sv(doc, SV("kind")), "EncryptionConfiguration"))
		return err_set(err, ERR_INVALID, "it is no EncryptionConfiguration of apiserver.config.k8s.io/v1");
	if (enc_known_names(doc, "EncryptionConfiguration", names, ARRAY_LEN(names), err) < 0)
		return -1;
	if (!val_len(rules) || val_type(rules) != VAL_LIST || val_len(rules) > NAMES_MAX)
		return err_set(err, ERR_INVALID, "resources: Required value: at least one resources is required");
	ret->rules = ARENA_ARRAY(a, struct enc_rule, val_len(rules));
	for (size_t i = 0; i < val_len(rules); i++)
		if (enc_read_rule(a, val_at(rules, i), arena_printf(a, "resources[%zu]", i), &ret->rules[ret->n++],
				  err) < 0)
			return -1;
	return enc_check_kms(ret, err);
}

const struct enc_rule *enc_rule_for(const struct enc_rules *rules, struct sv group, struct sv plural)
{
	for (size_t i = 0; i < rules->n; i++)
		for (size_t k = 0; k < rules->rules[i].n_patterns; k++)
			if (enc_matches(rules->rules[i].patterns[k], group, plural))
				return &rules->rules[i];
	return NULL;
}
