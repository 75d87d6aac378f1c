/* encryption.h - encryption at rest: values of the store that are of resources which a file names.
 *
 * The file is upstream's EncryptionConfiguration (apiserver.config.k8s.io/v1), and so is what is stored, so that one
 * could read the other's database:
 *
 *	k8s:enc:aesgcm:v1:KEYNAME:	a nonce of 12 bytes, AES-GCM of the value, bound to the store key
 *	k8s:enc:aescbc:v1:KEYNAME:	an IV of 16 bytes, AES-CBC of the value padded by PKCS #7
 *	k8s:enc:secretbox:v1:KEYNAME:	a nonce of 24 bytes, XSalsa20-Poly1305 of the value
 *	k8s:enc:kms:v2:NAME:		what a program of somebody else's keeps the keys of (kms.h)
 *	anything else			the value itself (identity)
 *
 * The first entry that names a resource counts, of its providers the first one writes, with its first key; all of them
 * read. What is stored by another key than that is stale, and is written anew by the next update, also by one that
 * changes nothing: so keys are rotated as upstream documents it. Such an update looks at the stored bytes; nothing is
 * remembered about keys of the store. Keys are kept in memory that is not swapped, and wiped at the end.
 *
 * What no provider can read is an error of that value alone: it is set aside (set_aside.h), and can be deleted unread.
 *
 * The file may be looked at each minute (watched_file.h). One that has changed counts when it is good and its programs
 * are well.
 *
 * Not here: KMS v1, which upstream has switched off.
 *
 * Threads: any. The transformer answers before it returns, but for a read that a program has to be asked for.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "store/transform.h"

struct encryption; /* opaque */

/* NULL with what is wrong with the file. Asks its programs once; one that is not well is no failure, but writes to its
 * resources fail until it is. reload: the file is looked at while the server runs. */
struct encryption *encryption_read(struct env *env, const char *path, bool reload, struct err *err);
struct encryption *encryption_parse(struct env *env, struct sv text, struct err *err); /* for tests */
struct encryption *encryption_free(struct encryption *e);			       /* returns NULL */
/* For tests: programs are asked by this; and what happens each minute, now. */
void encryption_ask_by(int (*call)(void *ctx, const char *method, struct sv request, struct arena *a, struct sv *ret,
				   struct err *err),
		       void *ctx);
void encryption_poll(struct encryption *e);

/* What it writes and reads, for other servers of the store (terms.h): appended to b. e NULL: nothing is encrypted. */
struct buf;
void encryption_terms(struct encryption *e, struct sv word, struct buf *b);
/* Asked of a file that has changed, before it counts: -1 with err keeps the one before. On a task that may wait. NULL:
 * any counts; when that returns nobody is asked any more. */
struct enc_set;
void encryption_agreed_by(struct encryption *e, int (*agree)(void *ctx, const struct enc_set *next, struct err *err),
			  void *ctx);

struct store_transform *encryption_transform(struct encryption *e);
/* The store below the transformed one; borrowed, for as long as e is asked. Before the first question. */
void encryption_stored_in(struct encryption *e, struct store *inner);
/* What is stored under this key is not as it would be written now. Reads one value of the store below, and asks no
 * program: for a request's thread, not for a loop nor a store's callback. What cannot be read is stale: a write more
 * loses nothing. e NULL: it never is. */
bool encryption_stale(struct encryption *e, struct sv key);
/* The same about these bytes, which are or were stored under key. */
bool encryption_stale_value(struct encryption *e, struct sv key, struct sv stored);

/* The checks of health that it adds, by number; false: there are no more. *ret_name lives as long as e. */
bool encryption_check(struct encryption *e, size_t i, const char **ret_name, bool *ret_well, struct err *why);
void encryption_metrics(struct encryption *e, struct buf *b); /* NULL is fine */
