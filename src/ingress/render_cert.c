/* Certificates, and for each port that ends TLS the list of those that are shown there, so that nobody who listens
 * elsewhere has a say in it.
 *
 * The first of a list is for names that have none. Only a HAProxy that reads anew learns of another, so it stands in
 * the configuration, too. */
#include "ingress/render-internal.h"

#include "object/age.h"

#include <stdlib.h>

#define NO_NAME " nobody.invalid" /* nobody asks for it: without any, one is shown for the names it has itself */

struct cert_now {
	bool fine; /* it may be written */
	struct sv file;
	VEC(struct ing_listed) listed;
	struct buf hosts; /* of the list at hand */
	bool first;
};

static struct sv cert_file(struct render *r, const struct ing_certificate *c, struct cert_now *now)
{
	if (!now->file.n)
		now->file = arena_svf(r->a, "c%" PRIu64 ".pem",
				      render_number(r, arena_svf(r->a, "certificate %.*s", SV_ARG(c->key))));
	return now->file;
}

static bool cert_is_shown(const struct render *r, const struct ing_shown *s, int port)
{
	return s->port ? s->port == port : r->listen->https_port == port;
}

/* Of those that are shown at the port each name once, to hosts. */
static void cert_hosts(struct render *r, const struct ing_model *m, int port, struct cert_now *now)
{
	_cleanup_(strmap_release) struct strmap by_host = STRMAP_INIT;

	for (size_t i = 0; i < m->n_shown; i++) {
		const struct ing_shown *s = &m->shown[i], *had;
		void **slot;

		if (!cert_is_shown(r, s, port) || !now[s->certificate].fine ||
		    (s->host.n && !render_may(r, ING_PLACE_HOST, s->host)))
			continue;
		slot = strmap_slot(&by_host, s->host);
		had = *slot;
		if (!had || (had->port != s->port && obj_age_cmp(s->from, had->from) < 0))
			*slot = (void *)(uintptr_t)s;
	}
	for (size_t i = 0; i < m->n_shown; i++) {
		const struct ing_shown *s = &m->shown[i];

		if (strmap_get(&by_host, s->host) != s)
			continue;
		if (s->host.n)
			buf_printf(&now[s->certificate].hosts, " %.*s", SV_ARG(s->host));
		else
			now[s->certificate].first = true;
	}
}

static void cert_list(struct render *r, const struct ing_model *m, int port, struct cert_now *now, struct ing_conf *ret)
{
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	struct sv first = SV("");

	cert_hosts(r, m, port, now);
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < m->n_certificates; i++) {
			struct cert_now *c = &now[i];
			struct ing_listed l = { .list = ret->n_lists, .first = c->first };

			if (turn ? !c->hosts.n || c->first : !c->first)
				continue;
			l.hosts = c->hosts.n ? arena_sv(r->a, buf_sv(&c->hosts)) : SV(NO_NAME);
			buf_printf(&list, "%.*s%.*s\n", SV_ARG(cert_file(r, &m->certificates[i], c)), SV_ARG(l.hosts));
			if (c->first)
				first = c->file;
			vec_push(&c->listed, l);
		}
		if (!turn)
			buf_adds(&list, ING_DEFAULT_PEM "\n");
	}
	for (size_t i = 0; i < m->n_certificates; i++) {
		buf_clear(&now[i].hosts);
		now[i].first = false;
	}
	ret->lists[ret->n_lists++] =
	    (struct ing_crt_list){ arena_svf(r->a, ING_CRT_LIST, port), arena_sv(r->a, buf_sv(&list)) };
	if (first.n) {
		ret->config = arena_svf(r->a, "%.*s# default %d %.*s\n", SV_ARG(ret->config), port, SV_ARG(first));
		ret->shape = arena_svf(r->a, "%.*s# default %d %.*s\n", SV_ARG(ret->shape), port, SV_ARG(first));
	}
}

void render_certificates(struct render *r, const struct ing_model *m, struct ing_conf *ret)
{
	const struct ing_listen *l = r->listen;
	struct cert_now *now = ARENA_ARRAY(r->a, struct cert_now, m->n_certificates);

	for (size_t i = 0; i < m->n_certificates; i++)
		now[i].fine = render_may(r, ING_PLACE_PEM, m->certificates[i].pem);
	ret->lists = ARENA_ARRAY(r->a, struct ing_crt_list, l->n_gates + 1);
	if (l->https_port)
		cert_list(r, m, l->https_port, now, ret);
	for (size_t i = 0; i < l->n_gates; i++)
		if (l->gates[i].tls && l->gates[i].ends && l->gates[i].port != l->https_port)
			cert_list(r, m, l->gates[i].port, now, ret);
	ret->pems = ARENA_ARRAY(r->a, struct ing_pem, m->n_certificates);
	for (size_t i = 0; i < m->n_certificates; i++) {
		struct cert_now *c = &now[i];
		struct ing_pem *to = &ret->pems[ret->n_pems];

		if (c->listed.n) {
			*to = (struct ing_pem){ .file = c->file, .pem = arena_sv(r->a, m->certificates[i].pem) };
			to->n_listed = c->listed.n;
			to->listed = ARENA_ARRAY(r->a, struct ing_listed, c->listed.n);
			memcpy(to->listed, c->listed.p, c->listed.n * sizeof(*to->listed));
			ret->n_pems++;
		}
		vec_release(&c->listed);
		buf_release(&c->hosts);
	}
}

const struct ing_pem *ing_conf_pem(const struct ing_conf *c, struct sv file)
{
	for (size_t i = 0; i < c->n_pems; i++)
		if (sv_eq(c->pems[i].file, file))
			return &c->pems[i];
	return NULL;
}
