/* One update runs in three steps over all its Services: release the frontends no longer wanted, claim the new
 * ones (ClusterIPs first, from whoever has them), then turn each Service's frontends into elements and compare with
 * what it had. Deletions come before additions in the transaction, so a key may move from one Service to another within
 * it. */
#include "proxy/change.h"

#include "proxy/elem_pack.h"
#include "proxy/elem_use.h"

#include <netinet/in.h>
#include <stdlib.h>

struct service {
	struct elem_pack elems; /* as in the kernel */
	struct frontend_key *owned;
	size_t n_owned;
	VEC(struct affinity) affinity;
	bool lost;	  /* some frontend is another's */
	uint64_t lasting; /* hash of the endpoints whose UDP flows go on */
};

struct change_tracker {
	const struct render_cfg *cfg;
	struct strmap services; /* key -> struct service */
	struct strmap owners;	/* frontend_key bytes -> struct service */
	struct elem_uses uses;
	struct service node; /* the node's ranges, as if a Service had them */
	bool fresh;	     /* nothing of ours is in the kernel */
	bool idle;	     /* what is there serves nobody yet */
	bool freed;	     /* some frontend is nobody's since it was asked */
};

/* What one update gathers before it is text. */
struct work {
	struct change_tracker *t;
	struct elem_changes elems;
	struct buf affinity;
};

static void affinity_release(struct affinity *a)
{
	free(a->outer.p);
	free(a->inside.p);
}

static void service_release(struct service *s)
{
	elem_pack_release(&s->elems);
	free(s->owned);
	for (size_t i = 0; i < s->affinity.n; i++)
		affinity_release(&s->affinity.p[i]);
	vec_release(&s->affinity);
}

static void service_free(void *p)
{
	service_release(p);
	free(p);
}

void changes_release(struct changes *c)
{
	buf_release(&c->commands);
	vec_release(&c->flows);
	vec_release(&c->remembering);
	arena_release(&c->arena);
}

struct change_tracker *change_tracker_new(const struct render_cfg *cfg)
{
	struct change_tracker *t = xcalloc(1, sizeof(*t));

	t->cfg = cfg;
	t->fresh = true;
	return t;
}

void change_reset(struct change_tracker *t, bool parts)
{
	strmap_release_with(&t->services, service_free);
	strmap_release(&t->owners);
	elem_uses_release(&t->uses);
	service_release(&t->node);
	t->node = (struct service){ 0 };
	t->fresh = true;
	t->idle = parts;
	t->freed = false;
}

void change_serve(struct change_tracker *t, struct changes *ret)
{
	*ret = (struct changes){ 0 };
	render_hooks(&ret->commands, t->cfg);
	t->idle = false;
}

struct change_tracker *change_tracker_free(struct change_tracker *t)
{
	if (!t)
		return NULL;
	change_reset(t, false);
	free(t);
	return NULL;
}

size_t change_count(const struct change_tracker *t)
{
	return t->services.n;
}

bool change_freed(struct change_tracker *t)
{
	bool freed = t->freed;

	t->freed = false;
	return freed;
}

void change_each_loser(struct change_tracker *t, void (*fn)(struct sv key, void *ctx), void *ctx)
{
	STRMAP_EACH(&t->services, e) {
		if (((struct service *)e->value)->lost)
			fn(sv_make(e->key, e->key_n), ctx);
	}
}

/* --- who has which frontend --- */

static struct sv change_key_bytes(const struct frontend_key *k)
{
	return sv_make((const char *)k, sizeof(*k));
}

/* The frontends of an update by their keys: a Service may have as many as its author likes. */
static void wanted_fill(struct strmap *wanted, const struct service_update *u)
{
	for (size_t i = 0; i < u->n; i++) {
		void **slot = strmap_slot(wanted, change_key_bytes(&u->frontends[i].key));

		if (!*slot || u->frontends[i].affinity_s)
			*slot = (void *)(uintptr_t)&u->frontends[i];
	}
}

static void release_unwanted(struct change_tracker *t, struct service *s, const struct strmap *wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_owned; i++) {
		if (strmap_has(wanted, change_key_bytes(&s->owned[i])))
			s->owned[n++] = s->owned[i];
		else
			strmap_del(&t->owners, change_key_bytes(&s->owned[i]));
	}
	t->freed = t->freed || n < s->n_owned;
	s->n_owned = n;
}

/* An owner is marked when the key is his by a ClusterIP, which the API has given to him alone: whoever wrote that
 * address into his externalIPs must wait, also when he came first. */
#define OWNED_BY_IP ((uintptr_t)1)

static struct service *owner_of(const struct change_tracker *t, const struct frontend_key *k, bool *ret_by_ip)
{
	uintptr_t v = (uintptr_t)strmap_get(&t->owners, change_key_bytes(k));

	if (ret_by_ip)
		*ret_by_ip = v & OWNED_BY_IP;
	return (struct service *)(v & ~OWNED_BY_IP); /* NOLINT(performance-no-int-to-ptr) */
}

/* s->owned has room for it. */
static bool change_claim(struct change_tracker *t, struct service *s, const struct frontend *f)
{
	struct service *owner = owner_of(t, &f->key, NULL);

	if (owner && owner != s)
		return false;
	if (!owner)
		s->owned[s->n_owned++] = f->key;
	strmap_set(&t->owners, change_key_bytes(&f->key), (void *)((uintptr_t)s | (f->cluster_ip ? OWNED_BY_IP : 0)));
	return true;
}

/* Kept for the Service's life: no more than it needs. */
static void change_owned_room(struct service *s, size_t n)
{
	if (n || s->owned)
		s->owned = xrealloc(s->owned, MAX(n, (size_t)1) * sizeof(*s->owned));
}

/* --- affinity --- */

static struct endpoints endpoints_copy(const struct endpoints *e)
{
	return (struct endpoints){ .p = e->n ? xmemdup(e->p, e->n * sizeof(*e->p)) : NULL, .n = e->n };
}

static bool endpoints_equal(const struct endpoints *a, const struct endpoints *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (endpoint_cmp(&a->p[i], &b->p[i]) != 0)
			return false;
	}
	return true;
}

static bool affinity_equal(const struct affinity *a, const struct affinity *b)
{
	return a->timeout_s == b->timeout_s && a->masq == b->masq && endpoints_equal(&a->outer, &b->outer) &&
	       endpoints_equal(&a->inside, &b->inside);
}

/* Replaces s's affinity by that of the owned frontends of u. Chains of gone ones are left for
 * drop_affinity(), as they may have a new owner in the same update. */
static void update_affinity(struct work *w, struct service *s, const struct service_update *u)
{
	VEC(struct affinity) neu = VEC_INIT;
	_cleanup_(strmap_release) struct strmap was = STRMAP_INIT;

	for (size_t i = s->affinity.n; i-- > 0;)
		strmap_set(&was, change_key_bytes(&s->affinity.p[i].key), &s->affinity.p[i]);
	for (size_t i = 0; i < u->n; i++) {
		const struct frontend *f = &u->frontends[i];
		struct affinity a = { .key = f->key, .timeout_s = f->affinity_s, .masq = f->masq }, *old;

		if (!f->affinity_s || f->outer.n + f->inside.n == 0 || owner_of(w->t, &f->key, NULL) != s)
			continue;
		a.outer = endpoints_copy(&f->outer);
		a.inside = endpoints_copy(&f->inside);
		old = strmap_get(&was, change_key_bytes(&f->key));
		if (!old || !affinity_equal(old, &a))
			render_affinity(&w->affinity, w->t->cfg, old, &a);
		vec_push(&neu, a);
	}
	for (size_t i = 0; i < s->affinity.n; i++)
		affinity_release(&s->affinity.p[i]);
	vec_release(&s->affinity);
	s->affinity.p = neu.p;
	s->affinity.n = neu.n;
	s->affinity.cap = neu.cap;
}

/* Chains of frontends that have no affinity any more: before anybody's new chains of the same name. */
static void drop_affinity(struct work *w, struct service *s, const struct strmap *wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < s->affinity.n; i++) {
		struct affinity *a = &s->affinity.p[i];
		const struct frontend *f = strmap_get(wanted, change_key_bytes(&a->key));

		if (f && f->affinity_s && f->outer.n + f->inside.n > 0) {
			s->affinity.p[n++] = *a;
			continue;
		}
		render_affinity(&w->affinity, w->t->cfg, a, NULL);
		affinity_release(a);
	}
	s->affinity.n = n;
}

/* --- flows --- */

static void flows_add(struct flow_frontend *u, const struct endpoints *e)
{
	for (size_t i = 0; i < e->n; i++)
		u->now.p[u->now.n++] = e->p[i];
}

/* was: it had elements before, so there may be flows. One of UDP may have some that were not translated. */
static void note_flows(struct changes *c, const struct frontend_key *k, const struct frontend *f, bool was)
{
	struct flow_frontend u = { .key = *k };

	if (k->proto == IPPROTO_TCP && !was)
		return;
	if (f) {
		u.now.p = ARENA_ARRAY(&c->arena, struct endpoint, f->outer.n + f->inside.n + f->lasting.n + 1);
		flows_add(&u, &f->outer);
		flows_add(&u, &f->inside);
		flows_add(&u, &f->lasting);
	}
	vec_push(&c->flows, u);
}

/* --- the update --- */

struct plan {
	const struct service_update *u;
	struct service *s;
	struct elems old, neu;
};

static void make_elems(struct work *w, struct plan *p)
{
	p->s->lost = false;
	elem_unpack(&p->old, &p->s->elems);
	change_owned_room(p->s, p->s->n_owned + p->u->n);
	for (size_t i = 0; i < p->u->n; i++) {
		const struct frontend *f = &p->u->frontends[i];

		if (change_claim(w->t, p->s, f))
			elems_add_frontend(&p->neu, f, &p->old);
		else
			p->s->lost = true;
	}
	change_owned_room(p->s, p->s->n_owned);
	elems_sort(&p->neu);
}

/* What s has stays in the kernel but for what leads from these keys. One pass, however many they are: s may be as large
 * as PROXY_ELEMENTS_MAX allows, and have what all others want. */
static void change_evict(struct work *w, struct service *s, const struct strmap *keys)
{
	struct elems was = { VEC_INIT };
	size_t n = 0;

	elem_unpack(&was, &s->elems);
	for (size_t i = 0; i < was.v.n; i++) {
		const struct elem *e = &was.v.p[i];
		const struct frontend_key k = { .addr = e->addr, .port = e->port, .proto = e->proto };

		if (strmap_has(keys, change_key_bytes(&k)))
			elem_changes_del(&w->elems, e);
		else
			was.v.p[n++] = *e;
	}
	was.v.n = n;
	elem_pack_release(&s->elems);
	elem_pack(&s->elems, &was);
	vec_release(&was.v);
	n = 0;
	for (size_t i = 0; i < s->affinity.n; i++) {
		if (!strmap_has(keys, change_key_bytes(&s->affinity.p[i].key))) {
			s->affinity.p[n++] = s->affinity.p[i];
			continue;
		}
		render_affinity(&w->affinity, w->t->cfg, &s->affinity.p[i], NULL);
		affinity_release(&s->affinity.p[i]);
	}
	s->affinity.n = n;
	n = 0;
	for (size_t i = 0; i < s->n_owned; i++) {
		if (strmap_has(keys, change_key_bytes(&s->owned[i])))
			strmap_del(&w->t->owners, change_key_bytes(&s->owned[i]));
		else
			s->owned[n++] = s->owned[i];
	}
	s->n_owned = n;
	s->lost = true;
}

/* Of whoever has a ClusterIP of these plans by another right. */
static void evict_from_cluster_ips(struct work *w, const struct plan *plans, size_t n)
{
	_cleanup_(strmap_release) struct strmap keys = STRMAP_INIT, from = STRMAP_INIT;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < plans[i].u->n; k++) {
			const struct frontend *f = &plans[i].u->frontends[k];
			bool by_ip;
			struct service *owner = f->cluster_ip ? owner_of(w->t, &f->key, &by_ip) : NULL;

			if (!owner || owner == plans[i].s || by_ip)
				continue;
			strmap_set(&keys, change_key_bytes(&f->key), owner);
			strmap_set(&from, sv_make((const char *)&owner, sizeof(owner)), owner);
		}
	STRMAP_EACH(&from, e)
		change_evict(w, e->value, &keys);
}

/* ClusterIPs first, whatever the order of the update. */
static void claim_cluster_ips(struct work *w, const struct plan *plans, size_t n)
{
	evict_from_cluster_ips(w, plans, n);
	for (size_t i = 0; i < n; i++) {
		const struct plan *p = &plans[i];

		change_owned_room(p->s, p->s->n_owned + p->u->n);
		for (size_t k = 0; k < p->u->n; k++)
			if (p->u->frontends[k].cluster_ip)
				(void)change_claim(w->t, p->s, &p->u->frontends[k]);
	}
}

/* An endpoint may stop serving that no new flow went to any more: no element changes with it. */
static uint64_t lasting_hash(const struct service_update *u)
{
	uint64_t h = 0;

	for (size_t i = 0; i < u->n; i++)
		for (size_t k = 0; k < u->frontends[i].lasting.n; k++) {
			const struct endpoint *e = &u->frontends[i].lasting.p[k];
			uint64_t one[] = { h, e->port, 0, 0 };

			memcpy(&one[2], e->addr.b, sizeof(e->addr.b));
			h = sv_hash(sv_make((const char *)one, sizeof(one)));
		}
	return h;
}

static void note_flow_changes(struct change_tracker *t, const struct plan *p, struct changes *ret)
{
	uint64_t before = p->s->lasting;

	p->s->lasting = lasting_hash(p->u);
	if (before == p->s->lasting && elems_equal(&p->old, &p->neu))
		return;
	for (size_t i = 0; i < p->u->n; i++) {
		if (owner_of(t, &p->u->frontends[i].key, NULL) == p->s)
			note_flows(ret, &p->u->frontends[i].key, &p->u->frontends[i], p->old.v.n > 0);
	}
}

static void replace_elems(struct service *s, struct elems *old, struct elems *neu)
{
	elem_pack_release(&s->elems);
	elem_pack(&s->elems, neu);
	vec_release(&old->v);
	vec_release(&neu->v);
}

static struct service *service_get(struct change_tracker *t, struct sv key)
{
	void **slot = strmap_slot(&t->services, key);

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct service));
	return *slot;
}

static void write_commands(struct work *w, struct buf *out)
{
	if (w->t->fresh)
		render_base(out, w->t->cfg);
	elem_changes_write_dels(&w->elems, out);
	buf_addsv(out, buf_sv(&w->affinity));
	elem_changes_write_adds(&w->elems, out);
	if (w->t->fresh && !w->t->idle)
		render_hooks(out, w->t->cfg);
	w->t->fresh = false;
}

static void note_client_sets(const struct service *s, struct changes *c)
{
	for (size_t i = 0; i < s->affinity.n; i++) {
		const struct affinity *a = &s->affinity.p[i];
		const struct endpoints *lists[] = { &a->outer, &a->inside };

		/* One in both is asked for twice, which does no harm. */
		for (size_t l = 0; l < ARRAY_LEN(lists); l++)
			for (size_t k = 0; k < lists[l]->n; k++) {
				_cleanup_(buf_release) struct buf name = BUF_INIT;
				struct client_set set = { .timeout_s = a->timeout_s };

				render_client_set(&name, a->key, lists[l]->p[k]);
				set.name = arena_cstr(&c->arena, buf_sv(&name));
				vec_push(&c->remembering, set);
			}
	}
}

void change_update(struct change_tracker *t, const struct service_update *u, size_t n, const struct node_ranges *ranges,
		   struct changes *ret)
{
	struct work w = { .t = t, .elems = { .cfg = t->cfg, .uses = &t->uses } };
	struct plan *plans = xcalloc(n + 1, sizeof(*plans));
	struct elems node_was = { VEC_INIT }, node = { VEC_INIT };

	*ret = (struct changes){ 0 };
	for (size_t i = 0; i < n; i++) {
		struct service *s = service_get(t, u[i].key);

		_cleanup_(strmap_release) struct strmap wanted = STRMAP_INIT;

		plans[i] = (struct plan){ .u = &u[i], .s = s };
		if (s->n_owned || s->affinity.n)
			wanted_fill(&wanted, &u[i]);
		for (size_t k = 0; k < s->n_owned; k++) {
			if (!strmap_has(&wanted, change_key_bytes(&s->owned[k])))
				note_flows(ret, &s->owned[k], NULL, true);
		}
		release_unwanted(t, s, &wanted);
		drop_affinity(&w, s, &wanted);
	}
	claim_cluster_ips(&w, plans, n);
	for (size_t i = 0; i < n; i++) {
		make_elems(&w, &plans[i]);
		elem_changes_diff(&w.elems, &plans[i].old, &plans[i].neu, true);
	}
	if (ranges) {
		elems_add_ranges(&node, ELEM_POD_RANGES, ranges->pods, ranges->n_pods);
		elems_add_ranges(&node, ELEM_NODEPORT_IPS, ranges->nodeports, ranges->n_nodeports);
		elems_sort(&node);
	}
	elem_unpack(&node_was, &t->node.elems);
	elem_changes_diff(&w.elems, &node_was, &node, true);
	for (size_t i = 0; i < n; i++) {
		elem_changes_diff(&w.elems, &plans[i].old, &plans[i].neu, false);
		update_affinity(&w, plans[i].s, &u[i]);
		note_flow_changes(t, &plans[i], ret);
		if (t->fresh || t->idle)
			note_client_sets(plans[i].s, ret);
		replace_elems(plans[i].s, &plans[i].old, &plans[i].neu);
		if (u[i].n == 0)
			service_free(strmap_del(&t->services, u[i].key));
	}
	elem_changes_diff(&w.elems, &node_was, &node, false);
	replace_elems(&t->node, &node_was, &node);
	write_commands(&w, &ret->commands);
	ret->adds = w.elems.adds.v.n;
	ret->dels = w.elems.dels.v.n;
	elem_changes_release(&w.elems);
	buf_release(&w.affinity);
	free(plans);
}
