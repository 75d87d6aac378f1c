#include "ingress/workdir.h"

#include "base/file.h"
#include "ingress/apr1.h"
#include "ingress/gate_lua.h"
#include "ingress/sockets.h"
#include "net/tls.h"

#include <dirent.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_PEM_YEARS 10
#define NOBODY 65534

static int workdir_write(const struct ing_workdir *w, const char *name, struct sv text, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", w->dir, name);

	return file_write_again(path, text, 0600, err);
}

static void *workdir_hash(struct sv text)
{
	return (void *)(uintptr_t)(strmap_hash(text) | 1);
}

static bool workdir_has(const struct ing_workdir *w, const char *name, struct sv text)
{
	return strmap_get(&w->there, sv_from(name)) == workdir_hash(text);
}

/* Large texts that seldom change are not written for each that did. */
static int workdir_write_other(struct ing_workdir *w, const char *name, struct sv text, struct err *err)
{
	if (workdir_has(w, name, text))
		return 0;
	(void)strmap_del(&w->there, sv_from(name)); /* half of it may be written */
	if (workdir_write(w, name, text, err) < 0)
		return -1;
	(void)strmap_set(&w->there, sv_from(name), workdir_hash(text));
	return 0;
}

void ing_workdir_forget(struct ing_workdir *w)
{
	strmap_release(&w->there);
	w->there = STRMAP_INIT;
}

void ing_workdir_drop_pems(struct ing_workdir *w, const struct ing_conf *c)
{
	struct strmap keep = STRMAP_INIT;
	DIR *dir = opendir(w->dir);
	struct dirent *d;

	for (size_t i = 0; c && i < c->n_pems; i++)
		strmap_set(&keep, c->pems[i].file, &keep);
	for (size_t i = 0; c && i < c->n_lists; i++)
		strmap_set(&keep, c->lists[i].file, &keep);
	while (dir && (d = readdir(dir))) {
		struct sv name = sv_from(d->d_name);

		if (((sv_ends(name, SV(".pem")) && !sv_is(name, ING_DEFAULT_PEM)) || sv_starts(name, SV("crt-list"))) &&
		    !strmap_has(&keep, name)) {
			(void)strmap_del(&w->there, name);
			(void)unlinkat(dirfd(dir), d->d_name, 0);
		}
	}
	if (dir)
		closedir(dir);
	strmap_release(&keep);
}

int ing_workdir_write(struct ing_workdir *w, const struct ing_conf *c, struct err *err)
{
	_cleanup_(buf_release) struct buf config = BUF_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	bool drop = c->n_lists < w->lists; /* ports that went */

	w->lists = c->n_lists;
	for (int i = 0; i < ING_MAPS; i++)
		if (workdir_write_other(w, ing_map_names[i], c->maps[i], err) < 0)
			return -1;
	for (size_t i = 0; i < c->n_pems; i++) {
		_cleanup_free_ char *name = xasprintf("%.*s", SV_ARG(c->pems[i].file));

		if (workdir_write_other(w, name, c->pems[i].pem, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->n_lists; i++)
		drop |= !workdir_has(w, arena_cstr(&a, c->lists[i].file), c->lists[i].text);
	if (drop)
		ing_workdir_drop_pems(w, c);
	for (size_t i = 0; i < c->n_lists; i++)
		if (workdir_write_other(w, arena_cstr(&a, c->lists[i].file), c->lists[i].text, err) < 0)
			return -1;
	buf_addsv(&config, c->config);
	buf_printf(&config, "global\n  uid %u\n  gid %u\n  chroot void\n", (unsigned)w->uid, (unsigned)w->gid);
	return workdir_write(w, ING_CONFIG, buf_sv(&config), err);
}

/* Shown for hosts that have no certificate. Nobody believes it; without one there would be no TLS at all. */
static int workdir_default_pem(const struct ing_workdir *w, int64_t now, struct err *err)
{
	static const char *const names[] = { "ingress.invalid", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t from, to;
	struct cert_opts o = { .common_name = "caravel-ingress-default",
			       .dns_names = names,
			       .not_before_ns = now - 3600 * NS_PER_SEC,
			       .not_after_ns = now + DEFAULT_PEM_YEARS * INT64_C(365) * 86400 * NS_PER_SEC,
			       .server = true };
	struct sv pem, cert, key;

	if (file_read(&a, arena_printf(&a, "%s/" ING_DEFAULT_PEM, w->dir), 1 << 16, &pem, NULL) == 0 &&
	    cert_validity(pem, &from, &to, NULL) == 0 && from <= now && to > now + 30 * INT64_C(86400) * NS_PER_SEC)
		return 0;
	if (cert_make(&a, &o, SV(""), SV(""), &cert, &key, err) < 0)
		return -1;
	return workdir_write(w, ING_DEFAULT_PEM, arena_svf(&a, "%.*s%.*s", SV_ARG(cert), SV_ARG(key)), err);
}

int ing_workdir_open(struct ing_workdir *w, const char *data_dir, int64_t now_ns, struct err *err)
{
	_cleanup_free_ char *empty = xasprintf("%s/ingress/void", data_dir);
	const struct passwd *user = getpwnam("haproxy");

	w->uid = user ? user->pw_uid : NOBODY;
	w->gid = user ? user->pw_gid : NOBODY;
	w->dir = xasprintf("%s/ingress", data_dir);
	w->config = xasprintf("%s/" ING_CONFIG, w->dir);
	return dir_make(w->dir, 0700, err) < 0 || dir_make(empty, 0755, err) < 0 ||
		       ing_sockets_write(w->dir, err) < 0 || workdir_default_pem(w, now_ns, err) < 0 ||
		       workdir_write(w, ING_APR1_LUA, sv_from(ing_apr1_lua), err) < 0 ||
		       workdir_write(w, ING_GATE_LUA, sv_from(ing_gate_lua), err) < 0
		   ? -1
		   : 0;
}

void ing_workdir_release(struct ing_workdir *w)
{
	strmap_release(&w->there);
	free(w->dir);
	free(w->config);
}
