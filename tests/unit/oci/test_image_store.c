/* Images pulled, found, held and removed; and what is left of a pull that ends at any of its steps. As root. */
#include "unit.h"

#include "base/buf.h"
#include "base/file.h"
#include "fake_registry.h"
#include "kubelet/oci/image_store.h"
#include "net/digest.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define HERE "amd64"
#else
#define HERE "arm64"
#endif
#define NAME "reg.example/a/b:1"

/* Every step of a pull ends with one: the process ends before the n-th. */
static int renames_left = -1;
int rename(const char *from, const char *to);
int rename(const char *from, const char *to)
{
	if (renames_left == 0)
		_exit(7);
	renames_left -= renames_left > 0;
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

struct world {
	struct arena a;
	struct fake_registry *f;
	struct registry_config *rc;
	struct oci_paths paths;
	struct image_store *s;
	struct err err;
	struct fake_answer rows[5];
	struct buf layer;
	char dir[40], id[80];
};

static la_ssize_t to_buf(struct archive *ar, void *ctx, const void *p, size_t n)
{
	(void)ar;
	buf_add(ctx, p, n);
	return (la_ssize_t)n;
}

static void make_layer(struct buf *b)
{
	struct archive *ar = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	archive_write_set_format_pax_restricted(ar);
	assert_int_equal(archive_write_open(ar, b, NULL, to_buf, NULL), ARCHIVE_OK);
	archive_entry_copy_pathname(e, "bin/x");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0755);
	archive_entry_set_size(e, 5);
	assert_int_equal(archive_write_header(ar, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(ar, "hello", 5), 5);
	archive_entry_free(e);
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
}

static const char *digest(struct world *w, struct sv s)
{
	char hex[SHA256_HEX];

	sha256_hex(s, hex);
	return arena_printf(&w->a, "sha256:%s", hex);
}

/* diff NULL: the layer's own. */
static void begin(struct world *w, const char *diff)
{
	const char *layer, *config, *manifest, *index, *yaml;

	*w = (struct world){ .f = NULL };
	strcpy(w->dir, "/tmp/caravel-images-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	make_layer(&w->layer);
	layer = digest(w, buf_sv(&w->layer));
	config = arena_printf(&w->a,
			      "{\"os\":\"linux\",\"architecture\":\"" HERE
			      "\",\"config\":{\"User\":\"7\",\"Cmd\":[\"/bin/x\"]},\"rootfs\":{\"diff_ids\":[\"%s\"]}}",
			      diff ? diff : layer);
	strcpy(w->id, digest(w, sv_from(config)));
	manifest =
	    arena_printf(&w->a,
			 "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"digest\":"
			 "\"%s\",\"size\":%zu}]}",
			 w->id, strlen(config), layer, w->layer.n);
	index = arena_printf(&w->a,
			     "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":"
			     "\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"" HERE "\"}}]}",
			     digest(w, sv_from(manifest)), strlen(manifest));
	w->rows[0] = (struct fake_answer){ .path = "/v2/a/b/manifests/1", .body = index };
	w->rows[1] = (struct fake_answer){ .path = "/v2/a/b/manifests/sha256:", .body = manifest };
	w->rows[2] = (struct fake_answer){ .path = arena_printf(&w->a, "/v2/a/b/blobs/%s", layer),
					   .body = w->layer.p,
					   .n = w->layer.n };
	w->rows[3] = (struct fake_answer){ .path = "/v2/a/b/blobs/", .body = config };
	w->f = fake_registry_start(w->rows, 4);
	yaml = arena_printf(&w->a, "mirrors: { reg.example: { endpoint: [\"http://127.0.0.1:%d\"] } }",
			    fake_registry_port(w->f));
	assert_int_equal(file_write(arena_printf(&w->a, "%s/r.yaml", w->dir), sv_from(yaml), 0600, NULL), 0);
	w->rc = registry_config_read(arena_printf(&w->a, "%s/r.yaml", w->dir), NULL);
	w->paths = (struct oci_paths){ arena_printf(&w->a, "%s/oci", w->dir), w->dir };
	w->s = image_store_open(NULL, &w->paths, &w->err);
	assert_non_null(w->s);
}

static void finish(struct world *w)
{
	image_store_close(w->s);
	registry_config_free(w->rc);
	fake_registry_stop(w->f);
	(void)tree_remove(w->dir, NULL);
	buf_release(&w->layer);
	err_release(&w->err);
	arena_release(&w->a);
}

static int pull(struct world *w, const char *name)
{
	struct sv ref;

	return image_store_pull(w->s, &w->a, sv_from(name), w->rc, NULL, -1, &ref, &w->err);
}

static int entries(struct world *w, const char *dir)
{
	DIR *d = opendir(arena_printf(&w->a, "%s/images/%s", w->paths.data, dir));
	int n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static struct rt_image *status(struct world *w, const char *name)
{
	struct rt_image *i;

	assert_int_equal(image_store_status(w->s, &w->a, sv_from(name), &i, NULL), 0);
	return i;
}

static void test_life(void **state)
{
	struct rt_image *i, *list;
	struct image_use use;
	struct world w;
	struct sv text;
	size_t n;

	(void)state;
	begin(&w, NULL);
	assert_null(status(&w, NAME));
	if (pull(&w, NAME) < 0)
		fail_msg("%s", err_msg(&w.err));
	i = status(&w, NAME);
	assert_non_null(i);
	assert_sv(i->id, w.id);
	assert_int_equal(i->n_tags, 1);
	assert_sv(i->tags[0], NAME);
	assert_int_equal(i->n_digests, 1);
	/* Of the index, as it was asked for. */
	assert_sv(i->digests[0], arena_printf(&w.a, "reg.example/a/b@%s", digest(&w, sv_from(w.rows[0].body))));
	assert_int_equal(i->uid, 7);
	assert_true(i->size_bytes > 4096 && i->size_bytes < 8192);
	assert_non_null(status(&w, w.id));
	w.id[7 + 12] = '\0';
	assert_non_null(status(&w, w.id + 7));
	w.id[7 + 11] = '\0';
	assert_null(status(&w, w.id + 7));
	assert_int_equal(image_store_hold(w.s, &w.a, sv_from(NAME), &use, NULL), 0);
	assert_int_equal(use.n_layers, 1);
	assert_int_equal(file_read(&w.a, arena_printf(&w.a, "%s/bin/x", use.layers[0]), 10, &text, NULL), 0);
	assert_sv(text, "hello");
	/* Its names go at once, its layers with the last container. */
	assert_int_equal(image_store_remove(w.s, sv_from(NAME), NULL), 0);
	assert_null(status(&w, NAME));
	assert_int_equal(image_store_list(w.s, &w.a, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(entries(&w, "layers"), 1);
	image_store_drop(w.s, use.id);
	assert_int_equal(entries(&w, "layers") + entries(&w, "refs") + entries(&w, "blobs/sha256"), 0);
	assert_int_equal(image_store_remove(w.s, sv_from(NAME), NULL), 0);
	finish(&w);
}

static void test_refused(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_int_equal(pull(&w, NAME), -1);
	assert_non_null(strstr(err_msg(&w.err), "failed to pull and unpack image \"" NAME "\": wrong diff id"));
	assert_null(status(&w, NAME));
	assert_int_equal(entries(&w, "layers") + entries(&w, "refs") + entries(&w, "new"), 0);
	finish(&w);
}

static void test_ends_anywhere(void **state)
{
	struct world w;
	int at = 0, code = 7;

	(void)state;
	for (; code == 7 && at < 100; at++) {
		int st;
		pid_t pid;

		begin(&w, NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			renames_left = at;
			_exit(pull(&w, NAME) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_true(WIFEXITED(st));
		code = WEXITSTATUS(st);
		assert_true(code == 7 || code == 0);
		w.s = (image_store_close(w.s), image_store_open(NULL, &w.paths, &w.err));
		assert_non_null(w.s);
		assert_int_equal(entries(&w, "new"), 0);
		/* Under its name there is all of it, or nothing; and the next pull makes it whole. */
		if (status(&w, NAME))
			assert_int_equal(code, 0);
		assert_int_equal(pull(&w, NAME), 0);
		assert_non_null(status(&w, NAME));
		assert_int_equal(entries(&w, "layers"), 1);
		assert_int_equal(entries(&w, "blobs/sha256"), 2);
		finish(&w);
	}
	assert_int_equal(code, 0);
	assert_true(at > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ends_anywhere),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
