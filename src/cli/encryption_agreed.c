#include "cli/encryption_agreed.h"

#include "apiserver/encryption/terms.h"
#include "base/file.h"
#include "base/log.h"
#include "base/repeat.h"
#include "codec/json.h"
#include "net/digest.h"
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>

#define KEYS ENCRYPTION_AGREED_KEYS
#define KEYS_END "/caravel/keys/encryption0"
#define TTL_S 15
#define RENEW_NS (5 * NS_PER_SEC)
#define PEM_MAX ((size_t)64 << 10)

struct encryption_agreed {
	struct encryption_agreed_opts o;
	struct arena arena;
	struct sv key, who, word;

	pthread_mutex_t turn; /* held while the store is asked; guards these */
	int64_t lease;
	struct buf terms; /* as written */

	struct repeat renewing;
};

/* --- its own --- */

/* The turn is held. ret_rev: of the write. */
static int ea_put(struct encryption_agreed *g, struct sv terms, int64_t *ret_rev, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf value = BUF_INIT;
	struct store_write w = { .key = g->key, .expect_rev = STORE_ANY_REV };
	struct val *doc = val_new_map(&a);

	if (!g->lease && store_lease_grant(g->o.store, 0, TTL_S, &g->lease, err) < 0)
		return -1;
	val_set_str_sv(&a, doc, SV("server"), g->who);
	val_set_str_sv(&a, doc, SV("terms"), terms);
	json_encode(&value, doc);
	w.value = buf_sv(&value);
	w.lease = g->lease;
	return store_commit_wait(g->o.store, &w, ret_rev, err) < 0 ? -1 : 0;
}

/* --- those of others --- */

struct ea_look {
	struct encryption_agreed *g;
	struct sv ours;
	struct err *err;
	int rc;
};

static int ea_look_at(const struct store_kv *kv, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ea_look *l = ctx;
	const struct val *v;
	struct sv whose;

	if (sv_eq(kv->key, l->g->key))
		return 0;
	v = json_decode(&a, kv->value, NULL, NULL);
	whose = val_str(val_member_sv(v, SV("server")));
	l->rc = enc_terms_agree(l->ours, val_str(val_member_sv(v, SV("terms"))), whose.n ? whose : SV("another server"),
				l->err);
	return l->rc < 0;
}

/* The turn is held. Said first, then compared. */
static int ea_agree(struct encryption_agreed *g, struct sv terms, struct err *err)
{
	struct ea_look l = { .g = g, .ours = terms, .err = err };
	int64_t rev;

	if (ea_put(g, terms, &rev, err) < 0 ||
	    store_range(g->o.store, SV(KEYS), SV(KEYS_END), 0, 0, ea_look_at, &l, &rev, err) < 0)
		return -1;
	return l.rc;
}

static int ea_changes(void *ctx, const struct enc_set *next, struct err *err)
{
	_cleanup_(buf_release) struct buf terms = BUF_INIT;
	struct encryption_agreed *g = ctx;
	int64_t rev;
	int rc;

	enc_terms_format(next, g->word, &terms);
	pthread_mutex_lock(&g->turn);
	rc = ea_agree(g, buf_sv(&terms), err);
	if (rc == 0) {
		buf_clear(&g->terms);
		buf_addsv(&g->terms, buf_sv(&terms));
	} else {
		(void)ea_put(g, buf_sv(&g->terms), &rev, NULL); /* the next renewal does */
	}
	pthread_mutex_unlock(&g->turn);
	return rc;
}

/* --- renewals --- */

/* A lease that has run out, as the store did not answer for so long, begins anew. */
static void ea_renew(void *ctx)
{
	struct encryption_agreed *g = ctx;
	struct err why = ERR_INIT;
	int64_t rev;

	pthread_mutex_lock(&g->turn);
	if (store_healthy(g->o.store, NULL) && g->lease &&
	    store_lease_keepalive(g->o.store, g->lease, NULL, &why) < 0 && why.reason == ERR_NOT_FOUND)
		g->lease = 0;
	err_release(&why);
	if (!g->lease && store_healthy(g->o.store, NULL) && ea_put(g, buf_sv(&g->terms), &rev, &why) < 0)
		log_warn("server", "other servers do not hear how this one encrypts; tried again", "error", "%s",
			 err_msg(&why));
	err_release(&why);
	pthread_mutex_unlock(&g->turn);
}

/* --- life --- */

static int ea_begin(struct encryption_agreed *g, struct err *err)
{
	struct sv ca_key;
	char hex[SHA256_HEX];
	int rc;

	if (file_read(&g->arena, arena_printf(&g->arena, "%s/pki/ca.key", g->o.data_dir), PEM_MAX, &ca_key, err) < 0)
		return -1;
	sha256_hex(arena_svf(&g->arena, "%s\n%.*s", KEYS, SV_ARG(ca_key)), hex);
	g->word = arena_sv(&g->arena, sv_from(hex));
	g->who = arena_sv(&g->arena, sv_from(g->o.who));
	sha256_hex(arena_svf(&g->arena, "%s\n%s", g->o.who, g->o.data_dir), hex);
	g->key = arena_svf(&g->arena, KEYS "%s", hex);
	encryption_terms(g->o.e, g->word, &g->terms);
	pthread_mutex_lock(&g->turn);
	rc = ea_agree(g, buf_sv(&g->terms), err);
	pthread_mutex_unlock(&g->turn);
	return rc;
}

struct encryption_agreed *encryption_agreed_new(const struct encryption_agreed_opts *o, struct err *err)
{
	struct encryption_agreed *g = xcalloc(1, sizeof(*g));

	g->o = *o;
	pthread_mutex_init(&g->turn, NULL);
	if (ea_begin(g, err) < 0)
		return encryption_agreed_free(g);
	if (o->e)
		encryption_agreed_by(o->e, ea_changes, g);
	repeat_start(&g->renewing, o->env, ENV_CONTROL, RENEW_NS, ea_renew, g);
	return g;
}

struct encryption_agreed *encryption_agreed_free(struct encryption_agreed *g)
{
	if (!g)
		return NULL;
	if (g->o.e)
		encryption_agreed_by(g->o.e, NULL, NULL);
	repeat_stop(&g->renewing);
	if (g->lease)
		(void)store_lease_revoke(g->o.store, g->lease, NULL);
	pthread_mutex_destroy(&g->turn);
	buf_release(&g->terms);
	arena_release(&g->arena);
	free(g);
	return NULL;
}
