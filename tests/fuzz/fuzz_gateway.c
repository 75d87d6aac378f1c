/* Gateways and routes of any form, as a list of objects in JSON: no schema has looked at them. What is said of them
 * is said in words, and whatever is rendered, texts of users are values in map files.
 *
 * A Gateway is of the class `caravel`; "d" has a Service `a` with port 80 and the TLS Secret of any name is no
 * certificate.
 */
#include "check_haproxy.h"
#include "codec/json.h"
#include "ingress/from_gateway.h"

struct fuzz {
	struct arena a;
	struct obj *service, *class;
	VEC(struct obj *) objects[_GW_KIND_MAX];
};

static struct obj *fuzz_service(void *ctx, _unused_ struct sv ns, struct sv name)
{
	return sv_is(name, "a") ? ((struct fuzz *)ctx)->service : NULL;
}

static struct obj *fuzz_secret(_unused_ void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
	return NULL;
}

static struct obj **fuzz_slices(_unused_ void *ctx, _unused_ struct arena *a, _unused_ struct sv ns,
				_unused_ struct sv service, size_t *ret_n)
{
	*ret_n = 0;
	return NULL;
}

static void fuzz_say(_unused_ void *ctx, _unused_ const struct obj *o, _unused_ const char *reason, const char *message)
{
	BUG_ON(!*message);
}

static void fuzz_uses(_unused_ void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
}

static const struct val *fuzz_labels(_unused_ void *ctx, _unused_ struct sv ns)
{
	return NULL;
}

static enum gw_service fuzz_port(void *ctx, struct sv ns, struct sv name, int64_t port)
{
	return gw_service_port(fuzz_service(ctx, ns, name), port);
}

/* One in two can be shown, so that listeners serve. */
static const char *fuzz_certificate(_unused_ void *ctx, _unused_ struct sv ns, struct sv name)
{
	return name.n % 2 ? NULL : "is not there";
}

static struct obj *fuzz_parse(struct fuzz *f, const char *text)
{
	return obj_link(&f->a, obj_new(json_decode(&f->a, sv_from(text), NULL, NULL), 1));
}

static void fuzz_take(struct fuzz *f, const struct val *list)
{
	VAL_EACH(list, v)
		for (int k = 0; k < _GW_KIND_MAX; k++)
			if (val_is(val_get(v, F_kind), gw_kind_names[k]) && f->objects[k].n < 64)
				vec_push(&f->objects[k], obj_link(&f->a, obj_new(v, 1)));
}

static void check_conditions(const struct gw_conditions *c)
{
	BUG_ON(!c->n);
	for (size_t i = 0; i < c->n; i++)
		BUG_ON(!c->p[i].type || !c->p[i].reason[0] || !c->p[i].message[0]);
}

static void check_state(const struct gw_state *st)
{
	for (size_t i = 0; i < st->n_gateways; i++) {
		check_conditions(&st->gateways[i].conditions);
		for (size_t k = 0; k < st->gateways[i].n_listeners; k++)
			check_conditions(&st->gateways[i].listeners[k].conditions);
	}
	for (size_t i = 0; i < st->n_routes; i++)
		for (size_t k = 0; k < st->routes[i].n_parents; k++)
			check_conditions(&st->routes[i].parents[k].conditions);
}

static void fuzz_render(struct fuzz *f)
{
	struct ing_source s = { .service = fuzz_service,
				.secret = fuzz_secret,
				.slices = fuzz_slices,
				.say = fuzz_say,
				.uses = fuzz_uses,
				.ctx = f };
	struct gw_source gs = {
		.namespace_labels = fuzz_labels, .service = fuzz_port, .certificate = fuzz_certificate, .ctx = f
	};
	struct ing_listen l = { .http_port = 80, .https_port = 443, .v6 = true, .threads = 1, .max_connections = 100 };
	struct ing_names names = { .next = 0 };
	struct ing_model m = { .n_routes = 0 };
	struct gw_ingresses ingresses = { .ports = { 80, 443 } };
	struct gw_state st;
	struct ing_conf c;

	for (int k = 0; k < _GW_KIND_MAX; k++) {
		gs.objects[k] = f->objects[k].p;
		gs.n[k] = f->objects[k].n;
	}
	gs.ingresses = &ingresses;
	gw_state_make(&f->a, &gs, &st);
	check_state(&st);
	ing_from_gateways(&f->a, &s, &gs, &st, &m);
	l.gates = m.ports;
	l.n_gates = m.n_ports;
	ing_render(&f->a, &names, &m, &l, &c);
	BUG_ON(c.refused); /* who judged it before lets through what may be written */
	check_config(c.config);
	for (int i = 0; i < ING_MAPS; i++)
		check_map(c.maps[i]);
	ing_names_release(&names);
	gw_state_release(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .service = NULL };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = size > 65536 ? NULL : json_decode(&f.a, sv_make((const char *)data, size), NULL, &err);

	if (v) {
		f.service = fuzz_parse(&f, "{\"metadata\":{\"namespace\":\"d\",\"name\":\"a\"},"
					   "\"spec\":{\"ports\":[{\"port\":80}]}}");
		f.class = fuzz_parse(&f, "{\"metadata\":{\"name\":\"caravel\"},"
					 "\"spec\":{\"controllerName\":\"" GW_CONTROLLER "\"}}");
		vec_push(&f.objects[GW_CLASSES], f.class);
		fuzz_take(&f, v);
		fuzz_render(&f);
	}
	for (int k = 0; k < _GW_KIND_MAX; k++)
		vec_release(&f.objects[k]);
	arena_release(&f.a);
	return 0;
}
