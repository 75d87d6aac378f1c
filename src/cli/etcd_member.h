/* etcd_member.h - an etcd of the servers' own: each runs one beside it, and together they are one store.
 *
 *	caravel server --cluster-init ...		the first: a cluster of one member
 *	caravel server --server URL --token T ...	a further one (server_join.h)
 *
 * The program is Debian's (etcd-server), found by PATH, started and started again when it ends, with a pause that
 * grows while it ends young; it ends with the server. All its connections are TLS and both sides show certificates of
 * a CA that is for this alone (pki.h), so a node's certificate opens nothing here.
 *
 *	DIR/etcd/data		etcd's own
 *	DIR/etcd/name		of the member: the host's name and some digits, made once
 *	DIR/etcd/clients	where clients reach all members, as last seen: for while the own one does not answer
 *	DIR/etcd/member.crt	and .key: of this member, made at each start
 *	DIR/etcd/etcd.log	what it says; etcd.log.1 the one before, when it has become large
 *
 * One that the others have removed ends, and is not started again: its log says so, and removed() is told. Its data is
 * worth nothing to them any more.
 *
 * A member listens on the server's address: members on port + 1, clients on port, and there on 127.0.0.1, too.
 *
 * Threads: the owner's.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "cli/datastore.h"

struct etcd_member; /* opaque */

struct etcd_member_opts {
	struct env *env;
	const char *data_dir;
	const char *address; /* of this machine; as long as it is the member's */
	int port;
	void (*removed)(void *ctx); /* once, on a task of the env; may be NULL */
	void *removed_ctx;
	const char *into; /* below DIR/etcd instead of data, and nothing there is synced; NULL: data */
	bool alone;	  /* who else was a member of what is there is none any more: etcd's --force-new-cluster */
};

/* Who it is; in the arena. */
struct etcd_member_id {
	const char *name, *peer, *client; /* URLs */
};

/* --cluster-init on a machine without the program is told so before anything is made. */
int etcd_member_check(struct err *err);
/* For one that has no data yet: are its addresses this machine's, and free? What joins shows that before it asks for a
 * place, which may be another one's. ERR_INVALID, ERR_ALREADY_EXISTS. */
int etcd_member_can_listen(const struct etcd_member_opts *o, struct err *err);
/* Has it data, whatever became of it? */
bool etcd_member_there(const char *data_dir);
int etcd_member_identify(struct arena *a, const struct etcd_member_opts *o, struct etcd_member_id *ret,
			 struct err *err);

/* cluster: "name=URL,..." of all members, this one among them, where it joins others; NULL: it is alone, or has data.
 * The pki has the CA. */
struct etcd_member *etcd_member_start(const struct etcd_member_opts *o, const struct etcd_member_id *id,
				      const char *cluster, struct err *err);
/* Waits; NULL is fine. at_once: no other member takes over from it, and it is killed: what it answered is in its log.
 */
struct etcd_member *etcd_member_stop(struct etcd_member *m, bool at_once);
/* How it is asked: this one first, or the others when it has no vote yet. clients: their URLs, with commas; NULL: as in
 * DIR/etcd/clients. Texts in a. */
void etcd_member_datastore(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   const char *clients, bool others_first, struct datastore_opts *ret);
/* The files for asking any of them. */
void etcd_member_way(struct arena *a, const char *data_dir, struct datastore_opts *ret);
/* Notes where clients reach them. */
void etcd_member_note_clients(const char *data_dir, struct sv clients);
