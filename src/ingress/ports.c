#include "ingress/ports.h"

#include "base/file.h"
#include "base/strmap.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TABLE_MAX (64 << 20)
#define LISTEN 10 /* its state, in /proc/net/tcp */
#define SOMEBODY "another program"

struct ports_look {
	struct arena *a;
	struct port_holder *p;
	size_t n;
	struct strmap inodes; /* "socket:[7]" -> the port that it listens on; those whose process is not known yet */
	size_t left;	      /* of them */
};

static int ports_order(const void *x, const void *y)
{
	const struct port_holder *a = x, *b = y;

	return (int)a->port - (int)b->port;
}

/* Of sockets that listen on one of the ports, the first of each port. */
static void ports_table(struct ports_look *l, const char *table)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	if (file_read(&a, table, TABLE_MAX, &text, NULL) < 0)
		return;
	while (sv_split(&text, '\n', &line)) {
		struct port_holder key, *p;
		unsigned local, state;
		unsigned long inode;
		char one[256];

		(void)snprintf(one, sizeof(one), "%.*s", SV_ARG(line));
		/* sl local:port remote:port st queues timer retransmits uid timeout inode */
		if (sscanf(one, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*d %*d %lu", &local, &state,
			   &inode) != 3 ||
		    state != LISTEN || !inode || local > UINT16_MAX)
			continue;
		key.port = (uint16_t)local;
		p = bsearch(&key, l->p, l->n, sizeof(*l->p), ports_order);
		if (!p || p->who)
			continue;
		p->who = SOMEBODY;
		strmap_set(&l->inodes, arena_svf(l->a, "socket:[%lu]", inode), p);
		l->left++;
	}
}

/* Which of them a process has. counts: else nobody has them. */
static void ports_process(struct ports_look *l, const char *pid, bool counts)
{
	const char *who = NULL;
	struct dirent *d;
	DIR *dir = opendir(arena_printf(l->a, "/proc/%s/fd", pid));

	while (dir && l->left && (d = readdir(dir))) {
		struct port_holder *p;
		struct sv name = SV("?");
		char to[64];
		ssize_t n = readlinkat(dirfd(dir), d->d_name, to, sizeof(to) - 1);

		p = n > 0 ? strmap_del(&l->inodes, sv_make(to, (size_t)n)) : NULL;
		if (!p)
			continue;
		l->left--;
		if (!who && counts) {
			(void)file_read(l->a, arena_printf(l->a, "/proc/%s/comm", pid), 64, &name, NULL);
			who = arena_printf(l->a, "%.*s (pid %s)", SV_ARG(sv_trim(name)), pid);
		}
		p->who = who;
	}
	if (dir)
		closedir(dir);
}

void port_holders(struct arena *a, struct port_holder *p, size_t n, const int * not )
{
	struct ports_look l = { .a = a, .p = p, .n = n };
	struct dirent *d;
	DIR *proc;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		p[i].who = NULL;
	qsort(p, n, sizeof(*p), ports_order);
	ports_table(&l, "/proc/net/tcp");
	ports_table(&l, "/proc/net/tcp6");
	for (; not &&*not ; not ++) /* mostly they are ours, and nobody else is looked at */
		ports_process(&l, arena_printf(a, "%d", *not ), false);
	proc = l.left ? opendir("/proc") : NULL;
	while (proc && l.left && (d = readdir(proc))) {
		int64_t pid;

		if (sv_to_i64(sv_from(d->d_name), &pid))
			ports_process(&l, d->d_name, true);
	}
	if (proc)
		closedir(proc);
	strmap_release(&l.inodes);
}
