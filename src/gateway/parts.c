/* What all steps share: conditions, ages, and what stands in references. */
#include "gateway/gateway-internal.h"

const char *const gw_kind_names[_GW_KIND_MAX] = { "GatewayClass", "Gateway",  "HTTPRoute",
						  "GRPCRoute",	  "TLSRoute", "ReferenceGrant" };

const struct gw_condition *gw_condition(const struct gw_conditions *c, const char *type)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->p[i].type, type) == 0)
			return &c->p[i];
	return NULL;
}

bool gw_condition_is(const struct gw_conditions *c, const char *type)
{
	const struct gw_condition *one = gw_condition(c, type);

	return one && one->is;
}

void gw_say(struct arena *a, struct gw_conditions *c, const char *type, bool is, const char *reason, const char *fmt,
	    ...)
{
	size_t i = 0;
	va_list ap;

	while (i < c->n && strcmp(c->p[i].type, type) != 0)
		i++;
	if (i == GW_CONDITIONS_MAX)
		return;
	c->n = MAX(c->n, i + 1);
	va_start(ap, fmt);
	c->p[i] = (struct gw_condition){ type, reason, is, arena_vprintf(a, fmt, ap) };
	va_end(ap);
}

uint16_t gw_port(const struct val *v)
{
	int64_t n = val_int_or(v, 0);

	return n > 0 && n < 65536 ? (uint16_t)n : 0;
}

bool gw_group_is(const struct val *ref, const char *group, const char *otherwise)
{
	const struct val *v = val_get(ref, F_group);

	return v ? val_is(v, group) : strcmp(group, otherwise) == 0;
}

bool gw_class_is_ours(const struct val *class)
{
	return sv_is(val_get_str(class, F_spec, F_controllerName), GW_CONTROLLER);
}
