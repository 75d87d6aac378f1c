#include "kubelet/shims.h"

#include "base/env.h"
#include "base/file.h"
#include "net/digest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SHARED "/run/containerd"
#define LEFT_BEHIND_S 5
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

const char *shims_socket(struct arena *a, const char *socket, struct sv id)
{
	const char *name = arena_printf(a, "%s/" SHIM_NAMESPACE "/%.*s", socket, SV_ARG(id));
	char hash[SHA256_HEX];

	sha256_hex(sv_from(name), hash);
	return arena_printf(a, SHARED "/s/%s", hash);
}

static void remove_socket(const char *socket, struct sv id)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	unlink(shims_socket(&a, socket, id));
}

int shims_call(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (fd < 0)
		return errno;
	if (strlen(path) >= sizeof(at.sun_path))
		return ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 || errno == EAGAIN) /* there, and busy */
		return 0;
	return errno;
}

int shims_drop_dead(const char *socket, const char *bundles)
{
	const char *const dir = SHARED "/s"; /* fewer bundles than anything else: look only where there are sockets */
	DIR *d = access(dir, F_OK) == 0 ? opendir(bundles) : NULL;
	int n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *path = shims_socket(&a, socket, sv_from(e->d_name));

		n += e->d_name[0] != '.' && shims_call(path) == ECONNREFUSED && unlink(path) == 0;
	}
	closedir(d);
	return n;
}

struct hunt {
	const char *socket;
	const struct rt_sandbox *keep;
	size_t n_keep;
	bool spare_deletes;
	int n;
};

/* "containerd-shim-runc-v2 -namespace k8s.io -id <sandbox> -address <socket>", with " start" or " delete" behind it
 * when it was just called by containerd */
static bool is_shim(struct sv cmdline, const char *socket, struct sv *ret_id, struct sv *ret_last)
{
	struct sv rest = cmdline, word, last = SV("");
	bool shim = false, ours = false;

	*ret_id = SV("");
	while (sv_split(&rest, '\0', &word)) {
		shim |= last.n == 0 && sv_find_sv(word, SV("containerd-shim")) >= 0;
		ours |= sv_is(last, "-address") && sv_is(word, socket);
		if (sv_is(last, "-id"))
			*ret_id = word;
		last = word.n ? word : last; /* nothing follows the end of the last one */
	}
	*ret_last = last;
	return shim && ours;
}

static bool kill_shim(pid_t pid, struct sv cmdline, void *ctx)
{
	struct hunt *h = ctx;
	struct sv last, id;
	bool ours = is_shim(cmdline, h->socket, &id, &last);

	for (size_t i = 0; i < h->n_keep; i++)
		if (sv_eq(h->keep[i].id, id))
			return true;
	if (h->spare_deletes && sv_is(last, "delete"))
		return true;
	if (ours && kill(pid, SIGKILL) == 0) {
		h->n++;
		remove_socket(h->socket, id);
	}
	return true;
}

int shims_kill(const char *socket, const struct rt_sandbox *keep, size_t n_keep, bool spare_deletes)
{
	struct hunt h = { .socket = socket, .keep = keep, .n_keep = n_keep, .spare_deletes = spare_deletes };

	each_process(kill_shim, &h);
	return h.n;
}

bool shims_have_child(const char *socket, int pid)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, word, id, last;

	/* "12 (its name) S 11 ...", and anything in its name */
	if (file_read(&a, arena_printf(&a, "/proc/%d/stat", pid), 4096, &text, NULL) < 0)
		return false;
	while (sv_split(&text, ')', &word))
		last = word;
	return sv_split(&last, ' ', &word) && sv_split(&last, ' ', &word) && sv_split(&last, ' ', &word) &&
	       file_read(&a, arena_printf(&a, "/proc/%.*s/cmdline", SV_ARG(word)), 1 << 16, &text, NULL) == 0 &&
	       is_shim(text, socket, &id, &last);
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

/* Between its bind() and its listen() a socket looks like one that was left; nobody takes seconds for that. */
static void drop_left_behind(int64_t now_ns)
{
	DIR *d = opendir(SHARED "/s");

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *path = arena_printf(&a, SHARED "/s/%s", e->d_name);
		struct stat st;

		if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		    now_ns / NS_PER_SEC - (int64_t)st.st_mtim.tv_sec > LEFT_BEHIND_S &&
		    shims_call(path) == ECONNREFUSED)
			unlink(path);
	}
	closedir(d);
}

void shims_tidy(int64_t now_ns)
{
	drop_left_behind(now_ns);
	if (access(SHARED "/containerd.sock", F_OK) == 0)
		return; /* somebody's daemon lives there */
	rmdir(SHARED "/s");
	rmdir(SHARED);
}
