/* `caravel snapshot save`: nothing that stands in a snapshot, or that nodes have, opens the keys in it; it removes only
 * what is its own node's, and that also where a bucket is not there. And what `caravel import` takes for a cluster. */
#include "unit.h"

#include "apiserver/pki.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/server_options.h"
#include "cli/shared_keys.h"
#include "ev/ev.h"
#include "snapshot/archive.h"
#include "snapshot/etcd_file.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OF_NODES "abcdef.0123456789abcdef"
#define SECRETS "/registry/secrets/kube-system/bootstrap-token-"
#define FILE_BYTES ((size_t)1 << 20)

struct rig {
	struct arena a;
	struct env *env;
	char top[64];
	const char *dir, *file;
	int out, errors; /* ours: commands print, and a test's output is its results */
	int said;	 /* what they print */
};

static void put(struct store *s, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .value = sv_from(value), .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
}

/* A server that has stopped. */
static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct store *s;
	struct pki *p;
	int fd = memfd_create("said", MFD_CLOEXEC);

	snprintf(r->top, sizeof(r->top), "/tmp/caravel-snapshot-XXXXXX");
	assert_non_null(mkdtemp(r->top));
	r->dir = arena_printf(&r->a, "%s/data", r->top);
	r->file = arena_printf(&r->a, "%s/file", r->top);
	r->env = env_real_new(1);
	assert_int_equal(dir_make(arena_printf(&r->a, "%s/server", r->dir), 0700, NULL), 0);
	s = store_disk_open(r->env, arena_printf(&r->a, "%s/db", r->dir), (size_t)1 << 30, NULL);
	assert_non_null(s);
	put(s, "/registry/configmaps/default/x", "x");
	put(s, SECRETS "abcdef", "encrypted, perhaps");
	store_close(s);
	p = pki_open(&(struct pki_opts){ .env = r->env, .dir = arena_printf(&r->a, "%s/pki", r->dir) }, NULL);
	assert_non_null(p);
	pki_close(p);
	assert_int_equal(file_write(arena_printf(&r->a, "%s/server/node-token", r->dir), SV(OF_NODES "\n"), 0600, NULL),
			 0);
	r->out = dup(STDOUT_FILENO);
	r->errors = dup(STDERR_FILENO);
	assert_true(dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	r->said = fd;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fflush(stdout);
	dup2(r->out, STDOUT_FILENO);
	dup2(r->errors, STDERR_FILENO);
	close(r->out);
	close(r->errors);
	close(r->said);
	env_real_free(r->env);
	tree_remove(r->top, NULL);
	arena_release(&r->a);
	free(r);
	return 0;
}

static struct sv file_of(struct rig *r, const char *path)
{
	struct sv s = SV_NULL;

	return file_read(&r->a, path, FILE_BYTES, &s, NULL) < 0 ? SV_NULL : s;
}

static struct sv own_token(struct rig *r)
{
	return file_of(r, arena_printf(&r->a, "%s/server/token", r->dir));
}

static int own(struct rig *r, const char *token)
{
	const struct shared_keys_opts o = { .env = r->env, .data_dir = r->dir, .token = token };

	return shared_keys_own(&o, SV("the CA"), NULL);
}

/* The command's status. */
static int save(struct rig *r, const char *token)
{
	char *argv[8] = { arena_strdup(&r->a, "snapshot save"), arena_strdup(&r->a, "--data-dir"),
			  arena_strdup(&r->a, r->dir), arena_strdup(&r->a, r->file),
			  token ? arena_printf(&r->a, "--token=%s", token) : NULL };

	return cmd_snapshot_save(token ? 5 : 4, argv);
}

static ssize_t get(void *p, size_t n, void *ctx, _unused_ struct err *err)
{
	struct sv *left = ctx;

	n = MIN(n, left->n);
	memcpy(p, left->p, n);
	*left = sv_sub(*left, n, left->n);
	return (ssize_t)n;
}

static int files(const struct archive_file *f, size_t n, void *ctx, _unused_ struct err *err)
{
	for (size_t i = 0; i < n; i++)
		*(bool *)ctx |= sv_is(f[i].name, "pki/ca.key");
	return 0;
}

static bool opens(struct rig *r, struct sv word)
{
	static const struct archive_cb cb = { .files = files };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv left = file_of(r, r->file);
	struct archive_total total;
	bool key = false, sealed;
	int rc = archive_read(get, &left, word, &cb, &key, &total, &sealed, &err);

	assert_true(rc == 0 || err.reason == ERR_UNAUTHORIZED);
	assert_true(rc < 0 || sealed);
	return rc == 0 && key;
}

static void what_nodes_have_opens_nothing(void **state)
{
	struct rig *r = *state;
	struct sv word, hash;

	assert_int_equal(own(r, NULL), 0);
	assert_int_equal(save(r, NULL), 0);
	assert_false(opens(r, SV(OF_NODES)));
	word = sv_trim(own_token(r));
	assert_true(sv_split(&word, ':', &hash) && sv_starts(hash, SV("K10")));
	word = sv_sub(word, 1, word.n);
	assert_true(opens(r, word));
}

static void a_word_in_a_record_is_refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(own(r, NULL), 0);
	assert_int_not_equal(save(r, OF_NODES), 0);
	assert_int_not_equal(save(r, "abcdef.fedcba9876543210"), 0);
	assert_null(file_of(r, r->file).p);
	assert_int_equal(save(r, "abcdeg.0123456789abcdef"), 0);
	assert_true(opens(r, SV("abcdeg.0123456789abcdef")));
}

static void without_a_token_of_servers_there_are_no_keys(void **state)
{
	struct rig *r = *state;

	assert_int_not_equal(save(r, NULL), 0);
	assert_null(file_of(r, r->file).p);
}

static void a_token_of_servers_is_made_once(void **state)
{
	struct rig *r = *state;
	struct sv first;
	struct stat st;

	assert_int_equal(own(r, OF_NODES), 0);
	first = own_token(r);
	assert_true(first.n > 0 && sv_find_sv(first, SV(OF_NODES)) < 0);
	assert_int_equal(stat(arena_printf(&r->a, "%s/server/token", r->dir), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(own(r, OF_NODES), 0);
	assert_int_equal(own(r, NULL), 0);
	assert_sv(own_token(r), arena_cstr(&r->a, first));
	/* What servers of a shared store had, and nodes of this one are to have. */
	assert_int_equal(
	    file_write(arena_printf(&r->a, "%s/server/token", r->dir), SV("K10" OF_NODES "\n"), 0600, NULL), 0);
	assert_int_equal(own(r, OF_NODES), -1);
	assert_int_equal(file_write(arena_printf(&r->a, "%s/server/token", r->dir), SV(OF_NODES "\n"), 0600, NULL), 0);
	assert_int_equal(own(r, OF_NODES), 0);
	assert_true(sv_find_sv(own_token(r), SV(OF_NODES)) < 0);
}

/* On a shelf, or in a bucket, that others use as well. */
static void only_its_own_are_removed(void **state)
{
	static const char *const others[] = { "caravel-20260101T000000Z.snapshot",
					      "caravel-n2-20260101T000000Z.snapshot",
					      "caravel-n1-2-20260101T000000Z.snapshot",
					      "other-n1-20260101T000000Z.snapshot", "mine" };
	struct rig *r = *state;
	const char *shelf = arena_printf(&r->a, "%s/snapshots", r->dir);
	const char *old = arena_printf(&r->a, "%s/caravel-n1-20260101T000000Z.snapshot", shelf);
	char *argv[] = { arena_strdup(&r->a, "snapshot save"),		arena_printf(&r->a, "--data-dir=%s", r->dir),
			 arena_strdup(&r->a, "--node-name=n1"),		arena_strdup(&r->a, "--without-keys"),
			 arena_strdup(&r->a, "--snapshot-retention=1"), NULL };

	assert_int_equal(dir_make(shelf, 0700, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(file_write(arena_printf(&r->a, "%s/%s", shelf, others[i]), SV("x"), 0600, NULL), 0);
	assert_int_equal(file_write(old, SV("x"), 0600, NULL), 0);
	assert_int_equal(cmd_snapshot_save(5, argv), 0);
	assert_int_not_equal(access(old, F_OK), 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(access(arena_printf(&r->a, "%s/%s", shelf, others[i]), F_OK), 0);
}

/* And forgets it. */
static bool has_said(struct rig *r, const char *words)
{
	char text[8192];
	ssize_t n;

	fflush(stdout);
	n = pread(r->said, text, sizeof(text) - 1, 0);
	assert_true(n >= 0 && ftruncate(r->said, 0) == 0 && lseek(r->said, 0, SEEK_SET) == 0);
	text[n] = '\0';
	if (!strstr(text, words))
		fail_msg("'%s' does not say '%s'", text, words);
	return !strchr(text, '\x1b');
}

/* Each night one more, until the disk is full: not that. */
static void a_bucket_that_is_gone_keeps_no_files(void **state)
{
	struct rig *r = *state;
	const char *shelf = arena_printf(&r->a, "%s/snapshots", r->dir);
	const char *old[] = { arena_printf(&r->a, "%s/caravel-n1-20260101T000000Z.snapshot", shelf),
			      arena_printf(&r->a, "%s/caravel-n1-20260102T000000Z.snapshot", shelf) };
	char *argv[] = { arena_strdup(&r->a, "snapshot save"),
			 arena_printf(&r->a, "--data-dir=%s", r->dir),
			 arena_strdup(&r->a, "--node-name=n1"),
			 arena_strdup(&r->a, "--without-keys"),
			 arena_strdup(&r->a, "--snapshot-retention=1"),
			 arena_strdup(&r->a, "--s3"),
			 arena_strdup(&r->a, "--s3-bucket=b"),
			 arena_strdup(&r->a, "--s3-insecure"),
			 arena_strdup(&r->a, "--s3-endpoint=127.0.0.1:1"),
			 NULL };

	assert_int_equal(dir_make(shelf, 0700, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		assert_int_equal(file_write(old[i], SV("x"), 0600, NULL), 0);
	assert_int_not_equal(cmd_snapshot_save(9, argv), 0);
	has_said(r, "it is in");
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		assert_int_not_equal(access(old[i], F_OK), 0);
}

static void nothing_is_no_snapshot(void **state)
{
	struct rig *r = *state;
	char *argv[] = { arena_strdup(&r->a, "snapshot save"), arena_strdup(&r->a, "--data-dir"),
			 arena_strdup(&r->a, r->top),	       arena_strdup(&r->a, "--without-keys"),
			 arena_strdup(&r->a, r->file),	       NULL };

	store_close(store_disk_open(r->env, arena_printf(&r->a, "%s/db", r->top), (size_t)1 << 30, NULL));
	assert_int_not_equal(cmd_snapshot_save(5, argv), 0);
	has_said(r, "there is nothing in it");
	assert_null(file_of(r, r->file).p);
}

static int import(struct rig *r, const char *prefix)
{
	char *argv[] = { arena_strdup(&r->a, "import"), arena_printf(&r->a, "--data-dir=%s", r->dir),
			 arena_strdup(&r->a, r->file), prefix ? arena_printf(&r->a, "--etcd-prefix=%s", prefix) : NULL,
			 NULL };

	return cmd_import(prefix ? 4 : 3, argv);
}

/* An etcd's file with these keys, a value each. */
static void etcds_file(struct rig *r, const char *const *keys, const char *value)
{
	_cleanup_close_ int fd = open(r->file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_close_ int between = memfd_create("between", MFD_CLOEXEC);
	_cleanup_(etcd_file_freep) struct etcd_file *f = etcd_file_new(fd, between);
	uint64_t n;

	for (size_t i = 0; keys[i]; i++)
		assert_int_equal(etcd_file_add(f,
					       &(struct store_kv){ .key = sv_from(keys[i]),
								   .value = sv_from(value),
								   .create_rev = (int64_t)i + 2,
								   .mod_rev = (int64_t)i + 2 },
					       NULL),
				 0);
	assert_int_equal(etcd_file_end(f, 100, NULL, &n, NULL), 0);
}

static bool database_is_kept(struct rig *r)
{
	struct sv names = SV_NULL;

	return file_read(&r->a, arena_printf(&r->a, "%s/db/manifest", r->dir), FILE_BYTES, &names, NULL) == 0 &&
	       access(arena_printf(&r->a, "%s/restore.journal", r->dir), F_OK) < 0;
}

/* What is there does not go for nothing. */
static void an_import_of_nothing_is_refused(void **state)
{
	static const char *const others[] = { "/kubernetes.io/configmaps/default/x", "/\x1b[31m/y", NULL };
	struct rig *r = *state;
	struct stat before, after;
	const char *db = arena_printf(&r->a, "%s/db", r->dir);

	assert_int_equal(stat(db, &before), 0);
	etcds_file(r, others, "x");
	assert_int_not_equal(import(r, NULL), 0);
	assert_true(has_said(r, "no key of Kubernetes below '/registry' in it: it has keys below '/kubernetes.io', "
				"'/\\x1b[31m'. --etcd-prefix takes"));
	assert_int_not_equal(import(r, "/registry/"), 0);
	assert_int_not_equal(import(r, "/"), 0);
	has_said(r, "--etcd-prefix takes what keys begin with");
	assert_true(database_is_kept(r));
	assert_int_equal(stat(db, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	/* An encrypted value knows its key. */
	etcds_file(r, others, "k8s:enc:aesgcm:v1:k:x");
	assert_int_not_equal(import(r, "/kubernetes.io"), 0);
	has_said(r, "binds them to their keys");
	assert_int_equal(stat(db, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	etcds_file(r, others, "x");
	assert_int_equal(import(r, "kubernetes.io/"), 0);
	has_said(r, "1 keys");
	assert_int_equal(stat(db, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
}

static bool is_among(const char *const *argv, const char *word)
{
	for (; *argv; argv++)
		if (strcmp(*argv, word) == 0)
			return true;
	return false;
}

static void a_server_says_whose_they_are(void **state)
{
	struct rig *r = *state;
	struct server_opts o;

	server_defaults(&o);
	o.kubeconfig = "";
	o.node.node_name = "n1";
	o.snapshots.name = "east";
	assert_true(is_among(server_snapshot_argv(&r->a, &o), "--node-name=n1"));
	assert_true(is_among(server_snapshot_argv(&r->a, &o), "--name=east"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_nodes_have_opens_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_word_in_a_record_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_token_of_servers_there_are_no_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(a_token_of_servers_is_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(only_its_own_are_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bucket_that_is_gone_keeps_no_files, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_no_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(an_import_of_nothing_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_says_whose_they_are, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
