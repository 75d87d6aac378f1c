/* `caravel snapshot save`: records from a server, an etcd or a database, keys from the data directory, into one file.
 */
#include "base/file.h"
#include "base/version.h"
#include "cli/admin.h"
#include "cli/agent.h"
#include "cli/snapshot.h"
#include "cli/snapshot_source.h"
#include "ev/ev.h"
#include "snapshot/keys.h"
#include "snapshot/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TRIES 3 /* when the revision is compacted away meanwhile */

struct save {
	struct snapshot_cmd *c;
	struct snapshot_source from;
	struct archive_file *files;
	size_t n_files;
	struct sv secret;
	struct archive_out *out;
	struct archive_total total;
	int64_t rev;
	bool encrypted; /* some values are, as they are stored */
	bool records;	/* there are any */
};

static int save_record(const struct store_kv *kv, void *ctx, struct err *err)
{
	struct save *s = ctx;

	if (s->n_files && keys_told(kv->key, s->secret))
		return err_set(
		    err, ERR_INVALID,
		    "the token that is to seal keys is one that machines join with: its Secret is a record of "
		    "the snapshot, which would open itself. Leave --token out, for that of '%s/server/token', "
		    "or take one that nobody joins with",
		    s->c->data_dir);
	s->encrypted |= sv_starts(kv->value, SV("k8s:enc:"));
	s->records = true;
	return archive_out_add(s->out, kv, err);
}

static int save_all(struct save *s, archive_put_fn *put, void *ctx, struct err *err)
{
	struct archive_head h = { .cluster = keys_cluster(&s->c->arena, s->files, s->n_files),
				  .version = SV(CARAVEL_VERSION),
				  .kubernetes = SV(KUBERNETES_VERSION) };

	s->records = false;
	s->rev = snapshot_source_rev(&s->from, err);
	if (s->rev < 0)
		return -1;
	h.rev = s->rev;
	h.time_ns = env_now_ns(s->c->env);
	archive_out_free(s->out);
	s->out = archive_out_new(&h, put, ctx, err);
	if (!s->out || snapshot_source_each(&s->from, s->rev, save_record, s, err) < 0)
		return -1;
	/* Others would be thinned out for it. */
	if (!s->records)
		return err_set(err, ERR_NOT_FOUND,
			       "there is nothing in it: is it the right one? A cluster has some hundred keys");
	if (s->encrypted && s->n_files && !s->c->encryption_config)
		return err_set(
		    err, ERR_INVALID,
		    "values are stored encrypted: --encryption-provider-config names the file with their keys, "
		    "as the server's does");
	if (s->n_files && archive_out_seal(s->out, s->c->env, s->secret, s->files, s->n_files, err) < 0)
		return -1;
	return archive_out_end(s->out, &s->total, err);
}

static int save_to_output(struct save *s, struct err *err)
{
	struct shelf_out o = { .fd = STDOUT_FILENO, .part = (char[]){ "standard output" } };

	if (isatty(STDOUT_FILENO))
		return err_set(err, ERR_INVALID, "a snapshot is nothing for a terminal: redirect it, or name a file");
	return save_all(s, shelf_put, &o, err);
}

static int save_to_file(struct save *s, const char *path, struct err *err)
{
	_cleanup_(shelf_abort) struct shelf_out o = { .fd = -1 };
	struct err why = ERR_INIT;
	int rc = shelf_begin(&o, path, err);

	if (rc < 0)
		return -1;
	for (int i = 0; i < TRIES; i++) {
		err_release(&why);
		rc = save_all(s, shelf_put, &o, &why);
		if (rc == 0 || why.reason != ERR_EXPIRED)
			break;
		if (shelf_rewind(&o, err) < 0) {
			err_release(&why);
			return -1;
		}
	}
	if (rc < 0)
		return err_move(err, &why);
	return shelf_end(&o, err);
}

/* A kubeconfig and a data directory of two clusters would make a snapshot of neither. */
static int save_check_one_cluster(struct save *s, struct err *err)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->from.api.pool && sv_is(s->files[i].name, "pki/ca.crt") && s->from.api.k.ca_pem.n &&
		    !sv_eq(sv_trim(s->files[i].data), sv_trim(s->from.api.k.ca_pem)))
			return err_set(err, ERR_INVALID,
				       "the kubeconfig is of another cluster than '%s': name the right ones with "
				       "--data-dir and --kubeconfig",
				       s->c->data_dir);
	return 0;
}

static int save_keys(struct save *s, struct err *err)
{
	struct snapshot_cmd *c = s->c;
	int r =
	    c->without_keys ? 0 : keys_read(&c->arena, c->data_dir, c->encryption_config, &s->files, &s->n_files, err);

	if (r < 0)
		return -1;
	if (r == 0) {
		if (!c->without_keys)
			fprintf(
			    stderr,
			    "caravel: '%s' holds no cluster's keys, so the snapshot has none: take it on the server's "
			    "machine\n",
			    c->data_dir);
		return 0;
	}
	if (snapshot_cmd_secret(c, &s->secret, err) < 0)
		return -1;
	if (!s->secret.p)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "'%s/server/token' is not there, with which keys are sealed: a server makes it when it starts; "
		    "--token takes one, --without-keys leaves them out",
		    c->data_dir);
	return 0;
}

static void save_told(const char *file, void *ctx)
{
	(void)ctx;
	printf("removed %s\n", file);
}

static int save_upload(struct save *s, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	if (s3_put(&s->c->s3.o, name, fd, err) < 0)
		return err_wrap(err, "it is in '%s' only", path);
	printf("uploaded %s to bucket %s\n", name, s->c->s3.o.bucket);
	return 0;
}

/* Here as there, whatever became of the other: where a bucket cannot be reached for long, a disk must not fill. What
 * failed first is told, and in the bucket nothing goes for what did not come. */
static int save_keep(struct save *s, const char *path, bool thin, struct err *err)
{
	struct snapshot_cmd *c = s->c;
	struct err why = ERR_INIT;
	int rc = c->s3.on ? save_upload(s, path, err) : 0;

	if (!thin)
		return rc;
	if (rc == 0 && c->s3.on)
		rc = snapshot_s3_prune(&c->s3, c->name, (size_t)c->keep, err);
	if (shelf_prune(c->dir, c->name, (size_t)c->keep, save_told, NULL, &why) < 0) {
		if (rc == 0)
			err_move(err, &why);
		err_release(&why);
		rc = -1;
	}
	return rc;
}

/* $KUBECONFIG's, too, where it is of this data directory's cluster: else that is looked at alone. */
static const char *save_kubeconfig(struct snapshot_cmd *c)
{
	struct admin m = { .data_dir = c->data_dir_given ? c->data_dir : NULL, .kubeconfig = c->kubeconfig };
	const char *path = admin_find(&m, &c->arena);

	return path && m.from_env ? admin_way(&m, &c->arena, NULL) : path;
}

static int save_run(struct save *s, struct err *err)
{
	struct snapshot_cmd *c = s->c;
	const char *word = c->words.list.p[0];
	const char *path = word ? word : shelf_path(&c->arena, c->dir, c->name, env_now_ns(c->env));

	/* Nobody of us forgets an etcd's history. */
	c->etcd.compact = "0s";
	if (snapshot_source_open(&s->from, c->env, &c->arena, c->data_dir, save_kubeconfig(c), &c->etcd, err) < 0 ||
	    save_keys(s, err) < 0 || save_check_one_cluster(s, err) < 0)
		return -1;
	if (word && strcmp(word, "-") == 0)
		return save_to_output(s, err);
	if ((!word && dir_make(c->dir, 0700, err) < 0) || save_to_file(s, path, err) < 0)
		return -1;
	printf("saved %s: revision %" PRId64 ", %" PRIu64 " keys%s\n", path, s->rev, s->total.records,
	       s->n_files ? "" : ", without certificates and keys");
	return save_keep(s, path, !word && c->keep, err);
}

int cmd_snapshot_save(int argc, char **argv)
{
	_cleanup_(snapshot_cmd_release) struct snapshot_cmd c = { .name = SNAPSHOT_NAME };
	const struct option table[] = {
		SNAPSHOT_DATA_DIR(c),
		SNAPSHOT_DIR(c),
		SNAPSHOT_NAME_ROWS(c),
		{ "snapshot-retention", 0, OPT_INT, &c.keep, "N",
		  "then keep only the newest N of that name and node (all)" },
		SNAPSHOT_TOKEN(c, "with which keys are sealed"),
		{ "without-keys", 0, OPT_BOOL, &c.without_keys, NULL, "no certificates and keys" },
		{ "encryption-provider-config", 0, OPT_STRING, &c.encryption_config, "FILE",
		  "as the server has it, where it does: sealed with the keys" },
		SNAPSHOT_S3_ROWS(c.s3),
		{ "kubeconfig", 0, OPT_STRING, &c.kubeconfig, "FILE", "an administrator's (that of the server)" },
		{ "datastore-endpoint", 0, OPT_STRING, &c.etcd.endpoint, "URLS",
		  "the etcd to read, as the server has it" },
		{ "datastore-cafile", 0, OPT_STRING, &c.etcd.ca_file, "FILE", "whose certificates it may show" },
		{ "datastore-certfile", 0, OPT_STRING, &c.etcd.cert_file, "FILE", "a certificate to show it" },
		{ "datastore-keyfile", 0, OPT_STRING, &c.etcd.key_file, "FILE", "its key" },
	};
	struct save s = { .c = &c };
	struct err err = ERR_INIT;
	int rc = snapshot_cmd_begin(&c, table, ARRAY_LEN(table), argc, argv, 1, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && c.keep < 0)
		rc = err_set(&err, ERR_INVALID, "--snapshot-retention takes a number, or 0 for all, not %d", c.keep);
	if (rc == 0)
		rc = datastore_check(&c.etcd, false, &err);
	if (rc == 0)
		rc = save_run(&s, &err);
	archive_out_free(s.out);
	snapshot_source_release(&s.from);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
