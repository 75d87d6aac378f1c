#include "ingress/sockets.h"

#include "base/file.h"
#include "base/log.h"
#include "net/unix_ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX (1 << 20)
#define ASK_NS (2 * NS_PER_SEC)

static const struct {
	const char *config, *name;
} sockets[ING_SOCKETS + 1] = { { "socket-0.cfg", "haproxy-0.sock" },
			       { "socket-1.cfg", "haproxy-1.sock" },
			       [ING_SOCKET_EARLIER] = { NULL, ING_SOCKET_LINK } };

const char *ing_socket_config(int i)
{
	return sockets[i].config;
}

const char *ing_socket_name(int i)
{
	return sockets[i].name;
}

int ing_sockets_write(const char *dir, struct err *err)
{
	for (int i = 0; i < ING_SOCKETS; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, sockets[i].config);
		_cleanup_free_ char *text = xasprintf(
		    "global\n  stats socket unix@%s mode 600 level admin expose-fd listeners\n", sockets[i].name);

		if (file_write_again(path, sv_from(text), 0600, err) < 0)
			return -1;
	}
	return 0;
}

int ing_socket_ask(struct arena *a, const char *dir, int i, struct sv text, struct sv *ret, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, sockets[i].name);

	return unix_ask(a, path, text, ANSWER_MAX, ASK_NS, ret, err);
}

bool ing_socket_answers(const char *dir, int i, int pid, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *want = xasprintf("\nPid: %d\n", pid);
	struct sv info;

	return ing_socket_ask(&a, dir, i, SV("show info\n"), &info, err) == 0 && sv_find_sv(info, sv_from(want)) >= 0;
}

static bool socket_answers_anybody(const char *dir, int i)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv info;

	return ing_socket_ask(&a, dir, i, SV("show info\n"), &info, NULL) == 0 && sv_find_sv(info, SV("\nPid: ")) >= 0;
}

int ing_socket_find(const char *dir)
{
	_cleanup_free_ char *link = xasprintf("%s/" ING_SOCKET_LINK, dir);
	struct stat st;

	for (int i = 0; i < ING_SOCKETS; i++)
		if (socket_answers_anybody(dir, i))
			return i;
	return lstat(link, &st) == 0 && S_ISSOCK(st.st_mode) && socket_answers_anybody(dir, ING_SOCKET_EARLIER)
		   ? ING_SOCKET_EARLIER
		   : -1;
}

void ing_socket_serves(const char *dir, int i)
{
	_cleanup_free_ char *link = xasprintf("%s/" ING_SOCKET_LINK, dir);
	_cleanup_free_ char *made = xasprintf("%s.new", link);

	(void)unlink(made);
	if (symlink(sockets[i].name, made) < 0 || rename(made, link) < 0)
		log_warn("ingress", "no link leads to HAProxy's socket", "link", "%s: %s", link, strerror(errno));
}
