/* `caravel snapshot ls`, `prune` and `restore`, and what all of its commands share. */
#include "cli/snapshot.h"

#include "base/file.h"
#include "base/timefmt.h"
#include "cli/agent.h"
#include "cli/kubeconfig_link.h"
#include "cli/token_word.h"
#include "client/bootstrap_token.h"
#include "ev/ev.h"
#include "snapshot/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TOKEN_MAX ((size_t)4096)

void snapshot_cmd_release(struct snapshot_cmd *c)
{
	string_list_release(&c->words);
	if (c->env)
		env_real_free(c->env);
	arena_release(&c->arena);
}

int snapshot_cmd_begin(struct snapshot_cmd *c, const struct option *table, size_t n, int argc, char **argv,
		       size_t words, struct err *err)
{
	int rc = cli_options_parse(&c->arena, table, n, argc, argv, NULL, &c->words, err);

	if (rc)
		return rc;
	if (c->words.list.n - 1 > words)
		return err_set(err, ERR_INVALID, "unexpected argument '%s'; 'caravel help %s' says what it takes",
			       c->words.list.p[words], argv[0]);
	if (!shelf_name_good(c->name))
		return err_set(err, ERR_INVALID, "--name takes the beginning of a file's name, not '%s'", c->name);
	if (!c->node_name)
		c->node_name = host_own_name(&c->arena, "localhost");
	if (!shelf_name_good(c->node_name))
		return err_set(err, ERR_INVALID, "--node-name takes a node's name, not '%s'", c->node_name);
	c->name = arena_printf(&c->arena, "%s-%s", c->name, c->node_name);
	if (token_word(&c->arena, "token", &c->token, c->token_file, err) < 0)
		return -1;
	c->data_dir_given = c->data_dir;
	c->dir_given = c->dir;
	c->data_dir = full_path(&c->arena, c->data_dir ? c->data_dir : default_data_dir(&c->arena));
	if (!c->dir || *c->dir != '/')
		c->dir = arena_printf(&c->arena, "%s/%s", c->data_dir, c->dir ? c->dir : "snapshots");
	if (snapshot_s3_settle(&c->s3, err) < 0)
		return -1;
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* what was done stands before what failed */
	c->env = env_real_new(2);
	return 0;
}

int snapshot_cmd_secret(struct snapshot_cmd *c, struct sv *ret, struct err *err)
{
	const char *path = arena_printf(&c->arena, "%s/server/token", c->data_dir);
	struct join_token token;
	struct err why = ERR_INIT;
	struct sv text;

	*ret = SV_NULL;
	if (c->token) {
		if (join_token_parse(sv_from(c->token), &token, err) < 0)
			return err_wrap(err, "--token");
	} else if (file_read(&c->arena, path, TOKEN_MAX, &text, &why) < 0) {
		if (why.errnum != ENOENT)
			return err_move(err, &why);
		err_release(&why);
		return 0;
	} else if (join_token_parse(sv_trim(text), &token, err) < 0) {
		return err_wrap(err, "'%s'", path);
	}
	*ret = arena_svf(&c->arena, "%.*s.%.*s", SV_ARG(token.id), SV_ARG(token.secret));
	return 0;
}

const char *snapshot_cmd_kubeconfig(struct snapshot_cmd *c)
{
	return c->kubeconfig ? c->kubeconfig : kubeconfig_link_find(&c->arena, c->data_dir);
}

/* --- ls --- */

/* A server makes the usual one with its first snapshot; one that was named, and is not there, is mistyped. */
static int shelf_is_there(const struct snapshot_cmd *c, struct err *err)
{
	if (access(c->dir, F_OK) == 0)
		return 0;
	if (c->dir_given)
		return err_set_errno(err, errno, "cannot read '%s'", c->dir);
	return access(c->data_dir, F_OK) == 0
		   ? 0
		   : err_set(err, ERR_NOT_FOUND,
			     "there is no '%s': name a server's --data-dir, or where they are with --snapshot-dir",
			     c->data_dir);
}

static void ls_print(const struct shelf_entry *e, int width)
{
	char when[TIME_TEXT_MAX];

	if (e->why) {
		cli_print("%-*s %12" PRId64 "  %s\n", width, e->name, e->bytes, e->why);
		return;
	}
	cli_print("%-*s %12" PRId64 "  %.*s  %12" PRId64 " %9" PRIu64 "  %.*s\n", width, e->name, e->bytes,
		  SV_ARG(time_format(e->head.time_ns, false, when)), e->head.rev, e->total.records,
		  SV_ARG(e->head.kubernetes));
}

int cmd_snapshot_ls(int argc, char **argv)
{
	_cleanup_(snapshot_cmd_release) struct snapshot_cmd c = { .name = SNAPSHOT_NAME };
	const struct option table[] = { SNAPSHOT_DATA_DIR(c), SNAPSHOT_DIR(c), SNAPSHOT_S3_ROWS(c.s3) };
	struct shelf_entry *e = NULL;
	struct err err = ERR_INIT;
	int rc = snapshot_cmd_begin(&c, table, ARRAY_LEN(table), argc, argv, 0, &err), width = sizeof("NAME");
	size_t n = 0;

	if (rc > 0)
		return 0;
	if (rc == 0 && c.s3.on) {
		rc = snapshot_s3_ls(&c.s3, &c.arena, &err);
		return rc < 0 ? cli_fail_err(&err) : 0;
	}
	if (rc < 0 || shelf_is_there(&c, &err) < 0 || shelf_list(&c.arena, c.dir, &e, &n, &err) < 0)
		return cli_fail_err(&err);
	for (size_t i = 0; i < n; i++)
		width = MAX(width, (int)MIN(strlen(e[i].name), 100));
	printf("%-*s %12s  %-20s  %12s %9s  %s\n", width, "NAME", "BYTES", "TIME", "REVISION", "KEYS", "KUBERNETES");
	for (size_t i = 0; i < n; i++)
		ls_print(&e[i], width);
	return 0;
}

/* --- prune --- */

static void prune_told(const char *file, void *ctx)
{
	(void)ctx;
	printf("removed %s\n", file);
}

int cmd_snapshot_prune(int argc, char **argv)
{
	_cleanup_(snapshot_cmd_release) struct snapshot_cmd c = { .name = SNAPSHOT_NAME, .keep = SNAPSHOT_KEEP };
	const struct option table[] = {
		SNAPSHOT_DATA_DIR(c),	SNAPSHOT_DIR(c),
		SNAPSHOT_NAME_ROWS(c),	{ "keep", 0, OPT_INT, &c.keep, "N", "how many of the newest stay (5)" },
		SNAPSHOT_S3_ROWS(c.s3),
	};
	struct err err = ERR_INIT;
	int rc = snapshot_cmd_begin(&c, table, ARRAY_LEN(table), argc, argv, 0, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && c.keep < 1)
		rc = err_set(&err, ERR_INVALID, "--keep takes how many stay, 1 at least, not %d", c.keep);
	if (rc == 0 && !c.s3.on)
		rc = shelf_is_there(&c, &err);
	if (rc == 0)
		rc = c.s3.on ? snapshot_s3_prune(&c.s3, c.name, (size_t)c.keep, &err)
			     : shelf_prune(c.dir, c.name, (size_t)c.keep, prune_told, NULL, &err);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

/* --- restore --- */

static ssize_t restore_get(void *p, size_t n, void *ctx, struct err *err)
{
	ssize_t got;

	do
		got = read(*(int *)ctx, p, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? err_set_errno(err, errno, "cannot read it") : got;
}

/* A word without a slash may be one on the shelf. */
static const char *restore_path(struct snapshot_cmd *c, const char *word)
{
	const char *shelved = arena_printf(&c->arena, "%s/%s", c->dir, word);

	return !strchr(word, '/') && access(word, F_OK) < 0 && access(shelved, F_OK) == 0 ? shelved : word;
}

void snapshot_cmd_told(struct snapshot_cmd *c, const struct restore_done *done)
{
	printf("restored %s: %" PRIu64 " keys, revisions go on after %" PRId64 "\n", c->data_dir, done->keys,
	       done->rev);
	if (done->time_s)
		printf("what was there is kept as %s/db.before-restore-%" PRId64 " and so on\n", c->data_dir,
		       done->time_s);
	if (!done->with_files)
		printf("certificates and keys are those of the directory, or made anew by the next start\n");
	if (done->with_encryption)
		printf("values are stored encrypted: start the server with --encryption-provider-config "
		       "%s/encryption-config.yaml\n",
		       c->data_dir);
}

/* Of the bucket: first into a file that has no name. */
static int restore_fetch(struct snapshot_cmd *c, const char *word, struct err *err)
{
	int fd;

	if (dir_make(c->data_dir, 0700, err) < 0)
		return -1;
	fd = open(c->data_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, errno, "no room in '%s' for what is fetched", c->data_dir);
	if (s3_get(&c->s3.o, word, fd, err) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

static int restore_open(struct snapshot_cmd *c, const char *word, struct err *err)
{
	const char *path = restore_path(c, word);
	int fd;

	if (c->s3.on)
		return restore_fetch(c, word, err);
	fd = strcmp(word, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set_errno(err, errno, "cannot open '%s'", path) : fd;
}

static int restore_run(struct snapshot_cmd *c, const char *word, struct err *err)
{
	const struct restore_opts o = { .env = c->env, .data_dir = c->data_dir };
	_cleanup_close_ int fd = restore_open(c, word, err);
	_cleanup_(restore_freep) struct restore *r = NULL;
	struct restore_done done;
	struct sv secret;

	if (fd < 0 || snapshot_cmd_secret(c, &secret, err) < 0)
		return -1;
	r = restore_new(&o, err);
	if (!r)
		return -1;
	if (restore_archive(r, restore_get, &fd, secret, c->without_keys, &done, err) < 0)
		return err_wrap(err, "'%s'", strcmp(word, "-") == 0 ? "standard input" : word);
	snapshot_cmd_told(c, &done);
	return 0;
}

int cmd_snapshot_restore(int argc, char **argv)
{
	_cleanup_(snapshot_cmd_release) struct snapshot_cmd c = { .name = SNAPSHOT_NAME };
	const struct option table[] = {
		SNAPSHOT_DATA_DIR(c),
		SNAPSHOT_DIR(c),
		SNAPSHOT_TOKEN(c, "as it was when the snapshot was taken"),
		{ "without-keys", 0, OPT_BOOL, &c.without_keys, NULL,
		  "objects only: certificates and keys stay, or are made anew" },
		SNAPSHOT_S3_ROWS(c.s3),
	};
	struct err err = ERR_INIT;
	int rc = snapshot_cmd_begin(&c, table, ARRAY_LEN(table), argc, argv, 1, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && !c.words.list.p[0])
		rc = err_set(&err, ERR_INVALID, "which one? 'caravel snapshot ls' lists them; - is standard input");
	if (rc == 0)
		rc = restore_run(&c, c.words.list.p[0], &err);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
