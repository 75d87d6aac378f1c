#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	int code;
} reasons[_ERR_REASON_MAX] = {
	[ERR_NONE] = { "", 500 },
	[ERR_BAD_REQUEST] = { "BadRequest", 400 },
	[ERR_UNAUTHORIZED] = { "Unauthorized", 401 },
	[ERR_FORBIDDEN] = { "Forbidden", 403 },
	[ERR_NOT_FOUND] = { "NotFound", 404 },
	[ERR_ALREADY_EXISTS] = { "AlreadyExists", 409 },
	[ERR_CONFLICT] = { "Conflict", 409 },
	[ERR_GONE] = { "Gone", 410 },
	[ERR_INVALID] = { "Invalid", 422 },
	[ERR_SERVER_TIMEOUT] = { "ServerTimeout", 500 },
	[ERR_STORE_READ] = { "StorageReadError", 500 },
	[ERR_TOO_MANY_REQUESTS] = { "TooManyRequests", 429 },
	[ERR_METHOD_NOT_ALLOWED] = { "MethodNotAllowed", 405 },
	[ERR_NOT_ACCEPTABLE] = { "NotAcceptable", 406 },
	[ERR_TOO_LARGE] = { "RequestEntityTooLarge", 413 },
	[ERR_UNSUPPORTED_MEDIA_TYPE] = { "UnsupportedMediaType", 415 },
	[ERR_INTERNAL] = { "InternalError", 500 },
	[ERR_EXPIRED] = { "Expired", 410 },
	[ERR_UNAVAILABLE] = { "ServiceUnavailable", 503 },
	[ERR_TIMEOUT] = { "Timeout", 504 },
	[ERR_UNKNOWN] = { "", 500 },
};

const char *err_reason_name(enum err_reason r)
{
	BUG_ON(r >= _ERR_REASON_MAX);
	return reasons[r].name;
}

enum err_reason err_reason_from(struct sv name)
{
	for (int r = ERR_NONE + 1; r < _ERR_REASON_MAX && name.n; r++)
		if (sv_is(name, reasons[r].name))
			return (enum err_reason)r;
	return ERR_NONE;
}

int err_reason_code(enum err_reason r)
{
	BUG_ON(r >= _ERR_REASON_MAX);
	return reasons[r].code;
}

int err_code(const struct err *err)
{
	return err->code ? err->code : err_reason_code(err->reason);
}

static char *format(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		return xstrdup(fmt);
	return s;
}

/* Setting an error twice is a mistake of ours on a path that few take: tests end here, a server goes on with the first,
 * which was nearer to the cause. */
static bool err_is_set(const struct err *err)
{
#ifdef CARAVEL_FAILPOINTS
	BUG_ON(err->reason != ERR_NONE);
#endif
	return err->reason != ERR_NONE;
}

int err_set(struct err *err, enum err_reason reason, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	if (err_is_set(err))
		return -1;
	err->reason = reason;
	va_start(ap, fmt);
	err->msg = format(fmt, ap);
	va_end(ap);
	return -1;
}

int err_set_errno(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	char *what;

	if (!err)
		return -1;
	if (err_is_set(err))
		return -1;
	err->reason = ERR_INTERNAL;
	err->errnum = errnum;
	va_start(ap, fmt);
	what = format(fmt, ap);
	va_end(ap);
	err->msg = xasprintf("%s: %s", what, strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
	free(what);
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	va_list ap;
	char *context, *old;

	if (!err)
		return -1;
	va_start(ap, fmt);
	context = format(fmt, ap);
	va_end(ap);
	old = err->msg;
	err->msg = xasprintf("%s: %s", context, old ? old : "");
	free(old);
	free(context);
	return -1;
}

int err_add_cause(struct err *err, const char *reason, struct sv field, const char *fmt, ...)
{
	va_list ap;
	struct err_cause *c;

	if (!err)
		return -1;
	if ((err->n_causes & (err->n_causes - 1)) == 0) /* a power of two, or none: so many fit */
		err->causes = xrealloc(err->causes, MAX(err->n_causes * 2, (size_t)1) * sizeof(*err->causes));
	c = &err->causes[err->n_causes++];
	c->reason = xstrdup(reason);
	c->field = field.p ? xstrndup(field.p, field.n) : NULL;
	va_start(ap, fmt);
	c->message = format(fmt, ap);
	va_end(ap);
	return -1;
}

bool err_has_cause(const struct err *err, const char *reason)
{
	for (size_t i = 0; i < err->n_causes; i++)
		if (strcmp(err->causes[i].reason, reason) == 0)
			return true;
	return false;
}

static void replace(char **at, struct sv s)
{
	free(*at);
	*at = s.n ? xstrndup(s.p, s.n) : NULL;
}

int err_set_object(struct err *err, struct sv group, struct sv kind, struct sv name)
{
	if (!err)
		return -1;
	replace(&err->group, group);
	replace(&err->kind, kind);
	replace(&err->name, name);
	return -1;
}

int err_move(struct err *to, struct err *from)
{
	if (to && !err_is_set(to)) {
		*to = *from;
		*from = ERR_INIT;
	} else {
		err_release(from);
	}
	return -1;
}

int err_copy(struct err *to, const struct err *from)
{
	if (!to || err_is_set(to) || from->reason == ERR_NONE)
		return -1;
	err_set(to, from->reason, "%s", err_msg(from));
	to->errnum = from->errnum;
	to->code = from->code;
	to->reason_text = from->reason_text ? xstrdup(from->reason_text) : NULL;
	to->retry_after_s = from->retry_after_s;
	for (size_t i = 0; i < from->n_causes; i++)
		err_add_cause(to, from->causes[i].reason,
			      from->causes[i].field ? sv_from(from->causes[i].field) : SV_NULL, "%s",
			      from->causes[i].message);
	err_set_object(to, sv_from(from->group), sv_from(from->kind), sv_from(from->name));
	to->uid = from->uid ? xstrdup(from->uid) : NULL;
	return -1;
}

bool err_retryable(const struct err *err)
{
	switch (err->reason) {
	case ERR_CONFLICT:
	case ERR_SERVER_TIMEOUT:
	case ERR_STORE_READ:
	case ERR_TOO_MANY_REQUESTS:
	case ERR_INTERNAL:
	case ERR_EXPIRED:
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
		return true;
	default:
		return false;
	}
}

bool err_no_room(const struct err *err)
{
	return err->errnum == ENOSPC || err->errnum == EDQUOT || err->errnum == EFBIG;
}

const char *err_msg(const struct err *err)
{
	return err->msg ? err->msg : "no error";
}

void err_release(struct err *err)
{
	for (size_t i = 0; i < err->n_causes; i++) {
		free(err->causes[i].reason);
		free(err->causes[i].message);
		free(err->causes[i].field);
	}
	free(err->causes);
	free(err->reason_text);
	free(err->msg);
	free(err->group);
	free(err->kind);
	free(err->name);
	free(err->uid);
	*err = ERR_INIT;
}
