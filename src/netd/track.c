#include "netd/track.h"

#include "base/strmap.h"

#include <stdlib.h>

/* One key that somebody wants or the kernel has. */
struct slot {
	struct net_key key;
	struct net_value want, have;
	struct wish *owner; /* who wants it; NULL: nobody */
	bool had, dirty;
	size_t at; /* in t->dirty */
};

/* One Node's. */
struct wish {
	struct net_entry e[NETD_PEER_ENTRIES];
	size_t n;
	size_t lost; /* how many are another's */
};

/* A range that somebody has. */
struct held {
	struct ip_net net;
	struct wish *owner;
};

struct tracker {
	struct strmap slots;	 /* key as bytes -> slot */
	VEC(struct held) ranges; /* of the routes with an owner: by address, none in another */
	struct strmap nodes;	 /* name -> wish */
	VEC(struct slot *) dirty;
	size_t wanted;	      /* entries */
	struct strmap losers; /* name -> wish of those that wait for another's */
};

static struct sv track_key(const struct net_key *k)
{
	return sv_make((const char *)k, sizeof(*k));
}

/* The kernel has what is wanted of this key. */
static bool slot_right(const struct slot *s)
{
	return s->owner ? s->had && memcmp(&s->want, &s->have, sizeof(s->want)) == 0 : !s->had;
}

static struct slot *track_slot(struct tracker *t, const struct net_key *k)
{
	void **at = strmap_slot(&t->slots, track_key(k));
	struct slot *s = *at;

	if (!s) {
		s = *at = xcalloc(1, sizeof(*s));
		s->key = *k;
	}
	return s;
}

static void track_mark(struct tracker *t, struct slot *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	s->at = t->dirty.n;
	vec_push(&t->dirty, s);
}

static void track_unmark(struct tracker *t, struct slot *s)
{
	struct slot *last = vec_last(&t->dirty);

	t->dirty.p[s->at] = last;
	last->at = s->at;
	t->dirty.n--;
	s->dirty = false;
}

static void track_drop_unused(struct tracker *t, struct slot *s)
{
	if (s->owner || s->had || s->dirty)
		return;
	strmap_del(&t->slots, track_key(&s->key));
	free(s);
}

struct tracker *tracker_new(void)
{
	return xcalloc(1, sizeof(struct tracker));
}

struct tracker *tracker_free(struct tracker *t)
{
	if (!t)
		return NULL;
	strmap_release_with(&t->slots, free);
	strmap_release_with(&t->nodes, free);
	strmap_release(&t->losers);
	vec_release(&t->ranges);
	vec_release(&t->dirty);
	free(t);
	return NULL;
}

/* --- wanted --- */

static bool wish_names(const struct wish *w, const struct net_key *k)
{
	for (size_t i = 0; i < w->n; i++)
		if (memcmp(&w->e[i].key, k, sizeof(*k)) == 0)
			return true;
	return false;
}

static struct ip_net track_net(const struct net_key *k)
{
	return (struct ip_net){ k->addr, k->bits };
}

/* Where the first range behind that address is. */
static size_t ranges_behind(const struct tracker *t, struct ip_addr a)
{
	size_t from = 0, to = t->ranges.n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (ip_cmp(t->ranges.p[mid].net.addr, a) <= 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* Somebody else has a part of it: a longer prefix would take that from him, a shorter one what he gives back. */
static bool ranges_taken(const struct tracker *t, struct ip_net net, const struct wish *w)
{
	size_t at = ranges_behind(t, net.addr);

	return (at > 0 && t->ranges.p[at - 1].owner != w &&
		(ip_net_covers(t->ranges.p[at - 1].net, net) || ip_net_covers(net, t->ranges.p[at - 1].net))) ||
	       (at < t->ranges.n && t->ranges.p[at].owner != w && ip_net_covers(net, t->ranges.p[at].net));
}

static void ranges_add(struct tracker *t, struct ip_net net, struct wish *w)
{
	size_t at = ranges_behind(t, net.addr);

	vec_push(&t->ranges, ((struct held){ net, w }));
	memmove(&t->ranges.p[at + 1], &t->ranges.p[at], (t->ranges.n - 1 - at) * sizeof(struct held));
	t->ranges.p[at] = (struct held){ net, w };
}

static void ranges_drop(struct tracker *t, struct ip_net net)
{
	size_t at = ranges_behind(t, net.addr);

	vec_remove(&t->ranges, at - 1);
}

static void track_claim(struct tracker *t, struct wish *w)
{
	struct ip_addr lost = IP_NONE; /* what a range that is another's begins with: so does its neighbour */

	w->lost = 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct net_key *k = &w->e[i].key;
		struct slot *s;
		bool range = k->type == NET_ROUTE;

		if (range ? ranges_taken(t, track_net(k), w) : k->type == NET_NEIGH && ip_eq(k->addr, lost)) {
			lost = k->addr;
			w->lost++;
			continue;
		}
		s = track_slot(t, k);
		if (s->owner && s->owner != w) {
			w->lost++;
			continue;
		}
		if (range && !s->owner)
			ranges_add(t, track_net(k), w);
		t->wanted += !s->owner;
		s->owner = w;
		s->want = w->e[i].value;
		if (!slot_right(s))
			track_mark(t, s);
	}
}

/* Whether one of them was ours and is free. */
static bool track_let_go(struct tracker *t, struct wish *w, const struct wish *now)
{
	bool freed = false;

	for (size_t i = 0; i < w->n; i++) {
		struct slot *s = strmap_get(&t->slots, track_key(&w->e[i].key));

		if (!s || s->owner != w || wish_names(now, &w->e[i].key))
			continue;
		s->owner = NULL;
		t->wanted--;
		freed = true;
		if (s->key.type == NET_ROUTE)
			ranges_drop(t, track_net(&s->key));
		if (s->had)
			track_mark(t, s);
		track_drop_unused(t, s);
	}
	return freed;
}

static void claim_losers(struct tracker *t)
{
	VEC(char *) done = VEC_INIT;

	STRMAP_EACH(&t->losers, e) {
		struct wish *w = e->value;

		track_claim(t, w);
		if (!w->lost)
			vec_push(&done, e->key);
	}
	for (size_t i = 0; i < done.n; i++)
		strmap_del(&t->losers, sv_from(done.p[i]));
	vec_release(&done);
}

size_t tracker_want(struct tracker *t, struct sv node, const struct net_entry *e, size_t n)
{
	struct wish *w = strmap_get(&t->nodes, node), now = { .n = n };
	bool freed = false;

	if (n)
		memcpy(now.e, e, n * sizeof(*e));
	if (!w && !n)
		return 0;
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		strmap_set(&t->nodes, node, w);
	} else {
		freed = track_let_go(t, w, &now);
	}
	memcpy(w->e, now.e, sizeof(w->e));
	w->n = n;
	track_claim(t, w);
	if (w->lost)
		strmap_set(&t->losers, node, w);
	else
		strmap_del(&t->losers, node);
	if (!n)
		free(strmap_del(&t->nodes, node));
	if (freed)
		claim_losers(t);
	return n ? w->lost : 0;
}

size_t tracker_wanted(const struct tracker *t)
{
	return t->wanted;
}

/* --- what there is --- */

void tracker_have(struct tracker *t, const struct net_entry *e, size_t n)
{
	VEC(struct slot *) gone = VEC_INIT;

	STRMAP_EACH(&t->slots, s)
		((struct slot *)s->value)->had = false;
	for (size_t i = 0; i < n; i++) {
		struct slot *s = track_slot(t, &e[i].key);

		s->had = true;
		s->have = e[i].value;
	}
	STRMAP_EACH(&t->slots, m) {
		struct slot *s = m->value;

		if (!slot_right(s))
			track_mark(t, s);
		else if (s->dirty)
			track_unmark(t, s);
		if (!s->owner && !s->had)
			vec_push(&gone, s);
	}
	for (size_t i = 0; i < gone.n; i++)
		track_drop_unused(t, gone.p[i]);
	vec_release(&gone);
}

/* --- the difference --- */

static int track_rank(const struct net_change *c)
{
	return c->want ? 2 * NET_FDB + 1 - c->key.type : c->key.type;
}

static int track_by_rank(const void *x, const void *y)
{
	const struct net_change *a = x, *b = y;
	int r = track_rank(a) - track_rank(b);

	return r ? r : memcmp(&a->key, &b->key, sizeof(a->key));
}

size_t tracker_plan(struct tracker *t, struct arena *a, struct net_change **ret)
{
	struct net_change *c = *ret = ARENA_ARRAY(a, struct net_change, t->dirty.n + 1);
	VEC(struct slot *) settled = VEC_INIT;
	size_t n = 0;

	for (size_t i = 0; i < t->dirty.n; i++) {
		struct slot *s = t->dirty.p[i];

		if (slot_right(s))
			vec_push(&settled, s); /* marked, and then changed back */
		else
			c[n++] = (struct net_change){
				.key = s->key, .had = s->had, .want = s->owner != NULL, .is = s->have, .be = s->want
			};
	}
	for (size_t i = 0; i < settled.n; i++) {
		track_unmark(t, settled.p[i]);
		track_drop_unused(t, settled.p[i]);
	}
	vec_release(&settled);
	if (n)
		qsort(c, n, sizeof(*c), track_by_rank);
	return n;
}

void tracker_done(struct tracker *t, const struct net_change *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slot *s = strmap_get(&t->slots, track_key(&c[i].key));

		if (c[i].failed || !s)
			continue;
		s->had = c[i].want;
		s->have = c[i].be;
		track_unmark(t, s);
		track_drop_unused(t, s);
	}
	vec_tighten(&t->dirty);
}
