/* Sections: a backend with its filters, and its servers, which keep their slots. A section is rendered twice: once with
 * "?" for its name, as what it means, by which it finds its name. */
#include "ingress/render-internal.h"

#include "ingress/filters.h"
#include "object/obj.h"

#include <stdlib.h>

#define SLOTS_MIN 4

static const struct ing_backend nobody = { .key = { "", 0 } };

void ing_names_release(struct ing_names *n)
{
	STRMAP_EACH(&n->sections, e) {
		struct known *k = e->value;

		free(k->slots);
		free(k);
	}
	strmap_release(&n->sections);
	strmap_release(&n->numbers);
}

bool render_may(struct render *r, enum ing_place place, struct sv s)
{
	bool may = ing_may_write(place, s);

	r->refused += !may;
	return may;
}

void render_line(struct render *r, int map, struct sv key, struct sv value)
{
	if (render_may(r, ING_PLACE_KEY, key) && render_may(r, ING_PLACE_VALUE, value))
		vec_push(&r->maps[map], ((struct line){ key, value }));
}

/* --- servers --- */

static int slot_order(const void *x, const void *y)
{
	const struct ing_endpoint *const *a = x, *const *b = y;

	return ing_endpoint_cmp(*a, *b);
}

/* Endpoints keep their slots; the slots of those that went are given to new ones. Both are walked in order. */
static void render_slots(struct render *r, struct known *k)
{
	const struct ing_endpoint *e = k->backend->endpoints;
	size_t n = k->backend->n, want = SLOTS_MIN, at = 0, free_at = 0;
	struct ing_endpoint **by = ARENA_ARRAY(r->a, struct ing_endpoint *, k->n_slots);
	bool *placed = ARENA_ARRAY(r->a, bool, n);

	for (size_t i = 0; i < k->n_slots; i++)
		by[i] = &k->slots[i];
	if (k->n_slots > 1)
		qsort(by, k->n_slots, sizeof(struct ing_endpoint *), slot_order);
	for (size_t i = 0; i < k->n_slots; i++) {
		struct ing_endpoint *s = by[i];

		while (at < n && ing_endpoint_cmp(&e[at], s) < 0)
			at++;
		if (at < n && ing_endpoint_cmp(&e[at], s) == 0) {
			placed[at] = true;
			s->draining = e[at].draining;
		} else {
			*s = (struct ing_endpoint){ .port = 0 };
		}
	}
	while (want < n)
		want *= 2;
	if (k->backend->external.n)
		want = 0;
	if (want > k->n_slots) {
		k->slots = xrealloc(k->slots, want * sizeof(*k->slots));
		memset(k->slots + k->n_slots, 0, (want - k->n_slots) * sizeof(*k->slots));
		k->n_slots = want;
	}
	for (size_t i = 0; i < n; i++) {
		if (placed[i])
			continue;
		while (k->slots[free_at].port)
			free_at++;
		k->slots[free_at] = e[i];
	}
}

static const char *server_words(const struct ing_filters *t)
{
	switch (t->protocol) {
	case ING_HTTP:
		return "";
	case ING_HTTPS:
		return " ssl verify none";
	case ING_H2C:
		return " proto h2";
	case ING_GRPCS:
		return " ssl verify none alpn h2";
	}
	return "";
}

/* shape has as many servers, without addresses. */
void render_servers(struct render *r, struct buf *config, struct buf *shape, const struct known *k)
{
	const struct ing_backend *b = k->backend;
	const char *words = server_words(k->filters);

	if (b->external.n) {
		_cleanup_(buf_release) struct buf line = BUF_INIT;

		if (!render_may(r, ING_PLACE_SERVER, b->external)) {
			buf_adds(config, "  http-request return status 503\n");
			buf_adds(shape, "  http-request return status 503\n");
			return;
		}
		/* Whatever name it is, and whoever answers for it: not what this machine keeps for itself. */
		buf_printf(
		    &line,
		    "  http-request do-resolve(txn.to,host) str(%.*s)\n"
		    "  http-request return status 503 unless { var(txn.to) -m found }\n"
		    "  http-request return status 503 if { var(txn.to) -m ip 0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 "
		    "224.0.0.0/4 255.255.255.255/32 ::/127 64:ff9b::/96 fe80::/10 ff00::/8 }\n"
		    "  http-request set-dst var(txn.to)\n"
		    "  server e1 0.0.0.0:%d%s\n",
		    SV_ARG(b->external), b->external_port, words);
		buf_addsv(config, buf_sv(&line));
		buf_addsv(shape, buf_sv(&line));
		r->external = true;
		return;
	}
	for (size_t i = 0; i < k->n_slots; i++) {
		const struct ing_endpoint *s = &k->slots[i];
		struct ip_text ip = ip_text(s->ip);

		if (!s->port)
			buf_printf(config, "  server e%zu 0.0.0.0:1 disabled%s\n", i + 1, words);
		else
			buf_printf(config,
				   ip_is_v4(s->ip) ? "  server e%zu %s:%d weight %d%s\n"
						   : "  server e%zu [%s]:%d weight %d%s\n",
				   i + 1, ip.s, s->port, s->draining ? 0 : 1, words);
		buf_printf(shape, "  server e%zu%s\n", i + 1, words);
	}
}

/* --- sections --- */

static void render_value(void *ctx, struct sv name, const char *what, struct sv text)
{
	struct render *r = ctx;

	render_line(r, ING_MAP_VALUES, arena_svf(r->a, "%.*s.%s", SV_ARG(name), what), arena_sv(r->a, text));
}

struct sv render_section(struct render *r, const struct ing_backend *b, const struct ing_filters *filters,
			 const struct obj *from)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, meaning = BUF_INIT;
	struct ing_filters_out what = {
		.text = &meaning, .name = SV("?"), .https_port = r->listen->https_port, .ctx = r
	};
	struct met {
		const struct ing_filters *filters;
		const struct ing_backend *backend;
	} met = { filters, b ? b : &nobody };
	struct sv met_key = sv_make((const char *)&met, sizeof(met)), name;
	struct known *k = strmap_get(&r->met, met_key);

	if (k)
		return k->name;
	b = met.backend;
	ing_filters_render(&what, filters);
	if (what.values && filters->gate) /* they are those of one rule */
		buf_printf(&meaning, "%.*s\n", SV_ARG(filters->gate->id));
	else if (what.values) /* they are those of one Ingress */
		buf_printf(&meaning, "%.*s/%.*s\n", SV_ARG(obj_ns(from)), SV_ARG(obj_name(from)));
	buf_printf(&meaning, "%.*s %.*s:%d", SV_ARG(b->key), SV_ARG(b->external), b->external_port);
	buf_adds(&meaning, server_words(filters));
	k = strmap_get(&r->names->sections, buf_sv(&meaning));
	if (!k) {
		k = xcalloc(1, sizeof(*k));
		k->number = ++r->names->next;
		strmap_set(&r->names->sections, buf_sv(&meaning), k);
	}
	strmap_set(&r->met, met_key, k);
	if (k->meant)
		return k->name;
	k->meant = true;
	k->name = name = arena_svf(r->a, "b%" PRIu64, k->number);
	k->backend = b;
	k->filters = filters;
	what.text = &text;
	what.name = name;
	what.value = render_value;
	ing_filters_render(&what, filters);
	r->apr1 |= what.apr1;
	r->refused += what.refused;
	k->text = arena_sv(r->a, buf_sv(&text));
	vec_push(&r->sections, k);
	render_slots(r, k);
	return name;
}

uint64_t render_number(struct render *r, struct sv meaning)
{
	void **slot = strmap_slot(&r->names->numbers, meaning);
	uintptr_t n = *slot ? (uintptr_t)*slot / 2 : (uintptr_t)++r->names->next;

	*slot = (void *)(n * 2 + 1);
	return n;
}

/* What was not meant this time loses its name. */
void render_names_sweep(struct ing_names *n)
{
	struct strmap left = STRMAP_INIT;

	STRMAP_EACH(&n->sections, e) {
		struct known *k = e->value;

		if (k->meant) {
			k->meant = false;
			strmap_set(&left, sv_make(e->key, e->key_n), k);
		} else {
			free(k->slots);
			free(k);
		}
	}
	strmap_release(&n->sections);
	n->sections = left;
	left = STRMAP_INIT;
	STRMAP_EACH(&n->numbers, e)
		if ((uintptr_t)e->value % 2)
			strmap_set(&left, sv_make(e->key, e->key_n), (void *)((uintptr_t)e->value - 1));
	strmap_release(&n->numbers);
	n->numbers = left;
}
