/* The seed that seals, those that are known, and the program's health. */
#include "apiserver/encryption/kms.h"
#include "apiserver/encryption/encryption-internal.h"
#include "base/timefmt.h"
#include "codec/pbwire.h"
#include "net/digest.h"
#include "net/grpc.h"
#include "object/validate.h"

#include <stdlib.h>

#define SEED_BYTES 32
#define INFO_BYTES 32
#define KEY_ID_MAX 1024
#define SEALED_SEED_MAX 1024
#define ANNOTATIONS_MAX ((size_t)32 * 1024)
#define SEEDS_MAX 1000
#define SILENT_NS NS_PER_SEC
#define SEED_LIFE_NS (180 * NS_PER_SEC) /* since the program last said that its key counts */

/* EncryptedObject, by field. */
enum { EO_DATA = 1, EO_KEY_ID, EO_SEALED_SEED, EO_ANNOTATIONS, EO_KIND };
enum { KIND_KEY = 0, KIND_SEED = 1 }; /* what was sealed: a key for AES-GCM, or a seed of keys */
/* Answers and questions. */
enum { STATUS_VERSION = 1, STATUS_HEALTHZ, STATUS_KEY_ID };
enum { ENCRYPT_PLAIN = 1, ENCRYPT_UID };
enum { ENCRYPTED = 1, ENCRYPTED_KEY_ID, ENCRYPTED_ANNOTATIONS };
enum { DECRYPT_SEALED = 1, DECRYPT_UID, DECRYPT_KEY_ID, DECRYPT_ANNOTATIONS };

struct kms_seed {
	unsigned char bytes[SEED_BYTES];
};

struct kms {
	struct kms_opts o;
	char *name, *endpoint;
	struct grpc_channel *channel;
	pthread_mutex_t asking; /* one check at a time */
	pthread_mutex_t mu;
	/* Guarded by mu. */
	struct kms_seed seed; /* that seals */
	struct buf head;      /* of what is stored with it: EncryptedObject without data; empty: there is none */
	struct buf key_id;
	int64_t until_ns;    /* monotonic: it seals until then */
	struct strmap known; /* by head: struct kms_seed */
	bool well;
	struct err why;
	int64_t silent_until_ns; /* monotonic; it is not asked to open until then, as it did not answer: */
	struct err silent;
};

/* --- asking --- */

static int kms_grpc(void *ctx, const char *method, struct sv request, struct arena *a, struct sv *ret, struct err *err)
{
	struct kms *k = ctx;

	return grpc_call(k->channel, a, arena_printf(a, "/v2.KeyManagementService/%s", method), request,
			 k->o.timeout_ns, ret, err);
}

static int kms_ask(struct kms *k, const char *method, struct sv request, struct arena *a, struct sv *ret,
		   struct err *err)
{
	int64_t since = env_mono_ns(k->o.env);
	struct err why = ERR_INIT;
	int rc = k->o.call(k->o.call_ctx, method, request, a, ret, &why);

	if (k->o.called)
		k->o.called(k->o.ctx, k, method, rc < 0 ? grpc_code_name(&why) : "OK", env_mono_ns(k->o.env) - since);
	return rc < 0 ? err_move(err, &why) : 0;
}

/* --- what it says, checked --- */

static int kms_check_key_id(struct sv id, struct err *err)
{
	if (!id.n)
		return err_set(err, ERR_INTERNAL, "keyID is empty");
	if (id.n > KEY_ID_MAX)
		return err_set(err, ERR_INTERNAL, "keyID is %zu bytes, which exceeds the max size of %d", id.n,
			       KEY_ID_MAX);
	return 0;
}

static int kms_check_annotations(struct sv message, uint32_t field, struct err *err)
{
	size_t bytes = 0;

	PB_EACH(message, r, f) {
		struct sv key;

		if (f.no != field || f.wire != PB_BYTES)
			continue;
		key = pb_get_sv(f.bytes, 1);
		if (fmt_dns_subdomain(key) || sv_find(key, '.') < 0)
			return err_set(err, ERR_INTERNAL,
				       "annotations: Invalid value: \"%.*s\": should be a domain with at least two "
				       "segments separated by dots",
				       (int)MIN(key.n, 256u), key.p ? key.p : "");
		bytes += key.n + pb_get_sv(f.bytes, 2).n;
	}
	return bytes > ANNOTATIONS_MAX ? err_set(err, ERR_INTERNAL,
						 "total size of annotations is %zu, which exceeds "
						 "the max size of %zu",
						 bytes, ANNOTATIONS_MAX)
				       : 0;
}

static void kms_copy_annotations(struct buf *b, uint32_t to, struct sv message, uint32_t from)
{
	PB_EACH(message, r, f)
		if (f.no == from && f.wire == PB_BYTES)
			pb_sv_elem(b, to, f.bytes);
}

/* --- seeds --- */

static void kms_remember(struct kms *k, struct sv head, const struct kms_seed *seed)
{
	void **slot;

	/* So many at once are a database of somebody who rotates all the time: forgotten, and asked for again. */
	if (k->known.n >= SEEDS_MAX) {
		STRMAP_EACH(&k->known, e)
			explicit_bzero(e->value, sizeof(struct kms_seed));
		strmap_release_with(&k->known, free);
	}
	slot = strmap_slot(&k->known, head);
	if (!*slot)
		*slot = xmalloc(sizeof(*seed));
	*(struct kms_seed *)*slot = *seed;
}

/* A new seed, sealed by the key key_id. */
static int kms_make_seed(struct kms *k, struct sv key_id, struct arena *a, struct err *err)
{
	_cleanup_(buf_release) struct buf ask = BUF_INIT, head = BUF_INIT;
	struct kms_seed seed;
	struct sv said, sealed;
	char uid[37];
	int rc;

	env_random(k->o.env, seed.bytes, sizeof(seed.bytes));
	env_uuid(k->o.env, uid);
	pb_sv(&ask, ENCRYPT_PLAIN, sv_make((const char *)seed.bytes, sizeof(seed.bytes)));
	pb_sv(&ask, ENCRYPT_UID, sv_make(uid, 36));
	rc = kms_ask(k, "Encrypt", buf_sv(&ask), a, &said, err);
	explicit_bzero(ask.p, ask.n);
	if (rc < 0) {
		explicit_bzero(&seed, sizeof(seed));
		return err_wrap(err, "failed to encrypt DEK source");
	}
	sealed = pb_get_sv(said, ENCRYPTED);
	if (!pb_valid(said) || !sealed.n || sealed.n > SEALED_SEED_MAX)
		rc = err_set(err, ERR_INTERNAL, "encrypted DEK source is %zu bytes, and should be 1 to %d", sealed.n,
			     SEALED_SEED_MAX);
	else if (!sv_eq(pb_get_sv(said, ENCRYPTED_KEY_ID), key_id))
		rc = err_set(err, ERR_INTERNAL, "the key ID from the encrypt response is not that of the status");
	else
		rc = kms_check_annotations(said, ENCRYPTED_ANNOTATIONS, err);
	if (rc == 0) {
		pb_sv(&head, EO_KEY_ID, key_id);
		pb_sv(&head, EO_SEALED_SEED, sealed);
		kms_copy_annotations(&head, EO_ANNOTATIONS, said, ENCRYPTED_ANNOTATIONS);
		pb_u64(&head, EO_KIND, KIND_SEED);
		pthread_mutex_lock(&k->mu);
		k->seed = seed;
		buf_clear(&k->head);
		buf_addsv(&k->head, buf_sv(&head));
		buf_clear(&k->key_id);
		buf_addsv(&k->key_id, key_id);
		kms_remember(k, buf_sv(&head), &seed);
		pthread_mutex_unlock(&k->mu);
	}
	explicit_bzero(&seed, sizeof(seed));
	return rc;
}

/* --- health --- */

static int kms_check_status(struct kms *k, struct arena *a, bool *ret_rotated, struct err *err)
{
	struct sv said, version, health, key_id;
	int64_t now = env_mono_ns(k->o.env); /* before it is asked: what it says was true then */
	struct err why = ERR_INIT;
	bool same, first;

	if (kms_ask(k, "Status", SV(""), a, &said, err) < 0)
		return err_wrap(err, "failed to perform status section of the healthz check for KMS Provider %s, error",
				k->name);
	version = pb_get_sv(said, STATUS_VERSION);
	health = pb_get_sv(said, STATUS_HEALTHZ);
	key_id = pb_get_sv(said, STATUS_KEY_ID);
	if (!sv_is(health, "ok"))
		return err_set(err, ERR_INTERNAL,
			       "kmsv2 Provider %s is not healthy, error: got unexpected healthz status: %.*s", k->name,
			       (int)MIN(health.n, 1024u), health.p ? health.p : "");
	if (!sv_is(version, "v2") && !sv_is(version, "v2beta1"))
		return err_set(err, ERR_INTERNAL,
			       "kmsv2 Provider %s is not healthy, error: expected KMSv2 API version v2, got %.*s",
			       k->name, (int)MIN(version.n, 256u), version.p ? version.p : "");
	if (kms_check_key_id(key_id, &why) < 0) {
		err_wrap(&why, "kmsv2 Provider %s is not healthy, error", k->name);
		return err_move(err, &why);
	}
	pthread_mutex_lock(&k->mu);
	first = !k->head.n;
	same = !first && sv_eq(buf_sv(&k->key_id), key_id);
	pthread_mutex_unlock(&k->mu);
	if (!same && kms_make_seed(k, key_id, a, err) < 0)
		return err_wrap(err, "kmsv2 Provider %s is not healthy, error: failed to rotate DEK", k->name);
	pthread_mutex_lock(&k->mu);
	k->silent_until_ns = 0;
	k->until_ns = now + SEED_LIFE_NS;
	pthread_mutex_unlock(&k->mu);
	*ret_rotated = !same && !first;
	return 0;
}

int kms_check(struct kms *k, bool *ret_rotated, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err why = ERR_INIT;
	int rc;

	*ret_rotated = false;
	pthread_mutex_lock(&k->asking);
	rc = kms_check_status(k, &a, ret_rotated, &why);
	pthread_mutex_lock(&k->mu);
	err_release(&k->why);
	k->well = rc == 0;
	if (rc == 0)
		k->silent_until_ns = 0;
	else
		err_copy(&k->why, &why);
	pthread_mutex_unlock(&k->mu);
	pthread_mutex_unlock(&k->asking);
	return rc < 0 ? err_move(err, &why) : 0;
}

bool kms_healthy(struct kms *k, struct err *err)
{
	bool well;

	pthread_mutex_lock(&k->mu);
	well = k->well;
	if (!well)
		err_copy(err, &k->why);
	pthread_mutex_unlock(&k->mu);
	return well;
}

int64_t kms_next_ns(struct kms *k)
{
	struct err why = ERR_INIT;
	bool well = kms_healthy(k, &why);

	err_release(&why);
	return well ? KMS_POLL_NS : KMS_POLL_BAD_NS;
}

/* --- values --- */

/* HKDF-Expand of 32 bytes is one block. */
static void kms_key_of(const struct kms_seed *seed, struct sv info, struct enc_key *ret)
{
	char block[INFO_BYTES + 1];

	*ret = (struct enc_key){ .cipher = CIPHER_AESGCM, .prefix = "", .n = 32 };
	memcpy(block, info.p, INFO_BYTES);
	block[INFO_BYTES] = 1;
	hmac_sha256(sv_make((const char *)seed->bytes, SEED_BYTES), sv_make(block, sizeof(block)), ret->bytes);
}

int kms_seal(struct kms *k, struct sv aad, struct sv plain, struct buf *b, struct err *err)
{
	_cleanup_(buf_release) struct buf data = BUF_INIT, head = BUF_INIT;
	int64_t now = env_mono_ns(k->o.env), until;
	char info[INFO_BYTES];
	struct enc_key key;
	struct kms_seed seed;
	int rc;

	pthread_mutex_lock(&k->mu);
	seed = k->seed;
	until = k->until_ns;
	buf_addsv(&head, buf_sv(&k->head));
	pthread_mutex_unlock(&k->mu);
	if (!head.n || now > until) {
		explicit_bzero(&seed, sizeof(seed));
		return err_set(err, ERR_INTERNAL,
			       head.n ? "unable to encrypt: KMS provider %s has not said for three minutes that its "
					"key counts: start what listens at %s, or look at its log"
				      : "unable to encrypt: KMS provider %s has never been well: start what listens at "
					"%s, or look at its log",
			       k->name, k->endpoint);
	}
	env_random(k->o.env, info, sizeof(info));
	buf_add(&data, info, sizeof(info));
	kms_key_of(&seed, sv_make(info, sizeof(info)), &key);
	rc = enc_seal(k->o.env, &key, aad, plain, &data, err);
	if (rc == 0) {
		pb_sv(b, EO_DATA, buf_sv(&data));
		buf_addsv(b, buf_sv(&head));
	}
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(&seed, sizeof(seed));
	return rc;
}

/* What is stored, taken apart; the head is made anew, as ours has it, so that it is found whoever wrote it. */
struct kms_stored {
	struct sv data, key_id, sealed;
	uint64_t kind;
	struct buf head;
};

static int kms_parse(struct sv stored, struct kms_stored *ret, struct err *err)
{
	*ret = (struct kms_stored){ .data = pb_get_sv(stored, EO_DATA),
				    .key_id = pb_get_sv(stored, EO_KEY_ID),
				    .sealed = pb_get_sv(stored, EO_SEALED_SEED),
				    .kind = pb_get_u64(stored, EO_KIND) };
	if (!pb_valid(stored) || !ret->data.n)
		return err_set(err, ERR_INTERNAL, "the stored data is no EncryptedObject");
	if (kms_check_key_id(ret->key_id, err) < 0 || kms_check_annotations(stored, EO_ANNOTATIONS, err) < 0)
		return -1;
	if (!ret->sealed.n || ret->sealed.n > SEALED_SEED_MAX || ret->kind > KIND_SEED ||
	    (ret->kind == KIND_SEED && ret->data.n < INFO_BYTES))
		return err_set(err, ERR_INTERNAL, "the stored data has no DEK source that could be opened");
	pb_sv(&ret->head, EO_KEY_ID, ret->key_id);
	pb_sv(&ret->head, EO_SEALED_SEED, ret->sealed);
	kms_copy_annotations(&ret->head, EO_ANNOTATIONS, stored, EO_ANNOTATIONS);
	pb_u64(&ret->head, EO_KIND, ret->kind);
	return 0;
}

static bool kms_find(struct kms *k, struct sv head, struct kms_seed *ret)
{
	const struct kms_seed *seed;

	pthread_mutex_lock(&k->mu);
	seed = strmap_get(&k->known, head);
	if (seed)
		*ret = *seed;
	pthread_mutex_unlock(&k->mu);
	return seed != NULL;
}

bool kms_knows(struct kms *k, struct sv sealed)
{
	struct kms_stored s;
	struct kms_seed seed;
	struct err why = ERR_INIT;
	bool known = true; /* what is malformed is refused at once */

	if (kms_parse(sealed, &s, &why) == 0) {
		known = kms_find(k, buf_sv(&s.head), &seed);
		explicit_bzero(&seed, sizeof(seed));
	}
	err_release(&why);
	buf_release(&s.head);
	return known;
}

static int kms_fetch(struct kms *k, const struct kms_stored *s, struct kms_seed *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf ask = BUF_INIT;
	struct sv said, seed;
	struct err why = ERR_INIT;
	char uid[37];
	int64_t began = env_mono_ns(k->o.env), now;
	int rc = 0;

	pthread_mutex_lock(&k->mu);
	if (began < k->silent_until_ns)
		rc = err_copy(err, &k->silent);
	pthread_mutex_unlock(&k->mu);
	if (rc < 0)
		return -1;
	env_uuid(k->o.env, uid);
	pb_sv(&ask, DECRYPT_SEALED, s->sealed);
	pb_sv(&ask, DECRYPT_UID, sv_make(uid, 36));
	pb_sv(&ask, DECRYPT_KEY_ID, s->key_id);
	kms_copy_annotations(&ask, DECRYPT_ANNOTATIONS, buf_sv(&s->head), EO_ANNOTATIONS);
	if (kms_ask(k, "Decrypt", buf_sv(&ask), &a, &said, &why) < 0) {
		err_set(err, ERR_UNAVAILABLE,
			"failed to decrypt DEK source: KMS provider %s does not answer at %s, start it or look at its "
			"log: %s",
			k->name, k->endpoint, err_msg(&why));
		err_release(&why);
		pthread_mutex_lock(&k->mu);
		now = env_mono_ns(k->o.env);
		/* Who waits for one that hangs does so half of the time at most. */
		k->silent_until_ns = now + MAX(SILENT_NS, now - began);
		err_release(&k->silent);
		err_copy(&k->silent, err);
		pthread_mutex_unlock(&k->mu);
		return -1;
	}
	seed = pb_get_sv(said, 1);
	if (seed.n != SEED_BYTES)
		rc = err_set(err, ERR_INTERNAL, "the DEK source is %zu bytes, and should be %d", seed.n, SEED_BYTES);
	else
		memcpy(ret->bytes, seed.p, SEED_BYTES);
	if (said.n)
		explicit_bzero((void *)(uintptr_t)said.p, said.n);
	if (rc == 0) {
		pthread_mutex_lock(&k->mu);
		kms_remember(k, buf_sv(&s->head), ret);
		pthread_mutex_unlock(&k->mu);
	}
	return rc;
}

int kms_open(struct kms *k, struct sv aad, struct sv sealed, struct buf *b, struct err *err)
{
	struct kms_stored s;
	struct kms_seed seed = { 0 };
	struct enc_key key = { .cipher = CIPHER_AESGCM, .prefix = "", .n = 32 };
	int rc = kms_parse(sealed, &s, err);

	if (rc == 0 && !kms_find(k, buf_sv(&s.head), &seed))
		rc = kms_fetch(k, &s, &seed, err);
	if (rc == 0 && s.kind == KIND_SEED) {
		kms_key_of(&seed, sv_sub(s.data, 0, INFO_BYTES), &key);
		s.data = sv_sub(s.data, INFO_BYTES, s.data.n);
	} else if (rc == 0) {
		memcpy(key.bytes, seed.bytes, SEED_BYTES);
	}
	if (rc == 0)
		rc = enc_open(&key, aad, s.data, b, err);
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(&seed, sizeof(seed));
	buf_release(&s.head);
	return rc;
}

bool kms_seals_so(struct kms *k, struct sv sealed)
{
	struct kms_stored s;
	struct err why = ERR_INIT;
	bool so = false;

	if (kms_parse(sealed, &s, &why) == 0) {
		pthread_mutex_lock(&k->mu);
		so = s.kind == KIND_SEED && sv_eq(s.key_id, buf_sv(&k->key_id));
		pthread_mutex_unlock(&k->mu);
	}
	err_release(&why);
	buf_release(&s.head);
	return so;
}

/* --- life --- */

struct kms *kms_new(const struct kms_opts *o)
{
	struct kms *k = xcalloc(1, sizeof(*k));

	k->o = *o;
	k->name = xstrdup(o->name);
	k->endpoint = xstrdup(o->endpoint);
	if (!o->call) {
		_cleanup_free_ char *target = xasprintf("unix:%s", o->endpoint + strlen("unix://"));

		k->channel = grpc_channel_new(target);
		grpc_channel_outside(k->channel, GRPC_ANSWER_MAX, false);
		k->o.call = kms_grpc;
		k->o.call_ctx = k;
	}
	pthread_mutex_init(&k->asking, NULL);
	pthread_mutex_init(&k->mu, NULL);
	err_set(&k->why, ERR_UNAVAILABLE, "kmsv2 Provider %s has not been asked yet", k->name);
	return k;
}

struct kms *kms_free(struct kms *k)
{
	if (!k)
		return NULL;
	STRMAP_EACH(&k->known, e)
		explicit_bzero(e->value, sizeof(struct kms_seed));
	strmap_release_with(&k->known, free);
	explicit_bzero(&k->seed, sizeof(k->seed));
	if (k->channel)
		grpc_channel_free(k->channel);
	buf_release(&k->head);
	buf_release(&k->key_id);
	err_release(&k->why);
	err_release(&k->silent);
	pthread_mutex_destroy(&k->asking);
	pthread_mutex_destroy(&k->mu);
	free(k->name);
	free(k->endpoint);
	free(k);
	return NULL;
}

const char *kms_name(const struct kms *k)
{
	return k->name;
}
