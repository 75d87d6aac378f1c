/* Rows of the kinds by which the API itself is extended and steered. */
#include "print/print-internal.h"

void print_apiservice(struct arena *a, const struct val *s, int64_t now_ns, struct val *cells)
{
	const struct val *service = val_get(s, F_spec, F_service);
	const struct val *c = condition_find(val_get(s, F_status, F_conditions), "Available");
	struct sv status = val_get_str(c, F_status);

	(void)now_ns;
	if (service)
		cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(service, F_namespace)),
			 SV_ARG(val_get_str(service, F_name)));
	else
		cell_cstr(a, cells, "Local");
	if (!c)
		cell_cstr(a, cells, "Unknown");
	else if (sv_is(status, "True") || !val_get_str(c, F_reason).n)
		cell_str(a, cells, status);
	else
		cell_fmt(a, cells, "%.*s (%.*s)", SV_ARG(status), SV_ARG(val_get_str(c, F_reason)));
}
