/* Lifetimes of policies' versions, of the sets they need, and of the combos that need them.
 *
 *	address ─counts─▶ combo ─counts, activates─▶ version ─counts while active─▶ set ─counts─▶ its donor's memory
 *
 * So what no pod of this node is selected by is not in the kernel. What goes from there is remembered until the next
 * transaction says so. */
#include "base/log.h"
#include "netd/policy/track-internal.h"

#include <stdlib.h>

/* --- sets --- */

static struct np_set *set_need(struct netpol_track *t, struct sv key)
{
	void **slot = strmap_slot(&t->by_key, key);
	struct np_set *s = *slot;

	if (!s) {
		*slot = s = xcalloc(1, sizeof(*s));
		s->id = ++t->last_id;
		s->key = xstrndup(key.p, key.n);
		s->key_n = key.n;
		s->at = t->sets.n;
		vec_push(&t->sets, s);
	}
	s->users++;
	return s;
}

static struct np_set *set_of_selection(struct netpol_track *t, struct np_version *v, const struct netpol_rule *r)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_set *s;

	buf_adds(&key, "pods:");
	buf_addsv(&key, r->selection);
	s = set_need(t, buf_sv(&key));
	if (!s->donor) {
		s->donor = v;
		s->rule = r;
		v->refs++;
	}
	return s;
}

static struct np_set *set_of_name(struct netpol_track *t, unsigned proto, struct sv name)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_set *s;

	buf_printf(&key, "%s:", netpol_proto_names[proto]);
	buf_addsv(&key, name);
	s = set_need(t, buf_sv(&key));
	s->proto = proto;
	s->name = sv_make(s->key + s->key_n - name.n, name.n);
	return s;
}

static void set_free(struct np_set *s)
{
	if (s->donor)
		np_version_unref(s->donor);
	free(s->key);
	free(s);
}

static void set_put(struct netpol_track *t, struct np_set *s)
{
	if (!s || --s->users > 0)
		return;
	strmap_del(&t->by_key, sv_make(s->key, s->key_n));
	vec_remove_swap(&t->sets, s->at);
	if (s->at < t->sets.n)
		t->sets.p[s->at]->at = s->at;
	if (s->in_kernel)
		vec_push(&t->dead.sets, s);
	else
		set_free(s);
}

size_t np_set_values(const struct np_set *s, const struct np_pod *p, uint32_t *ret, size_t max)
{
	const struct val *labels = obj_labels(p->o);
	uint16_t ports[64];
	size_t n;

	if (s->donor) {
		for (size_t i = 0; i < s->rule->n_peers; i++)
			if (netpol_peer_matches(&s->rule->peers[i], s->donor->p.ns, sv_from(p->ns->name), labels,
						p->ns->o ? obj_labels(p->ns->o) : NULL)) {
				ret[0] = 0;
				return 1;
			}
		return 0;
	}
	n = netpol_named_ports(p->o, s->proto, s->name, ports, MIN(max, ARRAY_LEN(ports)));
	for (size_t i = 0; i < n; i++)
		ret[i] = (uint32_t)netpol_proto_numbers[s->proto] << 16 | ports[i];
	return n;
}

/* --- versions --- */

struct np_version *np_version_new(struct netpol_track *t, const struct np_ns *ns, struct obj *o)
{
	struct np_version *v = xcalloc(1, sizeof(*v));

	v->id = ++t->last_id;
	v->refs = 1;
	v->o = obj_ref(o);
	netpol_policy_read(&v->a, o, NETPOL_NAMESPACE_SETS_MAX - MIN(ns->n_sets, (size_t)NETPOL_NAMESPACE_SETS_MAX),
			   &v->p);
	if (v->p.cut)
		log_warn("netpol", "a policy selects by more labels and names of ports than it may", "policy",
			 "%.*s/%.*s: beyond %d, and %d of its namespace, it allows nothing", SV_ARG(v->p.ns),
			 SV_ARG(v->p.name), NETPOL_POLICY_SETS_MAX, NETPOL_NAMESPACE_SETS_MAX);
	for (int d = 0; d < NETPOL_DIRS; d++) {
		v->first[d] = ARENA_ARRAY(&v->a, size_t, v->p.n_rules[d] + 1);
		v->has_ports_chain[d] = ARENA_ARRAY(&v->a, bool, v->p.n_rules[d] + 1);
	}
	return v;
}

void np_version_unref(struct np_version *v)
{
	if (--v->refs > 0)
		return;
	vec_release(&v->sets);
	arena_release(&v->a);
	obj_unref(v->o);
	free(v);
}

static void version_need_sets(struct netpol_track *t, struct np_version *v)
{
	for (int d = 0; d < NETPOL_DIRS; d++)
		for (size_t i = 0; i < v->p.n_rules[d]; i++) {
			const struct netpol_rule *r = &v->p.rules[d][i];

			v->first[d][i] = v->sets.n;
			vec_push(&v->sets, r->n_peers ? set_of_selection(t, v, r) : NULL);
			for (unsigned k = 0; k < NETPOL_PROTOS; k++)
				for (size_t j = 0; j < r->ports[k].n_names; j++)
					vec_push(&v->sets, set_of_name(t, k, r->ports[k].names[j]));
		}
}

static void version_activate(struct netpol_track *t, struct np_version *v)
{
	v->refs++;
	if (v->active++ == 0)
		version_need_sets(t, v);
}

static void version_deactivate(struct netpol_track *t, struct np_version *v)
{
	if (--v->active == 0) {
		for (size_t i = 0; i < v->sets.n; i++)
			set_put(t, v->sets.p[i]);
		vec_release(&v->sets);
		if (v->in_kernel) {
			v->refs++;
			vec_push(&t->dead.versions, v);
		}
	}
	np_version_unref(v);
}

/* --- combos --- */

static bool version_isolates(const struct np_version *v, const struct np_pod *p, enum netpol_dir d)
{
	return v->p.isolates[d] && selector_matches(v->p.pods, obj_labels(p->o));
}

struct np_combo *np_combo_get(struct netpol_track *t, const struct np_pod *p, enum netpol_dir d)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_combo *c;
	void **slot;

	buf_addc(&key, d == NETPOL_INGRESS ? 'i' : 'e');
	for (size_t i = 0; i < p->ns->versions.n; i++) {
		const struct np_version *v = p->ns->versions.p[i];

		if (version_isolates(v, p, d))
			buf_add(&key, &v->id, sizeof(v->id));
	}
	if (key.n == 1 && !p->deny[d])
		return NULL;
	slot = strmap_slot(&t->combos, buf_sv(&key));
	c = *slot;
	if (!c) {
		*slot = c = xcalloc(1, sizeof(*c));
		c->id = ++t->last_id;
		c->dir = d;
		c->key = xmemdup(key.p, key.n);
		c->key_n = key.n;
		for (size_t i = 0; i < p->ns->versions.n; i++) {
			struct np_version *v = p->ns->versions.p[i];

			if (version_isolates(v, p, d)) {
				version_activate(t, v);
				vec_push(&c->versions, v);
			}
		}
	}
	c->refs++;
	return c;
}

void np_combo_put(struct netpol_track *t, struct np_combo *c)
{
	if (--c->refs > 0)
		return;
	strmap_del(&t->combos, sv_make(c->key, c->key_n));
	if (c->in_kernel) {
		struct np_chain gone = { c->id, c->dir };

		vec_push(&t->dead.combos, gone);
	}
	for (size_t i = 0; i < c->versions.n; i++)
		version_deactivate(t, c->versions.p[i]);
	vec_release(&c->versions);
	free(c->key);
	free(c);
}

void np_dead_clear(struct netpol_track *t)
{
	struct np_dead d = t->dead;

	t->dead = (struct np_dead){ 0 };
	for (size_t i = 0; i < d.versions.n; i++) {
		d.versions.p[i]->in_kernel = false;
		np_version_unref(d.versions.p[i]);
	}
	for (size_t i = 0; i < d.sets.n; i++)
		set_free(d.sets.p[i]);
	vec_release(&d.combos);
	vec_release(&d.versions);
	vec_release(&d.sets);
}
