/* `caravel kubectl`, or this program under the name kubectl: the real one, wherever on the PATH it is. Who replaces a
 * directory of three files by links to this program need not copy it there. */
#include "base/buf.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* An executable that is not this program, whose links are no kubectl. */
static bool kubectl_is_real(const char *path, const struct stat *self)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0 &&
	       (st.st_dev != self->st_dev || st.st_ino != self->st_ino);
}

int cmd_kubectl(int argc, char **argv)
{
	const char *path = getenv("PATH");
	struct sv rest = sv_from(path ? path : ""), dir;
	struct stat self;

	(void)argc;
	if (stat("/proc/self/exe", &self) < 0)
		return cli_fail("cannot read /proc/self/exe: %s", strerror(errno));
	while (sv_split(&rest, ':', &dir)) {
		_cleanup_free_ char *file = xasprintf("%.*s/kubectl", SV_ARG(dir.n ? dir : SV(".")));

		if (!kubectl_is_real(file, &self))
			continue;
		argv[0] = file;
		execv(file, argv);
		return cli_fail("cannot run '%s': %s", file, strerror(errno));
	}
	return cli_fail(
	    "Caravel has no kubectl of its own, and there is none on the PATH that it could be: install kubectl "
	    "v1.36 or later, or put its directory on the PATH");
}
