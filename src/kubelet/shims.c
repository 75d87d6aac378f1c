#include "kubelet/shims.h"

#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>

/* "containerd-shim-runc-v2 -namespace k8s.io -id <sandbox> -address <socket>", NUL between the words. */
static bool wanted(struct sv cmdline, const char *socket, const struct rt_sandbox *keep, size_t n_keep)
{
	struct sv rest = cmdline, word, last = SV(""), id = SV("");
	bool shim = false, ours = false;

	while (sv_split(&rest, '\0', &word)) {
		shim |= last.n == 0 && sv_find_sv(word, SV("containerd-shim")) >= 0;
		ours |= sv_is(last, "-address") && sv_is(word, socket);
		if (sv_is(last, "-id"))
			id = word;
		last = word;
	}
	for (size_t i = 0; i < n_keep; i++)
		if (sv_eq(keep[i].id, id))
			return false;
	return shim && ours;
}

int shims_kill(const char *socket, const struct rt_sandbox *keep, size_t n_keep)
{
	DIR *d = opendir("/proc");
	int n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv cmd;

		if (!isdigit((unsigned char)e->d_name[0]) ||
		    file_read(&a, arena_printf(&a, "/proc/%s/cmdline", e->d_name), 1 << 16, &cmd, NULL) < 0)
			continue;
		n += wanted(cmd, socket, keep, n_keep) && kill((pid_t)atoi(e->d_name), SIGKILL) == 0;
	}
	closedir(d);
	return n;
}
