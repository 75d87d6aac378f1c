/* encryption.h - encryption at rest: values of the store that are of resources which a file names.
 *
 * The file is upstream's EncryptionConfiguration (apiserver.config.k8s.io/v1), and so is what is stored, so that one
 * could read the other's database:
 *
 *	k8s:enc:aesgcm:v1:KEYNAME:	a nonce of 12 bytes, AES-GCM of the value, bound to the store key
 *	k8s:enc:aescbc:v1:KEYNAME:	an IV of 16 bytes, AES-CBC of the value padded by PKCS #7
 *	k8s:enc:secretbox:v1:KEYNAME:	a nonce of 24 bytes, XSalsa20-Poly1305 of the value
 *	anything else			the value itself (identity)
 *
 * The first entry that names a resource counts, of its providers the first one writes, with its first key; all of them
 * read. What was read by another key than that is stale, and is written anew by the next update, also by one that
 * changes nothing: so keys are rotated as upstream documents it. Keys are kept in memory that is not swapped, and
 * wiped at the end.
 *
 * What no provider can read is an error of that value alone: it is set aside (set_aside.h), and can be deleted unread.
 *
 * Not here: kms providers, which are refused by the words of the start.
 *
 * Threads: any. The transformer answers before it returns.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "store/transform.h"

struct encryption; /* opaque */

/* NULL with what is wrong with the file. */
struct encryption *encryption_read(struct env *env, const char *path, struct err *err);
struct encryption *encryption_parse(struct env *env, struct sv text, struct err *err); /* for tests */
struct encryption *encryption_free(struct encryption *e);			       /* returns NULL */

struct store_transform *encryption_transform(struct encryption *e);
/* What was last read under this key is not as it would be written now. NULL: it never is. */
bool encryption_stale(struct encryption *e, struct sv key);
