#include "base/sysctl.h"

#include "base/buf.h"
#include "base/file.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_setting(const char *path, int flags)
{
	char full[256];

	(void)snprintf(full, sizeof(full), "/proc/sys/%s", path);
	return open(full, flags | O_CLOEXEC);
}

static bool write_setting(const char *path, const char *value)
{
	_cleanup_close_ int fd = open_setting(path, O_WRONLY);

	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

static bool known(const struct sysctls *s, const char *path)
{
	for (size_t i = 0; i < s->saved.n; i++) {
		if (strcmp(s->saved.p[i].path, path) == 0)
			return true;
	}
	return false;
}

static void sysctl_load(struct sysctls *s, const char *file)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	if (file_read(&a, file, 4096, &text, NULL) < 0)
		return;
	while (sv_split(&text, '\n', &line)) {
		struct sysctl_saved saved = { .path = "" };

		if (sscanf(arena_cstr(&a, line), "%63[A-Za-z0-9_/.:@-] %15s", saved.path, saved.was) == 2 &&
		    !strstr(saved.path, "..") && !known(s, saved.path))
			vec_push(&s->saved, saved);
	}
}

static void sysctl_store(const struct sysctls *s, const char *file)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < s->saved.n; i++)
		buf_printf(&b, "%s %s\n", s->saved.p[i].path, s->saved.p[i].was);
	(void)file_write(file, buf_sv(&b), 0600, NULL); /* then they are given back by this process or not at all */
}

void sysctls_init(struct sysctls *s, const char *file)
{
	*s = (struct sysctls){ .file = file ? xstrdup(file) : NULL };
	if (file)
		sysctl_load(s, file);
}

bool sysctl_ensure(struct sysctls *s, const char *path, const char *value)
{
	struct sysctl_saved saved = { .path = "" };
	_cleanup_close_ int fd = open_setting(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, saved.was, sizeof(saved.was) - 1);
	if (n <= 0)
		return false;
	saved.was[strcspn(saved.was, "\n")] = '\0';
	if (strcmp(saved.was, value) == 0)
		return true;
	(void)snprintf(saved.path, sizeof(saved.path), "%s", path);
	if (!known(s, path)) {
		vec_push(&s->saved, saved);
		if (s->file)
			sysctl_store(s, s->file);
	}
	return write_setting(path, value);
}

void sysctl_restore(struct sysctls *s)
{
	while (s->saved.n) {
		struct sysctl_saved saved = vec_pop(&s->saved);

		(void)write_setting(saved.path, saved.was);
	}
	if (s->file)
		unlink(s->file);
}

/* How many bytes of path are its directory and the slash. */
static size_t sysctl_dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

uint64_t sysctl_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

/* Whether who has this claim lives in our network namespace. Not while its text is not written yet, either. */
static bool is_here(const char *claim)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line, word;
	bool next = false;
	uint64_t ino;

	if (file_read(&a, claim, 65536, &text, NULL) < 0 || !sv_split(&text, '\n', &line))
		return false;
	while (sv_split(&line, ' ', &word)) {
		if (next)
			return sv_to_u64(word, &ino) && ino == sysctl_netns();
		next = sv_is(word, "netns");
	}
	return false;
}

/* The directory of path, locked: its owner neither goes nor comes meanwhile. Nobody holds it for longer than a file
 * takes to write. -1: there is none. */
static int lock_dir_of(const char *path)
{
	_cleanup_free_ char *dir = xasprintf("%.*s", (int)sysctl_dir_len(path), path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool hand_to(const struct sysctls *s, const char *claim, const char *file)
{
	_cleanup_close_ int lock = lock_dir_of(claim);
	struct sysctls heir;

	if (lock < 0 || !is_here(claim))
		return false;
	sysctls_init(&heir, file);
	for (size_t k = 0; k < s->saved.n; k++) {
		if (!known(&heir, s->saved.p[k].path))
			vec_push(&heir.saved, s->saved.p[k]);
	}
	sysctl_store(&heir, file);
	sysctls_release(&heir);
	return true;
}

bool sysctl_hand_over(struct sysctls *s, const char *heirs)
{
	size_t own = sysctl_dir_len(s->file);
	bool done = false;
	glob_t g;

	if (!own || glob(heirs, 0, NULL, &g) != 0)
		return false;
	for (size_t i = 0; i < g.gl_pathc && !done; i++) {
		const char *path = g.gl_pathv[i];
		size_t dir = sysctl_dir_len(path);
		_cleanup_free_ char *file = xasprintf("%.*s%s", (int)dir, path, s->file + own);

		done = strcmp(file, s->file) != 0 && hand_to(s, path, file);
	}
	globfree(&g);
	if (done)
		unlink(s->file);
	return done;
}

void sysctls_give_back(const char *file, const char *heirs)
{
	struct sysctls s;

	if (!file)
		return;
	sysctls_init(&s, file);
	if (s.saved.n && !(heirs && sysctl_hand_over(&s, heirs)))
		sysctl_restore(&s);
	sysctls_release(&s);
}

void sysctls_no_heir(const char *claim, const char *prefix, const char *heirs)
{
	_cleanup_free_ char *pattern = xasprintf("%.*s%s*", (int)sysctl_dir_len(claim), claim, prefix);
	int lock = lock_dir_of(claim);
	glob_t g;

	unlink(claim);
	if (lock >= 0)
		close(lock);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		if (!strchr(g.gl_pathv[i] + sysctl_dir_len(g.gl_pathv[i]),
			    '.')) /* else what somebody keeps beside it */
			sysctls_give_back(g.gl_pathv[i], heirs);
	}
	globfree(&g);
}

void sysctls_release(struct sysctls *s)
{
	vec_release(&s->saved);
	free(s->file);
}
