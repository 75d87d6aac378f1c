#include "node_place.h"

#include "base/arena.h"
#include "base/file.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/node_cleanup.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PREFIX "/tmp/caravel-suite-"
#define OWNER "owner"

static bool mentioned(struct arena *a, const char *text)
{
	struct sv s;

	return file_read(a, "/proc/self/mountinfo", 4 << 20, &s, NULL) == 0 && sv_find_sv(s, sv_from(text)) >= 0;
}

static bool clean(const char *dir, struct env *env)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const char *group = strrchr(dir, '/');
	char bridge[16], run[40];

	cni_bridge_name(dir, bridge);
	containerd_run_dir(dir, run);
	if (node_cleanup(&(struct node_cleanup_opts){ .env = env,
						      .data_dir = dir,
						      .cgroup_root = group,
						      .log_dir = arena_printf(&a, "%s/logs", dir),
						      .images = true },
			 &err) < 0) {
		printf("# cleanup of %s: %s\n", dir, err_msg(&err));
		return false;
	}
	if (if_nametoindex(bridge) || access(run, F_OK) == 0 || mentioned(&a, dir) || mentioned(&a, run) ||
	    access(arena_printf(&a, "/sys/fs/cgroup%s", group), F_OK) == 0 ||
	    access(arena_printf(&a, "/sys/fs/cgroup/memory%s", group), F_OK) == 0) {
		printf("# something is left behind of %s\n", dir);
		return false;
	}
	tree_remove(dir, NULL);
	return true;
}

static void clear_away_dead(struct env *env)
{
	glob_t g;

	if (glob(PREFIX "*/" OWNER, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		int fd = open(g.gl_pathv[i], O_RDWR | O_CLOEXEC);

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
			*strrchr(g.gl_pathv[i], '/') = '\0';
			clean(g.gl_pathv[i], env);
		}
		if (fd >= 0)
			close(fd);
	}
	globfree(&g);
}

/* Does an interface of this machine have an address in 10.199.n.0/24? */
static bool used(unsigned n)
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_in in;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&in, i->ifa_addr, sizeof(in));
		found |= ntohl(in.sin_addr.s_addr) >> 8 == (10u << 16 | 199u << 8 | n);
	}
	freeifaddrs(all);
	return found;
}

/* The socket whose name says that the range is taken; -1: it is. */
static int range_take(unsigned n)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "caravel-suite-net-%u", n);

	if (fd < 0 || used(n) ||
	    bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) <
		0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

void node_place_take(struct node_place *p, struct env *env)
{
	char template[] = PREFIX "XXXXXX";
	_cleanup_free_ char *made = NULL, *owner = NULL;

	clear_away_dead(env);
	BUG_ON(!mkdtemp(template));
	p->dir = xstrdup(template);
	p->cgroup_root = xstrdup(strrchr(template, '/'));
	p->log_dir = xasprintf("%s/logs", template);
	made = xasprintf("%s/%s.new", template, OWNER);
	owner = xasprintf("%s/%s", template, OWNER);
	p->lock = open(made, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	BUG_ON(p->lock < 0 || flock(p->lock, LOCK_EX) < 0 || rename(made, owner) < 0); /* locked before it is seen */
	p->range = -1;
	for (unsigned i = 0, n = (unsigned)getpid(); p->range < 0; i++, n++) {
		BUG_ON(i == 256);
		p->range = range_take(n % 256);
		if (p->range >= 0)
			p->pod_cidr = xasprintf("10.199.%u.0/24", n % 256);
	}
}

bool node_place_leave(struct node_place *p, struct env *env)
{
	bool ok = clean(p->dir, env);

	close(p->range);
	close(p->lock);
	free(p->dir);
	free(p->cgroup_root);
	free(p->log_dir);
	free(p->pod_cidr);
	return ok;
}
