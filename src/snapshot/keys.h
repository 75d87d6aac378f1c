/* keys.h - which files of a data directory belong to a cluster and not to a machine.
 *
 *	pki/ca.crt .key, sa.key		without them there is no such cluster: they must be there
 *	pki/front-proxy-ca.crt .key
 *	server/node-token		by which machines join; its Secret is a record
 *	server/token			with which archives are sealed; in no record, and no node has it
 *	cidrs				which ranges it chose
 *	encryption-config.yaml		what --encryption-provider-config names, wherever that is
 *
 * Not the serving certificate and its key: they are made for the names and addresses of one machine.
 */
#pragma once

#include "base/arena.h"
#include "snapshot/archive.h"

#define KEYS_ENCRYPTION "encryption-config.yaml"

/* Names and contents, in a. encryption_config: its path, or NULL. 1: read; 0: the directory holds no cluster's keys;
 * -1. */
int keys_read(struct arena *a, const char *data_dir, const char *encryption_config, struct archive_file **ret,
	      size_t *ret_n, struct err *err);
/* Is it one of them? Of a file in an archive, before anything is made of it. */
bool keys_known(struct sv name);
/* Does a record of this key tell the word that is to seal? Its value need not be seen, and may be encrypted: the Secret
 * of a token has the token's id in its name. */
bool keys_told(struct sv key, struct sv word);
/* SHA-256 of the CA among them, as archives have it in their head; "" when there is none. */
struct sv keys_cluster(struct arena *a, const struct archive_file *f, size_t n);
