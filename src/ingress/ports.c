#include "ingress/ports.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TABLE_MAX (64 << 20)
#define LISTEN 10 /* its state, in /proc/net/tcp */

/* The inode of a socket that listens there; 0: none. */
static unsigned long port_inode(const char *table, int port)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	if (file_read(&a, table, TABLE_MAX, &text, NULL) < 0)
		return 0;
	while (sv_split(&text, '\n', &line)) {
		unsigned local, state;
		unsigned long inode;
		char one[256];

		(void)snprintf(one, sizeof(one), "%.*s", SV_ARG(line));
		/* sl local:port remote:port st queues timer retransmits uid timeout inode */
		if (sscanf(one, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*d %*d %lu", &local, &state,
			   &inode) == 3 &&
		    (int)local == port && state == LISTEN && inode)
			return inode;
	}
	return 0;
}

static bool port_process_has(const char *pid, unsigned long inode)
{
	char path[300], to[64], want[64];
	struct dirent *d;
	bool has = false;
	DIR *dir;

	(void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !has && (d = readdir(dir))) {
		ssize_t n;

		if (d->d_name[0] == '.')
			continue;
		n = readlinkat(dirfd(dir), d->d_name, to, sizeof(to) - 1);
		has = n > 0 && sv_is(sv_make(to, (size_t)n), want);
	}
	if (dir)
		closedir(dir);
	return has;
}

const char *port_holder(struct arena *a, int port, const int * not )
{
	unsigned long inode = port_inode("/proc/net/tcp", port);
	const char *who = "another program";
	struct dirent *d;
	DIR *proc;

	if (!inode)
		inode = port_inode("/proc/net/tcp6", port);
	if (!inode)
		return NULL;
	proc = opendir("/proc");
	while (proc && (d = readdir(proc))) {
		struct sv name = SV("?");
		int64_t pid;

		if (!sv_to_i64(sv_from(d->d_name), &pid) || !port_process_has(d->d_name, inode))
			continue;
		(void)file_read(a, arena_printf(a, "/proc/%s/comm", d->d_name), 64, &name, NULL);
		who = arena_printf(a, "%.*s (pid %s)", SV_ARG(sv_trim(name)), d->d_name);
		for (const int *n = not ; n && *n; n++)
			if (*n == pid)
				who = NULL;
		break;
	}
	if (proc)
		closedir(proc);
	return who;
}
