#include "kubelet/shims.h"

#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHARED "/run/containerd"
#define SHIM_NAMESPACE "k8s.io" /* in which CRI keeps its containers */

/* Calls fn with every process's command line, NUL between the words, until it returns false. */
static void each_process(bool (*fn)(pid_t pid, struct sv cmdline, void *ctx), void *ctx)
{
	DIR *d = opendir("/proc");
	bool more = true;

	if (!d)
		return;
	for (struct dirent *e; more && (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv cmd;

		if (isdigit((unsigned char)e->d_name[0]) &&
		    file_read(&a, arena_printf(&a, "/proc/%s/cmdline", e->d_name), 1 << 16, &cmd, NULL) == 0)
			more = fn((pid_t)atoi(e->d_name), cmd, ctx);
	}
	closedir(d);
}

static void remove_socket(const char *socket, struct sv id)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *name = arena_printf(&a, "%s/" SHIM_NAMESPACE "/%.*s", socket, SV_ARG(id));
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char path[sizeof(SHARED "/s/") + 2 * sizeof(hash)] = SHARED "/s/", *at = path + strlen(path);

	SHA256((const unsigned char *)name, strlen(name), hash);
	for (size_t i = 0; i < sizeof(hash); i++, at += 2)
		(void)snprintf(at, 3, "%02x", hash[i]);
	unlink(path);
}

struct hunt {
	const char *socket;
	const struct rt_sandbox *keep;
	size_t n_keep;
	int n;
};

/* "containerd-shim-runc-v2 -namespace k8s.io -id <sandbox> -address <socket>" */
static bool kill_shim(pid_t pid, struct sv cmdline, void *ctx)
{
	struct hunt *h = ctx;
	struct sv rest = cmdline, word, last = SV(""), id = SV("");
	bool shim = false, ours = false;

	while (sv_split(&rest, '\0', &word)) {
		shim |= last.n == 0 && sv_find_sv(word, SV("containerd-shim")) >= 0;
		ours |= sv_is(last, "-address") && sv_is(word, h->socket);
		if (sv_is(last, "-id"))
			id = word;
		last = word;
	}
	for (size_t i = 0; i < h->n_keep; i++)
		if (sv_eq(h->keep[i].id, id))
			return true;
	if (shim && ours && kill(pid, SIGKILL) == 0) {
		h->n++;
		remove_socket(h->socket, id);
	}
	return true;
}

int shims_kill(const char *socket, const struct rt_sandbox *keep, size_t n_keep)
{
	struct hunt h = { .socket = socket, .keep = keep, .n_keep = n_keep };

	each_process(kill_shim, &h);
	return h.n;
}

struct daemon_hunt {
	const char *config;
	pid_t pid;
};

/* "containerd --config <config>" */
static bool is_daemon(pid_t pid, struct sv cmdline, void *ctx)
{
	struct daemon_hunt *h = ctx;
	struct sv rest = cmdline, program, flag, config;

	if (sv_split(&rest, '\0', &program) && sv_ends(program, SV("containerd")) && sv_split(&rest, '\0', &flag) &&
	    sv_is(flag, "--config") && sv_split(&rest, '\0', &config) && sv_is(config, h->config))
		h->pid = pid;
	return h->pid == 0;
}

int shims_find_daemon(const char *config)
{
	struct daemon_hunt h = { .config = config };

	each_process(is_daemon, &h);
	return (int)h.pid;
}

void shims_tidy(void)
{
	if (access(SHARED "/containerd.sock", F_OK) == 0)
		return; /* somebody's daemon lives there */
	rmdir(SHARED "/s");
	rmdir(SHARED);
}
