#include "kubelet/image.h"

#include "base/buf.h"
#include "base/lazylib.h"
#include "ev/ev.h"
#include "kubelet/fsutil.h"
#include "net/digest.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char pause_elf[], pause_elf_end[];

/* --- building --- */

/* Only images of our own need it: loaded by the first tar_begin() (base/lazylib.h). */
static typeof(archive_entry_free) *sym_archive_entry_free;
static typeof(archive_entry_new) *sym_archive_entry_new;
static typeof(archive_entry_set_filetype) *sym_archive_entry_set_filetype;
static typeof(archive_entry_set_gid) *sym_archive_entry_set_gid;
static typeof(archive_entry_set_mtime) *sym_archive_entry_set_mtime;
static typeof(archive_entry_set_pathname) *sym_archive_entry_set_pathname;
static typeof(archive_entry_set_perm) *sym_archive_entry_set_perm;
static typeof(archive_entry_set_size) *sym_archive_entry_set_size;
static typeof(archive_entry_set_symlink) *sym_archive_entry_set_symlink;
static typeof(archive_entry_set_uid) *sym_archive_entry_set_uid;
static typeof(archive_error_string) *sym_archive_error_string;
static typeof(archive_write_close) *sym_archive_write_close;
static typeof(archive_write_data) *sym_archive_write_data;
static typeof(archive_write_free) *sym_archive_write_free;
static typeof(archive_write_header) *sym_archive_write_header;
static typeof(archive_write_new) *sym_archive_write_new;
static typeof(archive_write_open) *sym_archive_write_open;
static typeof(archive_write_set_bytes_in_last_block) *sym_archive_write_set_bytes_in_last_block;
static typeof(archive_write_set_format_ustar) *sym_archive_write_set_format_ustar;

static const struct lazylib_sym archive_syms[] = {
	{ "archive_entry_free", &sym_archive_entry_free },
	{ "archive_entry_new", &sym_archive_entry_new },
	{ "archive_entry_set_filetype", &sym_archive_entry_set_filetype },
	{ "archive_entry_set_gid", &sym_archive_entry_set_gid },
	{ "archive_entry_set_mtime", &sym_archive_entry_set_mtime },
	{ "archive_entry_set_pathname", &sym_archive_entry_set_pathname },
	{ "archive_entry_set_perm", &sym_archive_entry_set_perm },
	{ "archive_entry_set_size", &sym_archive_entry_set_size },
	{ "archive_entry_set_symlink", &sym_archive_entry_set_symlink },
	{ "archive_entry_set_uid", &sym_archive_entry_set_uid },
	{ "archive_error_string", &sym_archive_error_string },
	{ "archive_write_close", &sym_archive_write_close },
	{ "archive_write_data", &sym_archive_write_data },
	{ "archive_write_free", &sym_archive_write_free },
	{ "archive_write_header", &sym_archive_write_header },
	{ "archive_write_new", &sym_archive_write_new },
	{ "archive_write_open", &sym_archive_write_open },
	{ "archive_write_set_bytes_in_last_block", &sym_archive_write_set_bytes_in_last_block },
	{ "archive_write_set_format_ustar", &sym_archive_write_set_format_ustar },
};

static struct lazylib archive_lib = LAZYLIB("libarchive.so.13", archive_syms);

static la_ssize_t to_buf(struct archive *ar, void *ctx, const void *p, size_t n)
{
	(void)ar;
	buf_add(ctx, p, n);
	return (la_ssize_t)n;
}

/* A tar under way into a buffer; errors of libarchive stick until tar_end(). */
struct tar {
	struct archive *ar;
	bool bad;
};

static int tar_begin(struct tar *t, struct buf *out, struct err *err)
{
	if (lazylib_need(&archive_lib, err) < 0)
		return -1;
	*t = (struct tar){ .ar = sym_archive_write_new() };
	sym_archive_write_set_format_ustar(t->ar);
	sym_archive_write_set_bytes_in_last_block(t->ar, 1);
	t->bad = sym_archive_write_open(t->ar, out, NULL, to_buf, NULL) != ARCHIVE_OK;
	return 0;
}

static void tar_add(struct tar *t, const struct image_file *f)
{
	struct archive_entry *e = sym_archive_entry_new();

	sym_archive_entry_set_pathname(e, f->path);
	sym_archive_entry_set_perm(e, f->mode ? f->mode : f->dir ? 0755 : 0644);
	sym_archive_entry_set_mtime(e, 0, 0);
	sym_archive_entry_set_uid(e, 0);
	sym_archive_entry_set_gid(e, 0);
	if (f->link) {
		sym_archive_entry_set_filetype(e, AE_IFLNK);
		sym_archive_entry_set_symlink(e, f->link);
	} else if (f->dir) {
		sym_archive_entry_set_filetype(e, AE_IFDIR);
	} else {
		sym_archive_entry_set_filetype(e, AE_IFREG);
		sym_archive_entry_set_size(e, (la_int64_t)f->content.n);
	}
	t->bad |= sym_archive_write_header(t->ar, e) != ARCHIVE_OK;
	if (!f->link && !f->dir && f->content.n && !t->bad)
		t->bad |= sym_archive_write_data(t->ar, f->content.p, f->content.n) != (la_ssize_t)f->content.n;
	sym_archive_entry_free(e);
}

static int tar_end(struct tar *t, struct err *err)
{
	const char *why = sym_archive_error_string(t->ar);
	int rc = 0;

	if (sym_archive_write_close(t->ar) != ARCHIVE_OK || t->bad)
		rc = err_set(err, ERR_INTERNAL, "writing an image archive: %s", why ? why : "unknown failure");
	sym_archive_write_free(t->ar);
	return rc;
}

static const char *image_go_arch(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#else
	return "unknown";
#endif
}

/* Names here are our own literals: quotes and backslashes only. */
static void image_json_string(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_addc(b, '\\');
		buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

static void json_strings(struct buf *b, const char *key, const char *const *list)
{
	if (!list)
		return;
	buf_printf(b, ",\"%s\":[", key);
	for (size_t i = 0; list[i]; i++) {
		if (i)
			buf_addc(b, ',');
		image_json_string(b, list[i]);
	}
	buf_addc(b, ']');
}

static void image_put_config(struct buf *b, const struct image_spec *s, const char *layer_digest)
{
	buf_printf(b, "{\"created\":\"1970-01-01T00:00:00Z\",\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{",
		   image_go_arch());
	buf_adds(b, "\"WorkingDir\":");
	image_json_string(b, s->workdir ? s->workdir : "/");
	if (s->user) {
		buf_adds(b, ",\"User\":");
		image_json_string(b, s->user);
	}
	json_strings(b, "Entrypoint", s->entrypoint);
	json_strings(b, "Cmd", s->cmd);
	json_strings(b, "Env", s->env);
	if (s->ports) {
		buf_adds(b, ",\"ExposedPorts\":{");
		for (size_t i = 0; s->ports[i]; i++)
			buf_printf(b, "%s\"%d/tcp\":{}", i ? "," : "", s->ports[i]);
		buf_addc(b, '}');
	}
	buf_printf(b,
		   "},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]},\"history\":[{\"created\":"
		   "\"1970-01-01T00:00:00Z\",\"created_by\":\"caravel\"}]}",
		   layer_digest);
}

/* The archive's bytes. */
static int image_build(struct arena *a, const struct image_spec *s, struct sv *ret_tar, struct err *err)
{
	_cleanup_(buf_release) struct buf layer = BUF_INIT, config = BUF_INIT, manifest = BUF_INIT, out = BUF_INIT;
	char layer_hex[SHA256_HEX], config_hex[SHA256_HEX], config_name[80], layer_name[80];
	struct tar t;

	if (tar_begin(&t, &layer, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n_files; i++)
		tar_add(&t, &s->files[i]);
	if (tar_end(&t, err) < 0)
		return -1;
	sha256_hex(buf_sv(&layer), layer_hex);
	image_put_config(&config, s, layer_hex);
	sha256_hex(buf_sv(&config), config_hex);
	snprintf(config_name, sizeof(config_name), "%s.json", config_hex);
	snprintf(layer_name, sizeof(layer_name), "%s/layer.tar", layer_hex);
	buf_printf(&manifest, "[{\"Config\":\"%s\",\"RepoTags\":[", config_name);
	image_json_string(&manifest, s->name);
	buf_printf(&manifest, "],\"Layers\":[\"%s\"]}]", layer_name);

	if (tar_begin(&t, &out, err) < 0)
		return -1;
	tar_add(&t, &(struct image_file){ .path = config_name, .content = buf_sv(&config) });
	tar_add(&t, &(struct image_file){ .path = layer_name, .content = buf_sv(&layer) });
	tar_add(&t, &(struct image_file){ .path = "manifest.json", .content = buf_sv(&manifest) });
	if (tar_end(&t, err) < 0)
		return -1;
	*ret_tar = arena_sv(a, buf_sv(&out));
	return 0;
}

int image_build_pause(struct arena *a, struct sv *ret_tar, struct err *err)
{
	static const char *const entrypoint[] = { "/pause", NULL };
	struct image_file f = { .path = "pause",
				.content = sv_make(pause_elf, (size_t)(pause_elf_end - pause_elf)),
				.mode = 0755 };

	return image_build(
	    a,
	    &(struct image_spec){
		.name = PAUSE_IMAGE, .files = &f, .n_files = 1, .entrypoint = entrypoint, .user = "65535:65535" },
	    ret_tar, err);
}

int image_build_demo(struct arena *a, const char *busybox, struct sv *ret_tar, struct err *err)
{
	static const char *const cmd[] = { "/bin/httpd", "-f", "-v", "-p", "8080", "-h", "/www", NULL };
	static const char *const env[] = { "PATH=/bin", NULL };
	static const char *const applets[] = {
		"awk",	    "base64", "basename",  "cat",      "chmod",	 "chown",   "cp",    "cut",   "date",
		"dd",	    "df",     "dirname",   "du",       "echo",	 "env",	    "expr",  "false", "find",
		"free",	    "grep",   "head",	   "hostname", "httpd",	 "id",	    "ip",    "kill",  "less",
		"ln",	    "ls",     "md5sum",	   "mkdir",    "more",	 "mount",   "mv",    "nc",    "netstat",
		"nslookup", "ping",   "printf",	   "ps",       "pwd",	 "rm",	    "rmdir", "route", "sed",
		"seq",	    "sh",     "sha256sum", "sleep",    "sort",	 "stat",    "stty",  "su",    "tail",
		"tar",	    "tee",    "telnet",	   "test",     "time",	 "timeout", "top",   "touch", "tr",
		"true",	    "tty",    "uname",	   "uniq",     "uptime", "vi",	    "watch", "wc",    "wget",
		"which",    "whoami", "xargs",	   "yes"
	};
	struct image_file files[ARRAY_LEN(applets) + 10];
	size_t n = 0;
	struct sv bb;

	if (file_read(a, busybox && *busybox ? busybox : "/bin/busybox", 16 << 20, &bb, err) < 0)
		return err_wrap(err, "the demo image is made of busybox (package busybox-static)");
	files[n++] = (struct image_file){ .path = "bin", .dir = true };
	files[n++] = (struct image_file){ .path = "bin/busybox", .content = bb, .mode = 0755 };
	for (size_t i = 0; i < ARRAY_LEN(applets); i++)
		files[n++] = (struct image_file){ .path = arena_printf(a, "bin/%s", applets[i]), .link = "busybox" };
	files[n++] = (struct image_file){ .path = "etc", .dir = true };
	files[n++] =
	    (struct image_file){ .path = "etc/passwd",
				 .content =
				     SV("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n") };
	files[n++] = (struct image_file){ .path = "etc/group", .content = SV("root:x:0:\nnogroup:x:65534:\n") };
	files[n++] = (struct image_file){ .path = "tmp", .dir = true, .mode = 01777 };
	files[n++] = (struct image_file){ .path = "www", .dir = true };
	files[n++] = (struct image_file){ .path = "www/index.html",
					  .content = SV("<!doctype html><title>Caravel</title><h1>It sails.</h1>\n") };
	BUG_ON(n > ARRAY_LEN(files));
	return image_build(a,
			   &(struct image_spec){ .name = DEMO_IMAGE,
						 .files = files,
						 .n_files = n,
						 .cmd = cmd,
						 .env = env,
						 .ports = (const int[]){ 8080, 0 } },
			   ret_tar, err);
}

/* --- importing --- */

/* The names of all images, a line each. */
static int list_images(const char *socket, struct buf *out)
{
	const char *argv[] = { "ctr", "-a", socket, "-n", "k8s.io", "images", "ls", "-q", NULL };
	struct child_opts o = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	struct buf errs = BUF_INIT;
	int status = -1, rc = child_run(&o, 60 * NS_PER_SEC, 4 << 20, out, &errs, &status, NULL);

	buf_release(&errs);
	return rc == 0 && status == 0 ? 0 : -1;
}

static bool has_line(struct sv text, struct sv wanted)
{
	struct sv line;

	while (sv_split(&text, '\n', &line))
		if (sv_eq(line, wanted))
			return true;
	return false;
}

/* What ctr named before it failed: its content goes with the last name, by containerd's own collector. */
static void remove_new(const char *socket, struct sv before)
{
	_cleanup_(buf_release) struct buf after = BUF_INIT;
	struct sv rest, line;

	if (list_images(socket, &after) < 0)
		return;
	rest = buf_sv(&after);
	while (sv_split(&rest, '\n', &line)) {
		_cleanup_free_ char *name = xstrndup(line.p, line.n);
		_cleanup_(buf_release) struct buf out = BUF_INIT, errs = BUF_INIT;
		const char *argv[] = { "ctr", "-a", socket, "-n", "k8s.io", "images", "rm", "--sync", name, NULL };
		struct child_opts o = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
		int status;

		if (line.n && !has_line(before, line))
			(void)child_run(&o, 60 * NS_PER_SEC, 64 << 10, &out, &errs, &status, NULL);
	}
}

/* 0, or -1 with *err; what ctr says stays in errs. */
static int run_import(const char *socket, const char *path, bool all_platforms, struct buf *errs, struct err *err)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	const char *argv[10] = { "ctr", "-a", socket, "-n", "k8s.io", "images", "import" };
	struct child_opts o = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	int n = 7, status;

	if (all_platforms)
		argv[n++] = "--all-platforms";
	argv[n] = path;
	buf_clear(errs);
	if (child_run(&o, 600 * NS_PER_SEC, 64 << 10, &out, errs, &status, err) < 0)
		return err_wrap(err, "importing image archive '%s' with ctr (package containerd)", path);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, ERR_INTERNAL, "importing image archive '%s': %.*s", path,
			       SV_ARG(sv_trim(buf_sv(errs))));
	return 0;
}

int image_import(const char *socket, const char *path, struct err *err)
{
	_cleanup_(buf_release) struct buf before = BUF_INIT, errs = BUF_INIT;
	bool known;
	int rc;

	if (access(path, R_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, "cannot read image archive '%s'", path);
	known = list_images(socket, &before) == 0;
	/* All that is in it, as the configuration of an image made by hand may name no platform. */
	rc = run_import(socket, path, true, &errs, err);
	/* `docker save` writes the index of all platforms and attestations, and the contents of one. */
	if (rc < 0 && sv_find_sv(buf_sv(&errs), SV("content digest")) >= 0) {
		err_release(err);
		rc = run_import(socket, path, false, &errs, err);
	}
	if (rc < 0 && known)
		remove_new(socket, buf_sv(&before));
	return rc;
}

int image_import_bytes(const char *socket, const char *tmp_dir, struct sv tar, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/import-%d-%" PRIx64 ".tar", tmp_dir, (int)getpid(), sv_hash(tar));
	int rc;

	if (fs_mkdir_p(tmp_dir, 0755, err) < 0 || fs_write(path, tar, 0600, err) < 0)
		return -1;
	rc = image_import(socket, path, err);
	unlink(path);
	return rc;
}
