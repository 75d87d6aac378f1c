#include "apiserver/encryption/terms.h"

#include "apiserver/encryption/enc_set.h"
#include "codec/json.h"
#include "net/digest.h"
#include "object/api_set.h"

#include <openssl/crypto.h>

#define IDENTITY "identity"
#define RULES_MAX 200 /* entries, and patterns and keys of one */
#define HASH_DIGITS 16

/* --- said --- */

static struct sv enc_term(struct arena *a, const struct enc_key *k, struct sv word)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char hex[SHA256_HEX] = "";

	if (k->cipher == CIPHER_IDENTITY)
		return SV(IDENTITY);
	if (k->cipher != CIPHER_KMS) {
		buf_addsv(&b, word);
		buf_adds(&b, k->prefix);
		buf_add(&b, k->bytes, k->n);
		sha256_hex(buf_sv(&b), hex);
		OPENSSL_cleanse(b.p, b.n);
	}
	return arena_svf(a, "%s%.*s", k->prefix, HASH_DIGITS, hex);
}

void enc_terms_format(const struct enc_set *set, struct sv word, struct buf *b)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_list(&a);

	for (size_t i = 0; set && i < set->rules.n; i++) {
		const struct enc_rule *r = &set->rules.rules[i];
		struct val *one = val_new_map(&a), *patterns = val_new_list(&a), *keys = val_new_list(&a);

		for (size_t p = 0; p < r->n_patterns; p++)
			val_push(&a, patterns, val_new_str(&a, r->patterns[p]));
		for (size_t k = 0; k < r->n_keys; k++)
			val_push(&a, keys, val_new_str(&a, enc_term(&a, &r->keys[k], word)));
		val_set_sv(&a, one, SV("resources"), patterns);
		val_set_sv(&a, one, SV("keys"), keys);
		val_push(&a, doc, one);
	}
	json_encode(b, doc);
}

/* --- read: as rules whose keys have the terms as their prefixes --- */

static bool terms_rule(struct arena *a, const struct val *v, struct enc_rule *ret)
{
	const struct val *patterns = val_member_sv(v, SV("resources")), *keys = val_member_sv(v, SV("keys"));

	ret->n_patterns = val_len(patterns);
	ret->n_keys = val_len(keys);
	if (!ret->n_patterns || ret->n_patterns > RULES_MAX || !ret->n_keys || ret->n_keys > RULES_MAX)
		return false;
	ret->patterns = ARENA_ARRAY(a, struct sv, ret->n_patterns);
	ret->keys = ARENA_ARRAY(a, struct enc_key, ret->n_keys);
	for (size_t i = 0; i < ret->n_patterns; i++)
		ret->patterns[i] = val_str(val_at(patterns, i));
	for (size_t i = 0; i < ret->n_keys; i++) {
		ret->keys[i].prefix = arena_cstr(a, val_str(val_at(keys, i)));
		if (!*ret->keys[i].prefix)
			return false;
	}
	return true;
}

static bool terms_read(struct arena *a, struct sv text, struct enc_rules *ret)
{
	const struct val *v = json_decode(a, text, NULL, NULL);

	ret->n = val_len(v);
	if (val_type(v) != VAL_LIST || ret->n > RULES_MAX)
		return false;
	ret->rules = ARENA_ARRAY(a, struct enc_rule, ret->n + 1);
	for (size_t i = 0; i < ret->n; i++)
		if (!terms_rule(a, val_at(v, i), &ret->rules[i]))
			return false;
	return true;
}

/* --- compared --- */

struct terms {
	const struct enc_rules *ours, *theirs;
	struct sv whose;
};

static const char *terms_writes(const struct enc_rule *r)
{
	return r ? r->keys[0].prefix : IDENTITY;
}

/* What no entry names is read as it is. */
static bool terms_reads(const struct enc_rule *r, const char *term)
{
	if (!r)
		return strcmp(term, IDENTITY) == 0;
	for (size_t i = 0; i < r->n_keys; i++)
		if (strcmp(r->keys[i].prefix, term) == 0)
			return true;
	return false;
}

/* Without the hash, which says nothing to anybody. */
static struct sv terms_name(const char *term)
{
	const char *colon = strrchr(term, ':');

	return colon ? sv_make(term, (size_t)(colon - term)) : sv_from(term);
}

static int terms_kind(const struct terms *t, struct sv group, struct sv plural, struct err *err)
{
	const struct enc_rule *ours = enc_rule_for(t->ours, group, plural),
			      *theirs = enc_rule_for(t->theirs, group, plural);

	if (!terms_reads(ours, terms_writes(theirs)))
		return err_set(
		    err, ERR_CONFLICT,
		    "%.*s stores %.*s%s%.*s by '%.*s', which this server's encryption configuration cannot read: "
		    "all servers of a store need all keys that one of them writes with, each by the same name; "
		    "add it here, behind the first",
		    SV_ARG(t->whose), SV_ARG(plural), group.n ? "." : "", SV_ARG(group),
		    SV_ARG(terms_name(terms_writes(theirs))));
	if (!terms_reads(theirs, terms_writes(ours)))
		return err_set(
		    err, ERR_CONFLICT,
		    "this server would store %.*s%s%.*s by '%.*s', which the encryption configuration of %.*s "
		    "cannot read: add that key there first, behind the one that it writes with",
		    SV_ARG(plural), group.n ? "." : "", SV_ARG(group), SV_ARG(terms_name(terms_writes(ours))),
		    SV_ARG(t->whose));
	return 0;
}

/* Of kinds that come at run time: those that an entry may mean. */
static int terms_patterns(const struct terms *t, const struct enc_rules *of, struct err *err)
{
	for (size_t i = 0; i < of->n; i++)
		for (size_t p = 0; p < of->rules[i].n_patterns; p++) {
			struct sv group = of->rules[i].patterns[p], plural = SV("");

			(void)sv_split(&group, '.', &plural);
			if (sv_is(plural, "*"))
				plural = SV("things");
			if (sv_is(group, "*"))
				group = SV("example.com");
			if (terms_kind(t, group, plural, err) < 0)
				return -1;
		}
	return 0;
}

int enc_terms_agree(struct sv ours, struct sv theirs, struct sv whose, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct api_set *all = api_set_built_in();
	struct enc_rules mine, its;
	struct terms t = { &mine, &its, whose };

	if (!terms_read(&a, ours, &mine) || !terms_read(&a, theirs, &its))
		return err_set(err, ERR_INVALID, "what %.*s says of its encryption cannot be read", SV_ARG(whose));
	for (size_t i = 0; i < all->n_resources; i++) {
		const struct resource *r = all->resources[i];

		if (r->store_path && *r->store_path && strcmp(r->group, "events.k8s.io") != 0 &&
		    terms_kind(&t, sv_from(r->group), sv_from(r->plural), err) < 0)
			return -1;
	}
	return terms_patterns(&t, &mine, err) < 0 ? -1 : terms_patterns(&t, &its, err);
}
