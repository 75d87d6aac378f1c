/* A database and a pki belong together: whoever trusts the certificates has seen the revisions. */
#include "base/file.h"
#include "base/pem.h"
#include "cli/server.h"
#include "net/key.h"

#include <errno.h>
#include <unistd.h>

#define CA_MAX ((size_t)1 << 16)
#define KEY_MAX ((size_t)1 << 16)

static bool database_has(struct arena *a, const char *dir, const char *name)
{
	return access(arena_printf(a, "%s/%s", dir, name), F_OK) == 0;
}

/* The mark is a copy of the CA: what is left of either that is no certificate any more says nothing of whose it is. */
static int check_whole(struct sv pem, const char *path, const char *copy, struct err *err)
{
	if (sv_starts(pem, SV("-----BEGIN ")) && sv_find_sv(pem, SV("\n-----END ")) >= 0)
		return 0;
	return err_set(err, ERR_STORE_READ,
		       "'%s' is damaged, it holds no certificate: put it back, or a copy of '%s', which was the same",
		       path, copy);
}

/* The mark is written when the pki is whole. Whatever of it cannot be made again with nobody the worse is missed. */
static int check_keys(struct arena *a, const char *db, const char *pki, struct err *err)
{
	const char *path = arena_printf(a, "%s/sa.key", pki), *wrong = NULL;
	struct sv key = SV(""), x, y, id;
	struct err why = ERR_INIT;

	if (!database_has(a, pki, "ca.crt") && !database_has(a, pki, "ca.key"))
		return err_set(err, ERR_STORE_READ,
			       "the cluster CA ('%s/ca.crt' and 'ca.key') is gone, but the database '%s' is that of a "
			       "cluster with clients: put both back, or start with --accept-database to make a new "
			       "CA, which every kubeconfig and node needs then",
			       pki, db);
	if (file_read(a, path, KEY_MAX, &key, &why) == 0) {
		if (!key.n)
			wrong = "is empty";
		else if (pem_encrypted(key))
			wrong = "is encrypted, and there is nobody to ask for the password";
		else if (key_public_jwk(a, key, &x, &y, &id, NULL) < 0)
			wrong = "holds no P-256 key";
	} else if (why.errnum == ENOENT) {
		wrong = "is gone";
	} else {
		return err_move(err, &why);
	}
	err_release(&why);
	if (!wrong)
		return 0;
	return err_set(err, ERR_STORE_READ,
		       "'%s' %s: put it back, or remove what is left of it and start with --accept-database to make a "
		       "new one, with which no token that a ServiceAccount has works any more",
		       path, wrong);
}

int database_check(struct arena *a, const struct server_opts *o, struct err *err)
{
	const char *db = arena_printf(a, "%s/db", o->node.data_dir), *pki = arena_printf(a, "%s/pki", o->node.data_dir);
	const char *mark_path = arena_printf(a, "%s/cluster", db), *ca_path = arena_printf(a, "%s/ca.crt", pki);
	struct sv ca, mark;
	struct err why = ERR_INIT;

	if (o->accept_database)
		return 0;
	if (database_has(a, db, "cluster") && check_keys(a, db, pki, err) < 0)
		return -1;
	/* A CA alone was put there to be used. The key of service accounts is made with a cluster. */
	if (!database_has(a, pki, "ca.crt") || !database_has(a, pki, "sa.key"))
		return 0;
	if (!database_has(a, db, "manifest") && !database_has(a, db, "data.mdb") && !database_has(a, db, "cluster"))
		return err_set(
		    err, ERR_STORE_READ,
		    "the database '%s' is gone, but '%s' is that of a cluster with clients: put the database "
		    "back, or start with --accept-database to begin an empty one",
		    db, pki);
	if (file_read(a, mark_path, CA_MAX, &mark, &why) < 0) {
		if (why.errnum != ENOENT) /* made before there was one */
			return err_move(err, &why);
		err_release(&why);
		return 0;
	}
	if (file_read(a, ca_path, CA_MAX, &ca, err) < 0 || check_whole(mark, mark_path, ca_path, err) < 0 ||
	    check_whole(ca, ca_path, mark_path, err) < 0)
		return -1;
	if (!sv_eq(ca, mark))
		return err_set(err, ERR_STORE_READ,
			       "the database '%s' belongs to another cluster than '%s': '%s' and '%s' differ; put the "
			       "right one back, "
			       "or start with --accept-database to use it with this pki",
			       db, pki, mark_path, ca_path);
	return 0;
}

int database_mark(struct arena *a, const struct server_opts *o, struct sv ca, struct err *err)
{
	const char *path = arena_printf(a, "%s/db/cluster", o->node.data_dir);
	struct err why = ERR_INIT;
	struct sv mark;
	bool same = file_read(a, path, CA_MAX, &mark, &why) == 0 && sv_eq(mark, ca);

	err_release(&why);
	if (same || file_write(path, ca, 0600, &why) == 0)
		return 0;
	/* A full disk must not keep a cluster from starting; the next start writes it. */
	if (err_no_room(&why)) {
		err_release(&why);
		return 0;
	}
	return err_move(err, &why);
}
