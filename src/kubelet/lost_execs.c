#include "kubelet/lost_execs.h"

#include "base/file.h"
#include "base/vec.h"
#include "kubelet/shims.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define EXEC_ID_N 64 /* hex digits, as containerd's CRI makes them */
#define PID_FILE ".pid"

struct lost {
	const char *socket;
	VEC(int) inits; /* first processes of containers */
	VEC(const char *) files;
	int n;
};

/* 0: there is none. */
static int pid_of(struct arena *a, const char *path)
{
	struct sv text;
	int64_t pid;

	return file_read(a, path, 64, &text, NULL) == 0 && sv_to_i64(sv_trim(text), &pid) && pid > 1 && pid <= INT_MAX
		   ? (int)pid
		   : 0;
}

static bool is_exec(struct sv file)
{
	bool hex = file.n == EXEC_ID_N + strlen(PID_FILE) && sv_ends(file, SV(PID_FILE));

	for (size_t i = 0; hex && i < EXEC_ID_N; i++)
		hex = (file.p[i] >= '0' && file.p[i] <= '9') || (file.p[i] >= 'a' && file.p[i] <= 'f');
	return hex;
}

static void look_in(struct lost *l, struct arena *a, const char *bundle)
{
	int init = pid_of(a, arena_printf(a, "%s/init" PID_FILE, bundle));
	DIR *d = opendir(bundle);

	if (init)
		vec_push(&l->inits, init);
	for (struct dirent *e; d && (e = readdir(d));)
		if (is_exec(sv_from(e->d_name)))
			vec_push(&l->files, arena_printf(a, "%s/%s", bundle, e->d_name));
	if (d)
		closedir(d);
}

/* Another process may have its number by now; the shim's children are such processes and the first ones of containers.
 */
static void lost_end(struct lost *l, struct arena *a, const char *file)
{
	int pid = pid_of(a, file);
	_cleanup_close_ int fd = pid ? pidfd_open(pid, 0) : -1; /* whoever that is from here on */
	bool lost = fd >= 0 && shims_have_child(l->socket, pid);

	for (size_t i = 0; lost && i < l->inits.n; i++)
		lost = l->inits.p[i] != pid;
	l->n += lost && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0;
	unlink(file);
}

int lost_execs_end(const char *socket, const char *bundles)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct lost l = { .socket = socket };
	DIR *d = opendir(bundles);

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			look_in(&l, &a, arena_printf(&a, "%s/%s", bundles, e->d_name));
	if (d)
		closedir(d);
	for (size_t i = 0; i < l.files.n; i++)
		lost_end(&l, &a, l.files.p[i]);
	vec_release(&l.inits);
	vec_release(&l.files);
	return l.n;
}
