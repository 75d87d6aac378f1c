/* The refusal that plugins word. */
#include "apiserver/admission/plugins.h"

#include <stdarg.h>

struct sv admission_shown_name(const struct admission *a)
{
	struct sv base = a->doc && !a->name.n ? val_get_str(a->doc, F_metadata, F_generateName) : SV("");

	return a->name.n ? a->name : base.n ? base : SV("Unknown");
}

int admission_forbid(const struct admission *a, struct err *err, const char *fmt, ...)
{
	struct sv name = admission_shown_name(a);
	va_list ap;

	va_start(ap, fmt);
	err_set(err, ERR_FORBIDDEN, "%s%s%s \"%.*s\" is forbidden: %s", a->res->plural, a->res->group[0] ? "." : "",
		a->res->group, SV_ARG(name), arena_vprintf(a->q->arena, fmt, ap));
	va_end(ap);
	return err_set_object(err, sv_from(a->res->group), sv_from(a->res->plural), name);
}
