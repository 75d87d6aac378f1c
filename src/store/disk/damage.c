#include "store/disk/damage.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

/* Whoever reads this has a server that does not start: the next command is part of the message. */
static int damage_say(struct err *err, const char *path, const char *where, const char *what)
{
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) : 0;

	return err_set(err, ERR_STORE_READ,
		       "'%s' %s%s; with the server stopped, 'caravel store check %.*s' lists all damage and 'caravel "
		       "store repair %.*s' keeps what can be read",
		       path, where, what, n ? n : 1, n ? path : ".", n ? n : 1, n ? path : ".");
}

int damage_set(struct err *err, const char *path, uint64_t offset, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf what = BUF_INIT;
	char where[64];
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&what, fmt, ap);
	va_end(ap);
	snprintf(where, sizeof(where), "is corrupted at offset %" PRIu64 ": ", offset);
	return damage_say(err, path, where, buf_cstr(&what));
}

int damage_file(struct err *err, const char *path, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf what = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&what, fmt, ap);
	va_end(ap);
	return damage_say(err, path, "", buf_cstr(&what));
}
