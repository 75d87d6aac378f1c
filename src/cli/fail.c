/* How a command says what others have said, and why it cannot. */
#include "base/go_quote.h"
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

/* A terminal does what control characters say. */
static void fail_print(FILE *to, const char *fmt, va_list ap)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT, text = BUF_INIT;

	buf_vprintf(&raw, fmt, ap);
	go_quote_bare(&text, buf_sv(&raw));
	fputs(buf_cstr(&text), to);
}

void cli_print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_print(stdout, fmt, ap);
	va_end(ap);
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("caravel: ", stderr);
	va_start(ap, fmt);
	fail_print(stderr, fmt, ap);
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
