/* How a command says why it cannot. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("caravel: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

int cli_fail_err(struct err *err)
{
	int rc = cli_fail("%s", err_msg(err));

	err_release(err);
	return rc;
}
