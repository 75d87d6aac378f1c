/* The transformer: by which key of which entry a value is sealed and read, what is stale, and the minute's look at
 * programs and the file. */
#include "apiserver/encryption/encryption.h"
#include "apiserver/encryption/enc_set.h"
#include "apiserver/encryption/terms.h"
#include "apiserver/storekey.h"
#include "apiserver/watched_file.h"
#include "base/log.h"
#include "base/metric.h"

#include <stdlib.h>

#define CONFIG_MAX ((size_t)1 << 20)

static const double kms_bounds[] = { 0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128,
				     0.0256, 0.0512, 0.1024, 0.2048, 0.4096, 0.8192, 1.6384 };

enum enc_metric { EM_OPERATIONS, EM_KMS, EM_RELOADS, EM_RELOAD_TIME, _EM_MAX };

// clang-format off: a metric each
static const struct metric_family enc_metrics[_EM_MAX] = {
	[EM_OPERATIONS] = { "apiserver_storage_transformation_operations_total",
			    "Values that were sealed or opened, by provider and how that went.", .type = METRIC_COUNTER,
			    .labels = { "status", "transformation_type", "transformer_prefix" } },
	[EM_KMS] = { "apiserver_envelope_encryption_kms_operations_latency_seconds",
		     "How long calls of key management services took, in seconds, by provider, method and how they "
		     "went.",
		     .type = METRIC_HISTOGRAM, METRIC_BOUNDS(kms_bounds),
		     .labels = { "grpc_status_code", "method_name", "provider_name" } },
	[EM_RELOADS] = { "apiserver_encryption_config_controller_automatic_reloads_total",
			 "How often the encryption configuration was read again, by how that went.",
			 .type = METRIC_COUNTER, .labels = { "status" } },
	[EM_RELOAD_TIME] = { "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
			     "When the encryption configuration was last read again, in Unix seconds, by how that "
			     "went.",
			     .type = METRIC_GAUGE, .labels = { "status" } },
};
// clang-format on

struct encryption {
	struct store_transform t;
	struct env *env;
	struct metric_set *counted;
	struct store *inner;	  /* borrowed: where what is sealed can be seen */
	char *path;		  /* of the file that is looked at; NULL: none is */
	struct watched_file *set; /* of struct enc_set */
	bool served;		  /* its first set counts: programs of another one must be well */
	pthread_mutex_t agreeing; /* held while it is asked; guards these two */
	int (*agree)(void *ctx, const struct enc_set *next, struct err *err);
	void *agree_ctx;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* Guarded by mu. */
	struct env_timer *timer;
	bool timing, running, stopping;
};

static kms_call_fn *enc_call; /* NULL: gRPC */
static void *enc_call_ctx;

void encryption_ask_by(kms_call_fn *call, void *ctx)
{
	enc_call = call;
	enc_call_ctx = ctx;
}

static struct enc_set *set_now(struct encryption *e)
{
	return watched_file_get(e->set);
}

static void enc_count(struct encryption *e, const struct enc_key *k, bool in, bool well)
{
	const struct sv values[] = { well ? SV("OK") : SV("Unknown"), in ? SV("to_storage") : SV("from_storage"),
				     k ? sv_from(k->prefix) : SV("unknown") };

	metric_add(e->counted, &enc_metrics[EM_OPERATIONS], values, 1);
}

static void enc_called(void *ctx, const struct kms *k, const char *method, const char *code, int64_t ns)
{
	struct encryption *e = ctx;
	const struct sv values[] = { sv_from(code), sv_from(method), sv_from(kms_name(k)) };

	metric_observe_ns(e->counted, &enc_metrics[EM_KMS], values, ns);
}

void encryption_metrics(struct encryption *e, struct buf *b)
{
	if (e)
		metric_set_write(e->counted, b);
}

/* --- writing --- */

static int enc_seal_by(struct encryption *e, const struct enc_key *k, struct sv key, struct sv value, struct buf *b,
		       struct err *err)
{
	if (k->cipher != CIPHER_KMS)
		return enc_seal(e->env, k, key, value, b, err);
	buf_adds(b, k->prefix);
	return kms_seal(k->kms, key, value, b, err);
}

static void enc_in(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct encryption *e = CONTAINER_OF(t, struct encryption, t);
	_cleanup_(enc_set_unrefp) struct enc_set *set = set_now(e);
	const struct enc_rule *r = enc_set_rule(set, key);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc;

	if (!r || r->keys[0].cipher == CIPHER_IDENTITY) {
		done(value, NULL, ctx);
		return;
	}
	rc = enc_seal_by(e, &r->keys[0], key, value, &b, &err);
	enc_count(e, &r->keys[0], true, rc == 0);
	if (rc < 0) {
		done(SV_NULL, &err, ctx);
		return;
	}
	done(buf_sv(&b), NULL, ctx);
}

/* --- reading --- */

/* 0: read; 1: none of r's keys is of its prefix; -1: one is, and it cannot be read by it. */
static int open_by(struct encryption *e, const struct enc_rule *r, struct sv key, struct sv value, struct buf *b,
		   struct err *err)
{
	int rc = 1;

	for (size_t i = 0; i < r->n_keys; i++) {
		const struct enc_key *k = &r->keys[i];

		if (!enc_key_is_of(k, value))
			continue;
		err_release(err);
		buf_clear(b);
		rc = enc_key_open(k, key, value, b, err);
		enc_count(e, k, false, rc == 0);
		if (rc == 0)
			return 0;
	}
	return rc;
}

static void enc_out_now(struct encryption *e, const struct enc_rule *r, struct sv key, struct sv value,
			store_value_fn *done, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc = r ? open_by(e, r, key, value, &b, &err) : 1;

	if (rc == 1)
		err_set(&err, ERR_INTERNAL, "no matching prefix found");
	if (rc == 0)
		done(b.p ? buf_sv(&b) : SV(""), NULL, ctx);
	else
		done(SV_NULL, &err, ctx);
	if (b.p)
		explicit_bzero(b.p, b.n);
}

/* A program has to be asked: on a task. */
struct enc_later {
	struct encryption *e;
	struct enc_set *set;
	const struct enc_rule *r;
	struct sv key, value;
	store_value_fn *done;
	void *ctx;
};

static void enc_out_later(void *ctx)
{
	struct enc_later *l = ctx;

	enc_out_now(l->e, l->r, l->key, l->value, l->done, l->ctx);
	(void)enc_set_unref(l->set);
	free(l);
}

static bool enc_asks(const struct enc_rule *r, struct sv value)
{
	for (size_t i = 0; r && i < r->n_keys; i++) {
		const struct enc_key *k = &r->keys[i];

		if (k->kms && enc_key_is_of(k, value) && !kms_knows(k->kms, sv_sub(value, strlen(k->prefix), value.n)))
			return true;
	}
	return false;
}

static void enc_out(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct encryption *e = CONTAINER_OF(t, struct encryption, t);
	_cleanup_(enc_set_unrefp) struct enc_set *set = set_now(e);
	const struct enc_rule *r = enc_set_rule(set, key);
	struct enc_later *l;

	if (!r && !(sv_starts(key, SV(STORE_KEY_ROOT)) && sv_starts(value, SV(ENC_MARK)))) {
		done(value, NULL, ctx);
		return;
	}
	if (!enc_asks(r, value)) {
		enc_out_now(e, r, key, value, done, ctx);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	*l = (struct enc_later){ e, enc_set_ref(set), r, key, value, done, ctx };
	env_post(e->env, ENV_KEYS, enc_out_later, l);
}

struct store_transform *encryption_transform(struct encryption *e)
{
	return &e->t;
}

/* --- what is stale --- */

void encryption_stored_in(struct encryption *e, struct store *inner)
{
	e->inner = inner;
}

bool encryption_stale_value(struct encryption *e, struct sv key, struct sv stored)
{
	_cleanup_(enc_set_unrefp) struct enc_set *set = set_now(e);
	const struct enc_rule *r = enc_set_rule(set, key);

	return r && !enc_key_wrote(&r->keys[0], key, stored);
}

struct enc_look_at {
	struct encryption *e;
	bool stale;
};

static int enc_look_at(const struct store_kv *kv, void *ctx)
{
	struct enc_look_at *l = ctx;

	l->stale = encryption_stale_value(l->e, kv->key, kv->value);
	return 1;
}

bool encryption_stale(struct encryption *e, struct sv key)
{
	struct enc_look_at l = { .e = e };
	_cleanup_(enc_set_unrefp) struct enc_set *set = e ? set_now(e) : NULL;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t rev;

	if (!set || !enc_set_rule(set, key))
		return false;
	if (!e->inner || store_range(e->inner, key, SV(""), 0, 1, enc_look_at, &l, &rev, &err) < 0)
		return true; /* the write that follows says what is wrong */
	return l.stale;
}

/* --- each minute --- */

/* Every program is asked how it is; the soonest that one is to be asked again. */
static int64_t enc_ask_all(struct enc_set *set, bool first)
{
	int64_t next = KMS_POLL_NS;
	struct kms *k;

	for (size_t i = 0; (k = enc_set_kms(set, i)); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		bool rotated, was = first || kms_healthy(k, NULL);

		if (kms_check(k, &rotated, &err) < 0) {
			if (was) /* asked again each second */
				log_warn("encryption", "a key management service is not well", "error", "%s",
					 err_msg(&err));
		} else if (rotated && !first)
			log_info("encryption",
				 "a key management service has another key: what is stored by the one "
				 "before is written anew by the next update",
				 "provider", "%s", kms_name(k));
		next = MIN(next, kms_next_ns(k));
	}
	return next;
}

static struct kms_opts enc_kms_opts(struct encryption *e)
{
	return (struct kms_opts){
		.env = e->env, .call = enc_call, .call_ctx = enc_call_ctx, .called = enc_called, .ctx = e
	};
}

static void enc_reloaded(void *ctx, bool good)
{
	struct encryption *e = ctx;
	const struct sv values[] = { good ? SV("success") : SV("failure") };

	metric_add(e->counted, &enc_metrics[EM_RELOADS], values, 1);
	metric_gauge(e->counted, &enc_metrics[EM_RELOAD_TIME], values, (double)(env_now_ns(e->env) / NS_PER_SEC));
}

/* A program that is not well keeps a file from being taken, but the first one, without which nothing is served. */
static void *enc_made(void *ctx, struct sv text, struct err *err)
{
	struct encryption *e = ctx;
	const struct kms_opts of = enc_kms_opts(e);
	struct enc_set *set = enc_set_new(text, &of, err);
	struct kms *k;
	int rc = 0;

	for (size_t i = 0; set && e->served && rc == 0 && (k = enc_set_kms(set, i)); i++) {
		bool rotated;

		rc = kms_check(k, &rotated, err);
	}
	if (set && e->served && rc == 0) {
		pthread_mutex_lock(&e->agreeing);
		rc = e->agree ? e->agree(e->agree_ctx, set, err) : 0;
		pthread_mutex_unlock(&e->agreeing);
	}
	return rc < 0 ? enc_set_unref(set) : set;
}

void encryption_agreed_by(struct encryption *e, int (*agree)(void *ctx, const struct enc_set *next, struct err *err),
			  void *ctx)
{
	pthread_mutex_lock(&e->agreeing);
	e->agree = agree;
	e->agree_ctx = ctx;
	pthread_mutex_unlock(&e->agreeing);
}

void encryption_terms(struct encryption *e, struct sv word, struct buf *b)
{
	_cleanup_(enc_set_unrefp) struct enc_set *set = e ? set_now(e) : NULL;

	enc_terms_format(set, word, b);
}

static void *enc_kept(void *value)
{
	return enc_set_ref(value);
}

static void *enc_left(void *value)
{
	return enc_set_unref(value);
}

static int64_t enc_look(struct encryption *e)
{
	_cleanup_(enc_set_unrefp) struct enc_set *set = NULL;

	(void)watched_file_look(e->set);
	set = set_now(e);
	return enc_ask_all(set, false);
}

static void enc_tick(void *ctx);

/* mu is held. */
static void enc_arm(struct encryption *e, int64_t ns)
{
	_cleanup_(enc_set_unrefp) struct enc_set *set = set_now(e);

	if (e->stopping || (!e->path && !enc_set_kms(set, 0)))
		return;
	e->timing = true;
	e->timer = env_after(e->env, ENV_KEYS, ns, enc_tick, e);
}

static void enc_tick(void *ctx)
{
	struct encryption *e = ctx;
	int64_t next;

	pthread_mutex_lock(&e->mu);
	e->timer = env_timer_cancel(e->env, e->timer);
	e->timing = false;
	e->running = true;
	pthread_mutex_unlock(&e->mu);
	next = enc_look(e);
	pthread_mutex_lock(&e->mu);
	e->running = false;
	enc_arm(e, next);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->mu);
}

void encryption_poll(struct encryption *e)
{
	(void)enc_look(e);
}

/* --- health --- */

bool encryption_check(struct encryption *e, size_t i, const char **ret_name, bool *ret_well, struct err *why)
{
	static const char *const names[] = { "kms-provider-0", "kms-provider-1", "kms-provider-2", "kms-provider-3",
					     "kms-provider-4", "kms-provider-5", "kms-provider-6", "kms-provider-7" };
	_cleanup_(enc_set_unrefp) struct enc_set *set = e ? set_now(e) : NULL;
	struct kms *k;

	if (!set || !enc_set_kms(set, 0) || (e->path ? i > 0 : i >= ARRAY_LEN(names)))
		return false;
	*ret_well = true;
	if (!e->path) {
		*ret_name = names[i];
		k = enc_set_kms(set, i);
		if (k)
			*ret_well = kms_healthy(k, why);
		return k != NULL;
	}
	*ret_name = "kms-providers"; /* those may be others at any time */
	for (size_t n = 0; *ret_well && (k = enc_set_kms(set, n)); n++)
		*ret_well = kms_healthy(k, why);
	return true;
}

/* --- life --- */

static struct encryption *enc_new(struct env *env)
{
	struct encryption *e = xcalloc(1, sizeof(*e));

	e->env = env;
	e->t = (struct store_transform){ .in = enc_in, .out = enc_out };
	e->counted = metric_set_new(enc_metrics, _EM_MAX);
	pthread_mutex_init(&e->agreeing, NULL);
	pthread_mutex_init(&e->mu, NULL);
	pthread_cond_init(&e->changed, NULL);
	return e;
}

/* path NULL: text is what counts. */
static int enc_set_begin(struct encryption *e, const char *path, struct sv text, struct err *err)
{
	_cleanup_(enc_set_unrefp) struct enc_set *set = NULL;
	struct watched_file_opts f = { .area = "encryption",
				       .what = "the encryption configuration",
				       .flag = "error while parsing file: --encryption-provider-config",
				       .path = path,
				       .max = CONFIG_MAX,
				       .make = enc_made,
				       .ref = enc_kept,
				       .unref = enc_left,
				       .looked = enc_reloaded,
				       .ctx = e };

	if (path)
		e->set = watched_file_new(&f, err);
	else if ((set = enc_made(e, text, err)))
		e->set = watched_file_fixed(&f, enc_set_ref(set));
	if (!e->set)
		return -1;
	e->served = true;
	(void)enc_set_unref(set);
	set = set_now(e);
	(void)enc_ask_all(set, true);
	return 0;
}

struct encryption *encryption_parse(struct env *env, struct sv text, struct err *err)
{
	struct encryption *e = enc_new(env);

	return enc_set_begin(e, NULL, text, err) < 0 ? encryption_free(e) : e;
}

struct encryption *encryption_read(struct env *env, const char *path, bool reload, struct err *err)
{
	struct encryption *e = enc_new(env);

	e->path = xstrdup(path);
	if (enc_set_begin(e, e->path, SV(""), err) < 0)
		return encryption_free(e);
	if (!reload) {
		struct watched_file *once = e->set;

		e->set = watched_file_fixed(&(struct watched_file_opts){ .ref = enc_kept, .unref = enc_left },
					    watched_file_get(once));
		watched_file_free(once);
		free(TAKE(e->path));
	}
	pthread_mutex_lock(&e->mu);
	enc_arm(e, KMS_POLL_BAD_NS);
	pthread_mutex_unlock(&e->mu);
	return e;
}

static void enc_stop(struct encryption *e)
{
	struct env_timer *t;

	pthread_mutex_lock(&e->mu);
	e->stopping = true;
	t = TAKE(e->timer);
	if (t && env_timer_stop(e->env, t))
		e->timing = false;
	while (e->timing || e->running)
		pthread_cond_wait(&e->changed, &e->mu);
	pthread_mutex_unlock(&e->mu);
}

struct encryption *encryption_free(struct encryption *e)
{
	if (!e)
		return NULL;
	enc_stop(e);
	watched_file_free(e->set);
	metric_set_free(e->counted);
	pthread_cond_destroy(&e->changed);
	pthread_mutex_destroy(&e->mu);
	pthread_mutex_destroy(&e->agreeing);
	free(e->path);
	free(e);
	return NULL;
}
