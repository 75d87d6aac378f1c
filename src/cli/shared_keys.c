#include "cli/shared_keys.h"

#include "apiserver/pki.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/servers_token.h"
#include "client/bootstrap_token.h"
#include "codec/json.h"
#include "net/digest.h"
#include "net/key.h"
#include "net/sealed.h"
#include "store/store.h"

#include <errno.h>
#include <unistd.h>

#define PEM_MAX ((size_t)64 << 10)
#define TOKEN_MAX ((size_t)4096)
#define TRIES 10 /* each is lost to another server that wrote in between */

const char *const shared_key_names[_SK_MAX] = {
	[SK_CA_KEY] = "ca.key",
	[SK_CA_CERT] = "ca.crt",
	[SK_SA_KEY] = "sa.key",
	[SK_FRONT_KEY] = "front-proxy-ca.key",
	[SK_FRONT_CERT] = "front-proxy-ca.crt",
	[SK_ETCD_KEY] = "etcd-ca.key",
	[SK_ETCD_CERT] = "etcd-ca.crt",
};

struct sk {
	const struct shared_keys_opts *o;
	struct arena a;
	const char *pki, *token_file;
	struct sv word; /* what the keys are sealed with: the token's id and secret */
	struct join_token token;
	bool made; /* the token, by this start: the store has nothing with it yet */
};

/* --- the text --- */

bool shared_keys_parse(struct arena *a, struct sv text, struct shared_keys *ret)
{
	const struct val *v = json_decode(a, text, NULL, NULL);

	if (val_type(v) != VAL_MAP)
		return false;
	for (size_t i = 0; i < _SK_MAX; i++) {
		ret->pem[i] = val_str(val_member_sv(v, sv_from(shared_key_names[i])));
		if ((!ret->pem[i].n && i < SK_NEEDED) || ret->pem[i].n > PEM_MAX)
			return false;
	}
	return true;
}

static void sk_format(struct arena *a, const struct shared_keys *k, struct buf *b)
{
	struct val *v = val_new_map(a);

	for (size_t i = 0; i < _SK_MAX; i++)
		if (k->pem[i].n)
			val_set_str_sv(a, v, sv_from(shared_key_names[i]), k->pem[i]);
	json_encode(b, v);
}

static bool sk_equal(const struct shared_keys *x, const struct shared_keys *y)
{
	for (size_t i = 0; i < _SK_MAX; i++)
		if (!sv_eq(x->pem[i], y->pem[i]))
			return false;
	return true;
}

/* --- files --- */

static int sk_read(struct sk *k, const char *path, size_t max, struct sv *ret, struct err *err)
{
	struct err why = ERR_INIT;

	*ret = SV("");
	if (file_read(&k->a, path, max, ret, &why) == 0)
		return 0;
	*ret = SV("");
	if (why.errnum != ENOENT)
		return err_move(err, &why);
	err_release(&why);
	return 0;
}

static int sk_local(struct sk *k, struct shared_keys *ret, struct err *err)
{
	for (size_t i = 0; i < _SK_MAX; i++)
		if (sk_read(k, arena_printf(&k->a, "%s/%s", k->pki, shared_key_names[i]), PEM_MAX, &ret->pem[i], err) <
		    0)
			return -1;
	return 0;
}

static int sk_write(struct sk *k, const struct shared_keys *has, const struct shared_keys *wanted, struct err *err)
{
	struct file_out out[_SK_MAX];
	size_t n = 0;

	for (size_t i = 0; i < _SK_MAX; i++)
		if (wanted->pem[i].n && !sv_eq(has->pem[i], wanted->pem[i]))
			out[n++] = (struct file_out){ arena_printf(&k->a, "%s/%s", k->pki, shared_key_names[i]),
						      wanted->pem[i], 0600 };
	if (!n)
		return 0;
	return dir_make(k->pki, 0700, err) < 0 ? -1 : file_write_several(out, n, err);
}

/* One key may be written in more than one way. */
static bool sk_same_key(struct sv x, struct sv y)
{
	char hx[65], hy[65];

	return secret_equal(x, y) || (key_hash(x, hx, NULL) == 0 && key_hash(y, hy, NULL) == 0 && strcmp(hx, hy) == 0);
}

/* Whose the data directory is is told by what cannot be made again; the front proxies' CA can. */
static int sk_check_same(struct sk *k, const struct shared_keys *has, const struct shared_keys *wanted, struct err *err)
{
	static const enum shared_key whose[] = { SK_CA_KEY, SK_CA_CERT, SK_SA_KEY, SK_ETCD_KEY, SK_ETCD_CERT };

	for (size_t i = 0; i < ARRAY_LEN(whose); i++) {
		struct sv mine = has->pem[whose[i]];

		if (mine.n && wanted->pem[whose[i]].n && !sk_same_key(mine, wanted->pem[whose[i]]))
			return err_set(err, ERR_STORE_READ,
				       "'%s/%s' is another one than the cluster's in the store: this data directory is "
				       "that of another cluster. Take an empty --data-dir for a further server of the "
				       "store's cluster, or give this one its own store",
				       k->pki, shared_key_names[whose[i]]);
	}
	return 0;
}

/* --- the token --- */

static int sk_token_take(struct sk *k, struct sv text, const char *from, struct err *err)
{
	struct join_token t;

	if (join_token_parse(sv_trim(text), &t, err) < 0)
		return err_wrap(err, "%s", from);
	k->token = (struct join_token){ arena_sv(&k->a, t.id), arena_sv(&k->a, t.secret), arena_sv(&k->a, t.ca_hash) };
	k->word = arena_svf(&k->a, "%.*s.%.*s", SV_ARG(t.id), SV_ARG(t.secret));
	return 0;
}

static int sk_token(struct sk *k, bool keys_there, struct err *err)
{
	struct sv text;

	if (k->word.n)
		return 0;
	if (k->o->token)
		return sk_token_take(k, sv_from(k->o->token), "--token", err);
	if (sk_read(k, k->token_file, TOKEN_MAX, &text, err) < 0)
		return -1;
	if (text.n)
		return sk_token_take(k, text, arena_printf(&k->a, "'%s'", k->token_file), err);
	if (keys_there)
		return err_set(
		    err, ERR_UNAUTHORIZED,
		    "the store has a cluster's keys, sealed with its servers' token: start with --token, from "
		    "DATA-DIR/server/token on one of its servers");
	bootstrap_token_random(k->o->env, &k->a, &k->token);
	k->word = arena_svf(&k->a, "%.*s.%.*s", SV_ARG(k->token.id), SV_ARG(k->token.secret));
	k->made = true;
	return 0;
}

/* For the next start, and for whoever brings another server. */
static int sk_token_write(struct sk *k, struct sv ca, struct err *err)
{
	struct sv text = arena_svf(&k->a, "%.*s\n", SV_ARG(join_token_format(&k->a, ca, k->token.id, k->token.secret))),
		  has;

	if (sk_read(k, k->token_file, TOKEN_MAX, &has, err) < 0)
		return -1;
	if (sv_eq(has, text))
		return 0;
	if (dir_make(arena_printf(&k->a, "%s/server", k->o->data_dir), 0700, err) < 0)
		return -1;
	return file_write(k->token_file, text, 0600, err);
}

/* --- the store --- */

static int sk_open(struct sk *k, struct sv sealed, struct shared_keys *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct err why = ERR_INIT;
	bool good;

	if (sealed_open(k->word, SV(SHARED_KEYS), sealed, &text, &why) < 0) {
		if (why.reason != ERR_UNAUTHORIZED)
			return err_wrap(&why, "the cluster's keys in the store ('%s')", SHARED_KEYS),
			       err_move(err, &why);
		err_release(&why);
		if (k->made) /* by us, and somebody was faster: it opens nothing */
			(void)unlink(k->token_file);
		return err_set(err, ERR_UNAUTHORIZED,
			       "%s is not the token of this cluster's servers: it does not open the keys in the store. "
			       "Take that of DATA-DIR/server/token on one of them",
			       k->o->token ? "--token"
			       : k->made   ? "a token just made"
					   : arena_printf(&k->a, "the token in '%s'", k->token_file));
	}
	good = shared_keys_parse(&k->a, arena_sv(&k->a, buf_sv(&text)), ret);
	explicit_bzero(text.p, text.n);
	return good ? 0
		    : err_set(err, ERR_STORE_READ,
			      "the cluster's keys in the store ('%s') are opened by the token, and are none",
			      SHARED_KEYS);
}

/* All that a server has after it has opened its pki, without a file written. */
static int sk_complete(struct sk *k, const struct shared_keys *has, struct shared_keys *ret, struct err *err)
{
	struct pki *p = pki_open(
	    &(struct pki_opts){ .env = k->o->env, .dir = k->pki, .looks_only = true, .etcd = k->o->etcd }, err);

	if (!p)
		return -1;
	ret->pem[SK_CA_KEY] = arena_sv(&k->a, p->ca_key);
	ret->pem[SK_CA_CERT] = arena_sv(&k->a, p->ca_cert);
	ret->pem[SK_SA_KEY] = arena_sv(&k->a, p->sa_key);
	ret->pem[SK_FRONT_KEY] = arena_sv(&k->a, p->front_key);
	ret->pem[SK_FRONT_CERT] = arena_sv(&k->a, p->front_ca);
	ret->pem[SK_ETCD_KEY] = k->o->etcd ? arena_sv(&k->a, p->etcd_key) : has->pem[SK_ETCD_KEY];
	ret->pem[SK_ETCD_CERT] = k->o->etcd ? arena_sv(&k->a, p->etcd_ca) : has->pem[SK_ETCD_CERT];
	pki_close(p);
	return 0;
}

/* As store_commit_wait(). A first write takes the Secret away that an earlier version, or a store of one server, has of
 * this token. */
static int sk_publish(struct sk *k, const struct shared_keys *keys, int64_t rev, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, sealed = BUF_INIT;
	struct store_write w = { .key = SV(SHARED_KEYS), .expect_rev = rev }, gone = { .expect_rev = STORE_ANY_REV };
	int64_t at;
	int rc;

	sk_format(&k->a, keys, &text);
	rc = sealed_make(k->o->env, k->word, SV(SHARED_KEYS), buf_sv(&text), &sealed, err);
	explicit_bzero(text.p, text.n);
	if (rc < 0)
		return -1;
	w.value = buf_sv(&sealed);
	rc = store_commit_wait(k->o->store, &w, &at, err);
	if (rc <= 0 || rev)
		return rc;
	gone.tombstone = true;
	gone.key = arena_svf(&k->a, "/registry/secrets/%s/%s%.*s", BOOTSTRAP_TOKEN_NS, BOOTSTRAP_TOKEN_PREFIX,
			     SV_ARG(k->token.id));
	return store_commit_wait(k->o->store, &gone, &at, err) < 0 ? -1 : 1;
}

/* An older token of the servers is not good any more, but says that this one is. */
static int sk_newer(struct sk *k, const struct shared_keys *has, struct err *err)
{
	struct sv token;
	int rc = servers_token_newer(k->o->store, &k->a, has->pem[SK_CA_KEY], k->word, &token, err);

	if (rc <= 0)
		return rc;
	if (k->o->token)
		log_warn("server", "--token is an older one: the servers' token was rotated, and the newer is taken",
			 "file", "%s", k->token_file);
	return sk_token_take(k, token, SERVERS_TOKEN_KEY, err) < 0 ? -1 : 1;
}

/* As sk_open(), with the token that is good now. */
static int sk_open_now(struct sk *k, const struct shared_keys *has, struct sv sealed, struct shared_keys *ret,
		       struct err *err)
{
	struct err why = ERR_INIT;
	int rc;

	if (sk_open(k, sealed, ret, &why) == 0)
		return 0;
	rc = why.reason == ERR_UNAUTHORIZED ? sk_newer(k, has, err) : 0;
	if (rc == 0)
		return err_move(err, &why);
	err_release(&why);
	return rc < 0 ? -1 : sk_open(k, sealed, ret, err);
}

/* 1: settled; 0: somebody else has written meanwhile. */
static int sk_round(struct sk *k, struct err *err)
{
	struct shared_keys has, there, ours;
	struct store_found f;
	int rc;

	if (sk_local(k, &has, err) < 0 || store_read(k->o->store, &k->a, SV(SHARED_KEYS), &f, err) < 0 ||
	    sk_token(k, f.rev > 0, err) < 0)
		return -1;
	if (f.rev && (sk_open_now(k, &has, f.value, &there, err) < 0 || sk_check_same(k, &has, &there, err) < 0 ||
		      sk_write(k, &has, &there, err) < 0))
		return -1;
	if (f.rev)
		has = there;
	if (sk_complete(k, &has, &ours, err) < 0)
		return -1;
	if (f.rev && sk_equal(&ours, &there))
		return sk_token_write(k, ours.pem[SK_CA_CERT], err) < 0 ? -1 : 1;
	if (k->made && sk_token_write(k, ours.pem[SK_CA_CERT], err) < 0)
		return -1;
	rc = sk_publish(k, &ours, f.rev, err);
	if (rc <= 0)
		return rc < 0 ? err_wrap(err, "the cluster's keys cannot be kept in the store") : 0;
	log_info("server", f.rev ? "certificates in the store are renewed" : "the cluster's keys are in the store",
		 "key", "%s", SHARED_KEYS);
	return sk_write(k, &has, &ours, err) < 0 || sk_token_write(k, ours.pem[SK_CA_CERT], err) < 0 ? -1 : 1;
}

static void sk_init(struct sk *k, const struct shared_keys_opts *o)
{
	*k = (struct sk){ .o = o };
	k->pki = arena_printf(&k->a, "%s/pki", o->data_dir);
	k->token_file = arena_printf(&k->a, "%s/server/token", o->data_dir);
}

int shared_keys_settle(const struct shared_keys_opts *o, struct arena *a, const char **ret_token, struct err *err)
{
	struct sk k;
	int rc = 0;

	sk_init(&k, o);
	for (int i = 0; i < TRIES && rc == 0; i++)
		rc = sk_round(&k, err);
	*ret_token = rc > 0 ? arena_cstr(a, k.word) : NULL;
	arena_release(&k.a);
	if (rc == 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "other servers write the cluster's keys again and again: start this one later");
	return rc < 0 ? -1 : 0;
}

int shared_keys_begin(const struct shared_keys_opts *o, struct err *err)
{
	struct shared_keys has, ours;
	struct sk k;
	int rc;

	sk_init(&k, o);
	rc = sk_local(&k, &has, err) < 0 || sk_complete(&k, &has, &ours, err) < 0 || sk_write(&k, &has, &ours, err) < 0
		 ? -1
		 : 0;
	arena_release(&k.a);
	return rc;
}

int shared_keys_take(const struct shared_keys_opts *o, struct sv sealed, struct err *err)
{
	struct shared_keys has, there;
	struct sk k;
	int rc;

	sk_init(&k, o);
	rc = sk_local(&k, &has, err) < 0 || sk_token(&k, true, err) < 0 || sk_open(&k, sealed, &there, err) < 0 ||
		     sk_check_same(&k, &has, &there, err) < 0 || sk_write(&k, &has, &there, err) < 0 ||
		     sk_token_write(&k, there.pem[SK_CA_CERT], err) < 0
		 ? -1
		 : 0;
	arena_release(&k.a);
	return rc;
}

static int sk_own(struct sk *k, struct sv ca, struct err *err)
{
	struct sv has, of_nodes = SV("");

	if (k->o->token) {
		if (sk_token_take(k, sv_from(k->o->token), "--token", err) < 0)
			return -1;
		of_nodes = k->word;
	}
	if (sk_read(k, k->token_file, TOKEN_MAX, &has, err) < 0 ||
	    (has.n && sk_token_take(k, has, arena_printf(&k->a, "'%s'", k->token_file), err) < 0))
		return -1;
	if (has.n && !secret_equal(k->word, of_nodes))
		return 0;
	bootstrap_token_random(k->o->env, &k->a, &k->token);
	return sk_token_write(k, ca, err);
}

int shared_keys_own(const struct shared_keys_opts *o, struct sv ca, struct err *err)
{
	struct sk k;
	int rc;

	sk_init(&k, o);
	rc = sk_own(&k, ca, err);
	arena_release(&k.a);
	return rc;
}

int shared_keys_sealed(struct store *s, struct arena *a, struct sv *ret, struct err *err)
{
	struct store_found f;

	if (store_read(s, a, SV(SHARED_KEYS), &f, err) < 0)
		return -1;
	*ret = f.value;
	return f.rev ? 0 : err_set(err, ERR_UNAVAILABLE, "the cluster's keys are not in the store yet");
}

const char *shared_keys_file(const struct shared_keys_opts *o, struct arena *a)
{
	struct sv text;

	return file_read(a, arena_printf(a, "%s/server/token", o->data_dir), TOKEN_MAX, &text, NULL) == 0 && text.n
		   ? arena_cstr(a, sv_trim(text))
		   : NULL;
}
