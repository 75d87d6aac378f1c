/* dir_kit.h - a store's directory as bytes: to keep, to put back, to damage. Only for tests. */
#pragma once

#include "store_kit.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

struct dir_file {
	char name[32];
	struct buf bytes;
};
typedef VEC(struct dir_file) dir_files;

static _unused_ void file_load(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "r");
	char chunk[65536];
	size_t n;

	buf_reserve(ret, 1);
	if (!f) { /* removed since it was listed */
		assert_int_equal(errno, ENOENT);
		return;
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(ret, chunk, n);
	fclose(f);
}

static _unused_ void file_store(const char *path, const char *p, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* The number in "/k/7". What the store hands out ends nowhere. */
static _unused_ int key_number(struct sv key)
{
	int64_t n = 0;

	assert_true(key.n > 3 && sv_to_i64(sv_sub(key, 3, key.n), &n));
	return (int)n;
}

/* Lets the store's threads work: a test that polls takes nothing away from them. */
static _unused_ void nap(void)
{
	usleep(1000);
}

static _unused_ size_t dir_tables(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += strncmp(e->d_name, "t.", 2) == 0;
	closedir(d);
	return n;
}

static int dir_file_cmp(const void *a, const void *b)
{
	return strcmp(((const struct dir_file *)a)->name, ((const struct dir_file *)b)->name);
}

/* All that counts: not the lock, not the reserve. */
static _unused_ void dir_load(const char *dir, dir_files *ret)
{
	DIR *d = opendir(dir);
	char path[512];

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct dir_file f = { .bytes = BUF_INIT };

		if (e->d_name[0] == '.' || !strcmp(e->d_name, "lock") || !strncmp(e->d_name, "reserve", 7))
			continue;
		snprintf(f.name, sizeof(f.name), "%.31s", e->d_name);
		snprintf(path, sizeof(path), "%s/%s", dir, f.name);
		file_load(path, &f.bytes);
		vec_push(ret, f);
	}
	closedir(d);
	if (ret->n)
		qsort(ret->p, ret->n, sizeof(ret->p[0]), dir_file_cmp);
}

/* dir becomes exactly these files. */
static _unused_ void dir_store(const char *dir, const dir_files *files)
{
	char path[512];

	kit_rmdir(dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t i = 0; i < files->n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files->p[i].name);
		file_store(path, files->p[i].bytes.p, files->p[i].bytes.n);
	}
}

static _unused_ struct buf *dir_bytes(const dir_files *files, const char *name)
{
	for (size_t i = 0; i < files->n; i++)
		if (strcmp(files->p[i].name, name) == 0)
			return &files->p[i].bytes;
	fail_msg("no file '%s'", name);
	return NULL;
}

static _unused_ void dir_release(dir_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		buf_release(&files->p[i].bytes);
	vec_release(files);
}

static _unused_ bool dir_same(const dir_files *a, const dir_files *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->p[i].name, b->p[i].name) || a->p[i].bytes.n != b->p[i].bytes.n ||
		    memcmp(a->p[i].bytes.p, b->p[i].bytes.p, a->p[i].bytes.n))
			return false;
	return true;
}

/* The files of a store at work, as of one moment: reading them takes a while, and a copy of which one file is older
 * than another is not what a crash leaves. So they are read until nothing changed in between. */
static _unused_ void dir_load_alive(const char *dir, dir_files *ret)
{
	dir_files again = VEC_INIT;

	dir_load(dir, ret);
	for (;;) {
		dir_load(dir, &again);
		if (dir_same(ret, &again))
			break;
		dir_release(ret);
		*ret = again;
		again = (dir_files){ NULL, 0, 0 };
	}
	dir_release(&again);
}
