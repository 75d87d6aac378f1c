/* encryption-internal.h - shared by the files of encryption/, nobody else. */
#pragma once

#include "apiserver/encryption/encryption.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/strmap.h"

#include <pthread.h>

struct kms;

enum cipher { CIPHER_IDENTITY, CIPHER_AESGCM, CIPHER_AESCBC, CIPHER_SECRETBOX, CIPHER_KMS, _CIPHER_MAX };

#define KEY_BYTES_MAX 32

/* One key of one provider; identity has none. */
struct enc_key {
	enum cipher cipher;
	const char *prefix; /* "k8s:enc:aescbc:v1:key1:"; "" */
	size_t n;
	unsigned char bytes[KEY_BYTES_MAX];
	/* Of CIPHER_KMS, which has no bytes. */
	const char *kms_name, *endpoint;
	int64_t timeout_ns;
	struct kms *kms; /* made when the file is used (encryption.c) */
};

/* What one `resources` entry says; in the arena. */
struct enc_rule {
	struct sv *patterns; /* "secrets", "deployments.apps", "*.", "*.apps", "*.*" */
	size_t n_patterns;
	struct enc_key *keys; /* the first one writes */
	size_t n_keys;
};

struct enc_rules {
	struct enc_rule *rules;
	size_t n;
};

/* config.c */
int enc_config_parse(struct arena *a, struct sv text, struct enc_rules *ret, struct err *err);
/* The entry for a resource; NULL: it is stored as it is. */
const struct enc_rule *enc_rule_for(const struct enc_rules *rules, struct sv group, struct sv plural);

/* ciphers.c: what stands behind the prefix. aad: what the value is bound to. */
int enc_seal(struct env *env, const struct enc_key *k, struct sv aad, struct sv plain, struct buf *b, struct err *err);
int enc_open(const struct enc_key *k, struct sv aad, struct sv sealed, struct buf *b, struct err *err);
/* Whether the cipher can be had at all: a library may be missing. */
int enc_usable(enum cipher c, struct err *err);
