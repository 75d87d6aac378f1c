#include "apiserver/encryption/enc_set.h"

#include "apiserver/storekey.h"
#include "object/api_set.h"

#include <stdlib.h>
#include <sys/mman.h>

/* What is known of a path; rule NULL: stored as it is. */
struct enc_path {
	const struct enc_rule *rule;
};

/* Resources of definitions have their group in it. */
const struct enc_rule *enc_set_rule(const struct enc_set *s, struct sv key)
{
	struct sv path, group, plural;

	if (!sv_starts(key, SV(STORE_KEY_ROOT)))
		return NULL;
	for (size_t parts = STOREKEY_PATH_PARTS; parts > 0; parts--) {
		const struct enc_path *p;

		path = storekey_path(key, parts);
		p = path.p ? strmap_get(&s->by_path, path) : NULL;
		if (p)
			return p->rule;
	}
	plural = storekey_path(key, 2);
	if (!plural.p || !sv_split(&plural, '/', &group) || sv_find(group, '.') < 0)
		return NULL;
	return enc_rule_for(&s->rules, group, plural);
}

/* Events are stored in the core group's form. */
static void enc_name_paths(struct enc_set *s)
{
	const struct api_set *all = api_set_built_in();

	for (size_t i = 0; i < all->n_resources; i++) {
		const struct resource *r = all->resources[i];
		struct enc_path *p;

		if (!r->store_path || !*r->store_path || strcmp(r->group, "events.k8s.io") == 0 ||
		    strmap_has(&s->by_path, sv_from(r->store_path)))
			continue;
		p = ARENA_NEW(&s->arena, struct enc_path);
		p->rule = enc_rule_for(&s->rules, sv_from(r->group), sv_from(r->plural));
		(void)strmap_set(&s->by_path, sv_from(r->store_path), p);
	}
}

static void enc_make_kms(struct enc_key *k, const struct kms_opts *of)
{
	struct kms_opts o = *of;

	o.name = k->kms_name;
	o.endpoint = k->endpoint;
	o.timeout_ns = k->timeout_ns;
	k->kms = kms_new(&o);
}

struct enc_set *enc_set_new(struct sv text, const struct kms_opts *of, struct err *err)
{
	struct enc_set *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	if (enc_config_parse(&s->arena, text, &s->rules, err) < 0)
		return enc_set_unref(s);
	for (size_t i = 0; i < s->rules.n; i++) {
		struct enc_rule *r = &s->rules.rules[i];

		/* May fail, and is then as safe as before. */
		(void)mlock(r->keys, r->n_keys * sizeof(struct enc_key));
		for (size_t k = 0; k < r->n_keys; k++)
			if (r->keys[k].cipher == CIPHER_KMS)
				enc_make_kms(&r->keys[k], of);
	}
	enc_name_paths(s);
	return s;
}

struct enc_set *enc_set_ref(struct enc_set *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

struct enc_set *enc_set_unref(struct enc_set *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < s->rules.n; i++) {
		struct enc_rule *r = &s->rules.rules[i];

		for (size_t k = 0; k < r->n_keys; k++)
			(void)kms_free(r->keys[k].kms);
		if (r->keys)
			explicit_bzero(r->keys, r->n_keys * sizeof(struct enc_key));
	}
	strmap_release(&s->by_path);
	arena_release(&s->arena);
	free(s);
	return NULL;
}

struct kms *enc_set_kms(const struct enc_set *s, size_t i)
{
	for (size_t r = 0; r < s->rules.n; r++)
		for (size_t k = 0; k < s->rules.rules[r].n_keys; k++)
			if (s->rules.rules[r].keys[k].kms && i-- == 0)
				return s->rules.rules[r].keys[k].kms;
	return NULL;
}

/* --- a key and what is stored --- */

bool enc_key_is_of(const struct enc_key *k, struct sv value)
{
	return k->cipher == CIPHER_IDENTITY ? !sv_starts(value, SV(ENC_MARK)) : sv_starts(value, sv_from(k->prefix));
}

int enc_key_open(const struct enc_key *k, struct sv key, struct sv value, struct buf *b, struct err *err)
{
	struct sv sealed = sv_sub(value, strlen(k->prefix), value.n);

	return k->cipher == CIPHER_KMS ? kms_open(k->kms, key, sealed, b, err) : enc_open(k, key, sealed, b, err);
}

/* Two keys may have the same name, of two providers or of a file before this one: the prefix alone says nothing. */
bool enc_key_wrote(const struct enc_key *k, struct sv key, struct sv value)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool so;

	if (!enc_key_is_of(k, value))
		return false;
	if (k->cipher == CIPHER_IDENTITY)
		return true;
	if (k->cipher == CIPHER_KMS)
		return kms_seals_so(k->kms, sv_sub(value, strlen(k->prefix), value.n));
	so = enc_key_open(k, key, value, &b, &err) == 0;
	if (b.p)
		explicit_bzero(b.p, b.n);
	return so;
}
