#include "proxy/sysctl.h"

#include <fcntl.h>
#include <stdio.h>
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

bool sysctl_ensure(struct sysctls *s, const char *path, const char *value)
{
	struct sysctl_saved saved = { .path = path };
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
	if (!write_setting(path, value))
		return false;
	vec_push(&s->saved, saved);
	return true;
}

void sysctl_restore(struct sysctls *s)
{
	while (s->saved.n) {
		struct sysctl_saved saved = vec_pop(&s->saved);

		(void)write_setting(saved.path, saved.was);
	}
}

void sysctls_release(struct sysctls *s)
{
	vec_release(&s->saved);
}
