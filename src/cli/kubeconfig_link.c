#include "cli/kubeconfig_link.h"

#include "base/file.h"
#include "cli/agent.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *link_path(struct arena *a, const char *data_dir)
{
	return arena_printf(a, "%s/server/kubeconfig", data_dir);
}

int kubeconfig_link_set(const char *data_dir, const char *path, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *link = link_path(&a, data_dir), *next = arena_printf(&a, "%s.new", link);
	const char *to = *path ? full_path(&a, path) : "";
	char was[PATH_MAX];
	ssize_t n = readlink(link, was, sizeof(was));

	if (!*to)
		return unlink(link) == 0 || errno == ENOENT
			   ? 0
			   : err_set_errno(err, errno, "cannot take away the link '%s'", link);
	if (n >= 0 && sv_eq(sv_make(was, (size_t)n), sv_from(to)))
		return 0;
	if (dir_make(arena_printf(&a, "%s/server", data_dir), 0700, err) < 0)
		return -1;
	(void)unlink(next); /* of a start that was killed in between */
	if (symlink(to, next) < 0 || rename(next, link) < 0)
		return err_set_errno(err, errno, "cannot make the link '%s'", link);
	return 0;
}

const char *kubeconfig_link_find(struct arena *a, const char *data_dir)
{
	const char *link = link_path(a, data_dir);
	char to[PATH_MAX];
	ssize_t n = readlink(link, to, sizeof(to));
	const char *const there[] = {
		/* By its own name: that is what people are told of. */
		n > 0 && (size_t)n < sizeof(to) ? arena_cstr(a, sv_make(to, (size_t)n)) : NULL,
		arena_printf(a, "%s/kubeconfig.yaml", data_dir),
		strcmp(data_dir, DEFAULT_DATA_DIR) == 0 ? DEFAULT_KUBECONFIG : NULL,
	};

	for (size_t i = 0; i < ARRAY_LEN(there); i++)
		if (there[i] && access(there[i], R_OK) == 0)
			return there[i];
	return NULL;
}
