/* The refusal that plugins word. */
#include "apiserver/admission/plugins.h"

#include <stdarg.h>

int admission_forbid(const struct admission *a, struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_set(err, ERR_FORBIDDEN, "%s%s%s \"%.*s\" is forbidden: %s", a->res->plural, a->res->group[0] ? "." : "",
		a->res->group, SV_ARG(a->name), arena_vprintf(a->q->arena, fmt, ap));
	va_end(ap);
	return err_set_object(err, sv_from(a->res->group), sv_from(a->res->plural), a->name);
}
