/* The transformer: which entry a store key is of, by which of its keys a value can be read, and what is stale. */
#include "apiserver/encryption/encryption-internal.h"
#include "apiserver/storekey.h"
#include "base/file.h"
#include "object/api_set.h"

#include <stdlib.h>
#include <sys/mman.h>

#define CONFIG_MAX ((size_t)1 << 20)
#define MARK "k8s:enc:"

struct encryption {
	struct store_transform t;
	struct env *env;
	struct arena arena;
	struct enc_rules rules;
	struct strmap by_path; /* of built-in resources' store paths: struct enc_path */
	pthread_mutex_t mu;
	struct strmap stale; /* store keys; guarded by mu */
};

/* What is known of a path; rule NULL: stored as it is. */
struct enc_path {
	const struct enc_rule *rule;
};

/* The entry of a store key. Resources of definitions have their group in it. */
static const struct enc_rule *encryption_rule_of(const struct encryption *e, struct sv key)
{
	struct sv path, group, plural;

	if (!sv_starts(key, SV(STORE_KEY_ROOT)))
		return NULL;
	for (size_t parts = STOREKEY_PATH_PARTS; parts > 0; parts--) {
		const struct enc_path *p;

		path = storekey_path(key, parts);
		p = path.p ? strmap_get(&e->by_path, path) : NULL;
		if (p)
			return p->rule;
	}
	plural = storekey_path(key, 2);
	if (!plural.p || !sv_split(&plural, '/', &group) || sv_find(group, '.') < 0)
		return NULL;
	return enc_rule_for(&e->rules, group, plural);
}

static void set_stale(struct encryption *e, struct sv key, bool stale)
{
	pthread_mutex_lock(&e->mu);
	if (stale)
		(void)strmap_set(&e->stale, key, e);
	else if (e->stale.n)
		(void)strmap_del(&e->stale, key);
	pthread_mutex_unlock(&e->mu);
}

bool encryption_stale(struct encryption *e, struct sv key)
{
	bool is;

	if (!e)
		return false;
	pthread_mutex_lock(&e->mu);
	is = e->stale.n && strmap_has(&e->stale, key);
	pthread_mutex_unlock(&e->mu);
	return is;
}

static void enc_in(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct encryption *e = CONTAINER_OF(t, struct encryption, t);
	const struct enc_rule *r = encryption_rule_of(e, key);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!r || r->keys[0].cipher == CIPHER_IDENTITY) {
		if (r)
			set_stale(e, key, false);
		done(value, NULL, ctx);
		return;
	}
	if (enc_seal(e->env, &r->keys[0], key, value, &b, &err) < 0) {
		done(SV_NULL, &err, ctx);
		return;
	}
	set_stale(e, key, false); /* a write that fails leaves one that is not known to be stale: until the next read */
	done(buf_sv(&b), NULL, ctx);
}

/* 0: read; 1: none of r's keys is of its prefix; -1: one is, and it cannot be read by it. */
static int open_by(struct encryption *e, const struct enc_rule *r, struct sv key, struct sv value, struct buf *b,
		   struct err *err)
{
	int rc = 1;

	for (size_t i = 0; i < r->n_keys; i++) {
		const struct enc_key *k = &r->keys[i];
		struct sv prefix = sv_from(k->prefix);

		if (k->cipher == CIPHER_IDENTITY ? sv_starts(value, SV(MARK)) : !sv_starts(value, prefix))
			continue;
		err_release(err);
		buf_clear(b);
		rc = enc_open(k, key, sv_sub(value, prefix.n, value.n), b, err);
		if (rc == 0) {
			set_stale(e, key, i != 0);
			return 0;
		}
	}
	return rc;
}

static void enc_out(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct encryption *e = CONTAINER_OF(t, struct encryption, t);
	const struct enc_rule *r = encryption_rule_of(e, key);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc;

	if (!r && !(sv_starts(key, SV(STORE_KEY_ROOT)) && sv_starts(value, SV(MARK)))) {
		done(value, NULL, ctx);
		return;
	}
	rc = r ? open_by(e, r, key, value, &b, &err) : 1;
	if (rc == 1)
		err_set(&err, ERR_INTERNAL, "no matching prefix found");
	if (rc == 0)
		done(b.p ? buf_sv(&b) : SV(""), NULL, ctx);
	else
		done(SV_NULL, &err, ctx);
	if (b.p)
		explicit_bzero(b.p, b.n);
}

struct store_transform *encryption_transform(struct encryption *e)
{
	return &e->t;
}

/* --- life --- */

/* Events are stored in the core group's form. */
static void name_paths(struct encryption *e)
{
	const struct api_set *s = api_set_built_in();

	for (size_t i = 0; i < s->n_resources; i++) {
		const struct resource *r = s->resources[i];
		struct enc_path *p;

		if (!r->store_path || !*r->store_path || strcmp(r->group, "events.k8s.io") == 0 ||
		    strmap_has(&e->by_path, sv_from(r->store_path)))
			continue;
		p = ARENA_NEW(&e->arena, struct enc_path);
		p->rule = enc_rule_for(&e->rules, sv_from(r->group), sv_from(r->plural));
		(void)strmap_set(&e->by_path, sv_from(r->store_path), p);
	}
}

struct encryption *encryption_parse(struct env *env, struct sv text, struct err *err)
{
	struct encryption *e = xcalloc(1, sizeof(*e));

	e->env = env;
	e->t = (struct store_transform){ .in = enc_in, .out = enc_out };
	pthread_mutex_init(&e->mu, NULL);
	if (enc_config_parse(&e->arena, text, &e->rules, err) < 0)
		return encryption_free(e);
	for (size_t i = 0; i < e->rules.n; i++) /* may fail, and is then as safe as before */
		(void)mlock(e->rules.rules[i].keys, e->rules.rules[i].n_keys * sizeof(struct enc_key));
	name_paths(e);
	return e;
}

struct encryption *encryption_read(struct env *env, const char *path, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct encryption *e = NULL;
	struct sv text;

	if (file_read(&a, path, CONFIG_MAX, &text, err) == 0) {
		e = encryption_parse(env, text, err);
		explicit_bzero((void *)(uintptr_t)text.p, text.n);
	}
	if (!e)
		err_wrap(err, "error while parsing file: --encryption-provider-config '%s'", path);
	return e;
}

struct encryption *encryption_free(struct encryption *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < e->rules.n; i++)
		if (e->rules.rules[i].keys)
			explicit_bzero(e->rules.rules[i].keys, e->rules.rules[i].n_keys * sizeof(struct enc_key));
	strmap_release(&e->by_path);
	strmap_release(&e->stale);
	arena_release(&e->arena);
	pthread_mutex_destroy(&e->mu);
	free(e);
	return NULL;
}
