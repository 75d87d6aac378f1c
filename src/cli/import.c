/* `caravel import`: a cluster of another program becomes this one's: from an etcd's snapshot, from k3s' SQLite, or from
 * where it runs. */
#include "cli/import.h"

#include "base/buf.h"
#include "base/file.h"
#include "cli/agent.h"
#include "cli/import_rules.h"
#include "snapshot/bolt.h"
#include "snapshot/foreign.h"
#include "snapshot/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define REGISTRY "/registry"
#define CONFIG_MAX ((size_t)1 << 20)

struct import {
	struct snapshot_cmd *c;
	struct restore *r;
	int64_t time_ns; /* of the file */
	struct sv prefix;
	uint64_t classes; /* of k3s' provisioner, that are ours now */
};

/* As a kube-apiserver reads it: with one slash before it, and none behind. */
static int import_prefix(struct import *m, const char *flag, struct err *err)
{
	struct sv s = sv_from(flag ? flag : REGISTRY);

	while (sv_starts(s, SV("/")))
		s = sv_sub(s, 1, s.n);
	while (sv_ends(s, SV("/")))
		s = sv_sub(s, 0, s.n - 1);
	if (!s.n || s.n > STORE_KEY_MAX)
		return err_set(err, ERR_INVALID, "--etcd-prefix takes what keys begin with, as " REGISTRY ", not '%s'",
			       flag);
	m->prefix = arena_svf(&m->c->arena, "/%.*s", SV_ARG(s));
	return 0;
}

/* Nothing is what another program's file has, or the same with another prefix: no reason to give up what is there. */
static int import_check(const struct import *m, const struct foreign_found *found, struct err *err)
{
	_cleanup_(buf_release) struct buf seen = BUF_INIT;

	if (found->encrypted && !sv_is(m->prefix, REGISTRY))
		return err_set(err, ERR_INVALID,
			       "values in it are encrypted, which binds them to their keys, and those would be others: "
			       "let its kube-apiserver write them unencrypted first (identity before the others, and "
			       "every object once)");
	if (found->keys)
		return 0;
	for (size_t i = 0; i < FOREIGN_SEEN && *found->seen[i]; i++)
		buf_printf(&seen, "%s'%s'", i ? ", " : "", found->seen[i]);
	if (!seen.n)
		return err_set(err, ERR_NOT_FOUND, "there is no key in it");
	return err_set(
	    err, ERR_NOT_FOUND,
	    "there is no key of Kubernetes below '%.*s' in it: it has keys below %s. --etcd-prefix takes what "
	    "its kube-apiserver had",
	    SV_ARG(m->prefix), buf_cstr(&seen));
}

static int import_begin(int64_t rev, void *ctx, struct err *err)
{
	struct import *m = ctx;

	return restore_begin(m->r, rev, m->time_ns, err);
}

static int import_record(const struct store_kv *kv, void *ctx, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct import *m = ctx;
	struct store_kv ours = *kv;

	if (import_stored_class(&a, kv->key, &ours.value))
		m->classes++;
	return restore_add(m->r, &ours, err);
}

/* A directory of k3s (its data directory, server, or db), or one of an etcd. */
static const char *import_in_dir(struct arena *a, const char *path)
{
	static const char *const places[] = { "state.db",
					      "db/state.db",
					      "server/db/state.db",
					      "member/snap/db",
					      "etcd/member/snap/db",
					      "db/etcd/member/snap/db",
					      "server/db/etcd/member/snap/db",
					      "snap/db" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *file = arena_printf(a, "%s/%s", path, places[i]);

		if (access(file, F_OK) == 0)
			return file;
	}
	return NULL;
}

static int import_read(struct import *m, const char *path, int fd, struct foreign_found *found, struct err *err)
{
	static const struct foreign_cb cb = { import_begin, import_record };
	char first[16] = { 0 };

	if (pread(fd, first, sizeof(first), 0) == (ssize_t)sizeof(first) && memcmp(first, "SQLite format 3", 16) == 0)
		return foreign_kine(path, m->prefix, &cb, m, found, err);
	if (memcmp(first, "CARAVELSNAPSHOT\n", 16) == 0)
		return err_set(err, ERR_INVALID, "it is a snapshot of Caravel: 'caravel snapshot restore' takes that");
	if (bolt_is(fd))
		return foreign_etcd(fd, m->prefix, &cb, m, found, err);
	return err_set(err, ERR_INVALID, "it is neither a snapshot of an etcd nor a database of k3s");
}

/* The configuration with the keys that values are encrypted with goes along. */
static int import_encryption(struct import *m, const struct foreign_found *found, struct err *err)
{
	const char *config = m->c->encryption_config;
	struct archive_file f = { .name = SV(KEYS_ENCRYPTION) };

	if (!found->encrypted)
		return 0;
	if (!config)
		return err_set(err, ERR_INVALID,
			       "values in it are encrypted: --encryption-provider-config takes the file that its "
			       "kube-apiserver had (of k3s: server/cred/encryption-config.json)");
	return file_read(&m->c->arena, config, CONFIG_MAX, &f.data, err) < 0 ? -1 : restore_files(m->r, &f, 1, err);
}

static void import_told(const struct import *m, const struct foreign_found *found)
{
	if (m->classes)
		printf("StorageClasses of k3s' provisioner rancher.io/local-path: %" PRIu64
		       ", which this server's nodes serve from now on; volumes that it made are used as they are, and "
		       "stay when their claims go\n",
		       m->classes);
	if (found->passed_over)
		printf("passed over: %" PRIu64 " keys that are none of Kubernetes'\n", found->passed_over);
	if (found->unread)
		printf("values that are no objects: %" PRIu64 ", %s%s; the server sets them aside, and its lists say "
		       "so\n",
		       found->unread, found->unread_at, found->unread > 1 ? " first" : "");
	if (found->unchecked)
		printf("the file has no checksum: a copy of a database, not a snapshot; was its etcd stopped? one that "
		       "was killed "
		       "has its last writes elsewhere\n");
	printf("certificates, keys and tokens are not taken along: nodes join anew, kubeconfigs are made anew, and "
	       "Secrets "
	       "of the type service-account-token are to be deleted, so that they are made anew\n"
	       "address ranges are what flags say: --service-cidr and --cluster-cidr as they were there\n");
}

int import_file(struct snapshot_cmd *c, const char *word, const char *prefix, struct err *err)
{
	const struct restore_opts o = { .env = c->env, .data_dir = c->data_dir };
	_cleanup_(restore_freep) struct restore *r = NULL;
	struct import m = { .c = c };
	struct foreign_found found;
	struct restore_done done;
	const char *path = word;
	struct stat st;

	if (import_prefix(&m, prefix, err) < 0)
		return -1;
	if (stat(word, &st) == 0 && S_ISDIR(st.st_mode)) {
		path = import_in_dir(&c->arena, word);
		if (!path)
			return err_set(err, ERR_NOT_FOUND,
				       "'%s' holds neither k3s' server/db/state.db nor an etcd's member/snap/db", word);
	}
	{
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st) < 0)
			return err_set_errno(err, errno, "cannot open '%s'", path);
		m.time_ns = (int64_t)st.st_mtim.tv_sec * NS_PER_SEC;
		r = m.r = restore_new(&o, err);
		if (!r)
			return -1;
		if (import_read(&m, path, fd, &found, err) < 0 || import_check(&m, &found, err) < 0 ||
		    import_encryption(&m, &found, err) < 0)
			return err_wrap(err, "'%s'", path);
	}
	if (restore_commit(r, &done, err) < 0)
		return -1;
	snapshot_cmd_told(c, &done);
	import_told(&m, &found);
	return 0;
}

int cmd_import(int argc, char **argv)
{
	_cleanup_(snapshot_cmd_release) struct snapshot_cmd c = { .name = SNAPSHOT_NAME };
	const char *from = NULL, *prefix = NULL;
	bool own_namespaces = false;
	const struct option table[] = {
		SNAPSHOT_DATA_DIR(c),
		{ "from-kubeconfig", 0, OPT_STRING, &from, "FILE",
		  "of the administrator of a running cluster, whose objects are created in the server's" },
		{ "kubeconfig", 0, OPT_STRING, &c.kubeconfig, "FILE",
		  "with that: an administrator's of the cluster they go to (that of the server)" },
		{ "with-kube-system", 0, OPT_BOOL, &own_namespaces, NULL,
		  "with that: also what is in kube-system, kube-public and kube-node-lease" },
		{ "etcd-prefix", 0, OPT_STRING, &prefix, "PREFIX",
		  "of keys in a file, as its kube-apiserver had it (" REGISTRY ")" },
		{ "encryption-provider-config", 0, OPT_STRING, &c.encryption_config, "FILE",
		  "with the keys of values that are encrypted there" },
	};
	struct err err = ERR_INIT;
	int rc = snapshot_cmd_begin(&c, table, ARRAY_LEN(table), argc, argv, 1, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && !c.words.list.p[0] == !from)
		rc = err_set(&err, ERR_INVALID,
			     "from where? name an etcd's snapshot, k3s' database or directory, or --from-kubeconfig");
	if (rc == 0)
		rc = from ? import_cluster(&c, from, own_namespaces, &err)
			  : import_file(&c, c.words.list.p[0], prefix, &err);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
