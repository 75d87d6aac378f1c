#include "ingress/backend.h"

#include "base/vec.h"
#include "ingress/check.h"
#include "object/slice.h"

#include <stdlib.h>

#define ENDPOINTS_MAX 1024

const char *const ing_service_paths[] = {
	"spec type",	   "spec ipFamilies",	  "spec externalName",	    "spec externalIPs",	   "spec ports name",
	"spec ports port", "spec ports protocol", "spec ports appProtocol", "status loadBalancer", NULL
};
const char *const ing_slice_paths[] = { "metadata labels " SLICE_SERVICE_LABEL,
					"addressType",
					"endpoints addresses",
					"endpoints conditions",
					"ports name",
					"ports protocol",
					"ports port",
					NULL };

static int backend_order(const void *x, const void *y)
{
	const struct ing_endpoint *a = x, *b = y;
	int c = ing_endpoint_cmp(a, b);

	return c ? c : (int)a->draining - (int)b->draining;
}

static uint16_t slice_port(const struct val *slice, struct sv name)
{
	VAL_EACH(val_get(slice, F_ports), p)
		if (sv_eq(val_get_str(p, F_name), name) &&
		    (!val_get(p, F_protocol) || val_is(val_get(p, F_protocol), "TCP"))) {
			int64_t port = val_get_int(p, 0, F_port);

			return port > 0 && port < 65536 ? (uint16_t)port : 0;
		}
	return 0;
}

/* Those that are ready; of those that end, which still serve: nothing new for them, unless there is nobody else. */
static void backend_endpoints(struct arena *a, const struct ing_source *s, struct ing_backend *b,
			      const struct obj *service, struct sv port_name)
{
	struct sv family = val_str(val_at(obj_get(service, F_spec, F_ipFamilies), 0));
	size_t n_slices, ready = 0;
	struct obj **slices = s->slices(s->ctx, a, obj_ns(service), obj_name(service), &n_slices);
	VEC(struct ing_endpoint) all = VEC_INIT;

	for (size_t i = 0; i < n_slices; i++) {
		const struct val *slice = obj_root(slices[i]);
		uint16_t port = slice_port(slice, port_name);

		if (!port || (family.n && !sv_eq(val_get_str(slice, F_addressType), family)))
			continue;
		VAL_EACH(val_get(slice, F_endpoints), e) {
			bool is_ready = endpoint_ready(e);
			struct ing_endpoint ep = { .port = port, .draining = !is_ready };

			if (all.n == ENDPOINTS_MAX || !ip_parse(val_str(val_at(val_get(e, F_addresses), 0)), &ep.ip))
				continue;
			if (!is_ready && !(endpoint_terminating(e) && endpoint_serving(e)))
				continue;
			ready += is_ready;
			vec_push(&all, ep);
		}
	}
	if (all.n > 1)
		qsort(all.p, all.n, sizeof(*all.p), backend_order);
	b->endpoints = ARENA_ARRAY(a, struct ing_endpoint, all.n);
	for (size_t i = 0; i < all.n; i++) {
		const struct ing_endpoint *last = b->n ? &b->endpoints[b->n - 1] : NULL;

		if (last && ing_endpoint_cmp(last, &all.p[i]) == 0)
			continue;
		b->endpoints[b->n] = all.p[i];
		b->endpoints[b->n++].draining &= ready > 0;
	}
	vec_release(&all);
}

static bool external_is_fine(struct sv name)
{
	uint8_t bytes[16];

	return ing_is_host(name) && name.p[0] != '*' && !ip_bytes(name, bytes) && !sv_is(name, "localhost") &&
	       !sv_ends(name, SV(".localhost"));
}

const char *ing_backend_fill(struct arena *a, const struct ing_source *s, struct ing_backend *b,
			     const struct obj *service, const struct val *ref)
{
	struct sv wanted_name = val_get_str(ref, F_port, F_name), name = SV_NULL;
	int64_t wanted = val_get_int(ref, 0, F_port, F_number);
	bool external = sv_is(val_get_str(obj_root(service), F_spec, F_type), "ExternalName"), found = false;

	VAL_EACH(obj_get(service, F_spec, F_ports), p)
		if (!found && (wanted_name.n ? sv_eq(val_get_str(p, F_name), wanted_name)
					     : val_get_int(p, 0, F_port) == wanted)) {
			found = true;
			name = val_get_str(p, F_name);
			wanted = val_get_int(p, 0, F_port);
		}
	if (!found && !(external && !wanted_name.n))
		return "has no such port";
	if (!external) {
		backend_endpoints(a, s, b, service, name);
		return NULL;
	}
	b->external = val_get_str(obj_root(service), F_spec, F_externalName);
	if (sv_ends(b->external, SV(".")))
		b->external.n--;
	b->external_port = wanted > 0 && wanted < 65536 ? (uint16_t)wanted : 0;
	if (external_is_fine(b->external) && b->external_port)
		return NULL;
	b->external = SV_NULL;
	return "has an externalName that is no name of another machine";
}
