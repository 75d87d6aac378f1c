#include "apiserver/watchcache-internal.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "base/board.h"
#include "base/quarantine.h"
#include "codec/json.h"

#include <stdlib.h>

/* Where upstream's storage path is not the plural. */
static const struct {
	const char *group, *plural, *path;
} paths[] = {
	{ "", "services", "services/specs" },
	{ "", "endpoints", "services/endpoints" },
	{ "", "nodes", "minions" },
	{ "", "replicationcontrollers", "controllers" },
	{ "networking.k8s.io", "ingresses", "ingress" },
	{ "apiextensions.k8s.io", "customresourcedefinitions", "apiextensions.k8s.io/customresourcedefinitions" },
	{ "apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices" },
};

bool resource_stored(const struct resource *r)
{
	return r->schema && (r->verbs & (1u << VERB_LIST)) && (r->verbs & (1u << VERB_WATCH));
}

const struct resource *resource_storage(const struct resource *r)
{
	const struct strategy *st = strategy_for(r);

	return st->stored_as ? st->stored_as : r;
}

struct sv store_prefix(struct arena *a, const struct resource *r)
{
	r = resource_storage(r);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (sv_is(sv_from(r->group), paths[i].group) && sv_is(sv_from(r->plural), paths[i].plural))
			return arena_svf(a, "/registry/%s/", paths[i].path);
	return arena_svf(a, "/registry/%s/", r->plural);
}

struct sv store_key(struct arena *a, const struct resource *r, struct sv ns, struct sv name)
{
	struct sv prefix = store_prefix(a, r);
	size_t in_ns = r->namespaced ? ns.n + 1 : 0;
	char *key = arena_alloc(a, prefix.n + in_ns + name.n), *to = key;

	/* By hand: every write makes one, and a tenth of it was printf. */
	to = mempcpy(to, prefix.p, prefix.n);
	if (r->namespaced) {
		to = mempcpy(to, ns.p, ns.n);
		*to++ = '/';
	}
	(void)mempcpy(to, name.p, name.n);
	return sv_make(key, prefix.n + in_ns + name.n);
}

struct wc_change *wc_change_ref(struct wc_change *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void wc_change_unref(struct wc_change *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	obj_unref(c->o);
	obj_unref(c->prev);
	obj_unref(c->gone);
	free(c);
}

/* What a change keeps in memory. The old version that an update refers to is another change's; that of a deletion is
 * its own, once its creation has left the ring. */
static size_t ring_bytes_of(const struct wc_change *c)
{
	return obj_bytes(c->o) + (c->deleted ? obj_bytes(c->prev) : 0);
}

static void ring_drop_oldest(struct wc_resource *r)
{
	struct wc_change *c = r->ring[r->ring_head];

	r->ring_head = (r->ring_head + 1) % r->ring_cap;
	r->ring_n--;
	r->ring_bytes -= ring_bytes_of(c);
	r->ring_floor = c->rev;
	wc_change_unref(c);
}

/* Under the resource's lock. */
static size_t ring_age(struct wc_resource *r, int64_t now_ns)
{
	size_t before = r->ring_bytes;

	while (r->ring_n && r->ring[r->ring_head]->mono_ns < now_ns - RING_AGE_NS)
		ring_drop_oldest(r);
	if (!r->ring_n) {
		free(r->ring);
		r->ring = NULL;
		r->ring_cap = r->ring_head = 0;
	}
	return before - r->ring_bytes;
}

size_t wc_age(struct watchcache *c)
{
	int64_t now = env_mono_ns(c->s->env);
	size_t dropped = 0;

	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];

		if (!r)
			continue;
		pthread_rwlock_wrlock(&r->lock);
		dropped += ring_age(r, now);
		pthread_rwlock_unlock(&r->lock);
	}
	return dropped;
}

static void ring_push(struct wc_resource *r, struct wc_change *c)
{
	size_t bytes = ring_bytes_of(c);

	while (r->ring_n && (r->ring_n >= RING_EVENTS_MAX || r->ring_bytes + bytes > RING_BYTES_MAX ||
			     r->ring[r->ring_head]->mono_ns < c->mono_ns - RING_AGE_NS))
		ring_drop_oldest(r);
	if (r->ring_n == r->ring_cap) {
		size_t cap = r->ring_cap ? r->ring_cap * 2 : 16;
		struct wc_change **ring = xmalloc(cap * sizeof(*ring));

		for (size_t i = 0; i < r->ring_n; i++)
			ring[i] = r->ring[(r->ring_head + i) % r->ring_cap];
		free(r->ring);
		r->ring = ring;
		r->ring_cap = cap;
		r->ring_head = 0;
	}
	r->ring[(r->ring_head + r->ring_n++) % r->ring_cap] = wc_change_ref(c);
	r->ring_bytes += bytes;
}

/* o_take NULL: deleted. The lock of a view is held already. */
static void publish_locked(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o_take, int64_t rev,
			   struct wc_change **ret)
{
	struct apiserver *s = r->cache->s;
	struct wc_change *c = xcalloc(1, sizeof(*c));
	struct obj *prev, *now = o_take;

	atomic_init(&c->refs, 1);
	c->rev = rev;
	c->mono_ns = env_mono_ns(s->env);
	if (o_take) {
		prev = objtree_put(&r->tree, obj_ref(o_take));
	} else {
		prev = objtree_del(&r->tree, ns, name);
		if (prev) {
			c->deleted = true;
			now = obj_new(obj_root(prev), rev);
		}
	}
	c->o = now;
	c->prev = prev;
	r->last_rev = rev;
	if (now) {
		ring_push(r, c);
		wc_dispatch(r, c);
	}
	*ret = c;
}

static void publish(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o_take, int64_t rev)
{
	const struct strategy *st = strategy_for(r->res);
	struct wc_change *c;

	pthread_rwlock_wrlock(&r->lock);
	publish_locked(r, ns, name, o_take, rev, &c);
	pthread_rwlock_unlock(&r->lock);
	if (c->o && st->observe)
		st->observe(r->cache->s, c->prev, c->deleted ? NULL : c->o);
	wc_change_unref(c);
}

/* --- views --- */

static struct obj *view_object(const struct resource *res, const struct obj *o)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = strategy_for(res)->from_stored(&a, obj_root(o));

	return root ? obj_new(root, obj_rev(o)) : NULL;
}

/* Fills a view from what it is a view of. From then on on_change() keeps it current: it looks at
 * `live` after it has changed the original, whose lock is held here until `live` is set. */
static void view_fill(struct wc_resource *r)
{
	struct wc_resource *from = r->view_of;
	const struct objtree_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	if (!atomic_load(&r->live)) {
		pthread_rwlock_rdlock(&from->lock);
		for (struct objtree_pos p = { 0, 0 }; (e = objtree_at(&from->tree, p));
		     p = objtree_next(&from->tree, p)) {
			struct obj *o;

			wc_work(r->cache, r->res, e->o);
			o = view_object(r->res, e->o);
			if (o)
				obj_unref(objtree_put(&r->tree, o));
		}
		r->ring_floor = r->last_rev = from->last_rev;
		atomic_store(&r->live, true);
		pthread_rwlock_unlock(&from->lock);
	}
	pthread_rwlock_unlock(&r->lock);
}

/* o NULL: deleted. What view_fill() has seen already is not told again. */
static void view_publish(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o, int64_t rev)
{
	struct obj *view = o ? view_object(r->res, o) : NULL;
	struct wc_change *c = NULL;

	pthread_rwlock_wrlock(&r->lock);
	if (rev > r->last_rev && (view || !o)) {
		publish_locked(r, ns, name, TAKE(view), rev, &c);
		wc_change_unref(c);
	}
	pthread_rwlock_unlock(&r->lock);
	obj_unref(view);
}

struct wc_resource *wc_resource_of(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = c->by_id[res->id];

	if (r && r->view_of && !atomic_load_explicit(&r->live, memory_order_acquire))
		view_fill(r);
	return r;
}

/* Splits "ns/name" (or "name") behind the prefix. */
static void split_key(const struct wc_resource *r, struct sv key, struct sv *ns, struct sv *name)
{
	struct sv rest = sv_sub(key, r->prefix_n, key.n);
	ssize_t slash = r->res->namespaced ? sv_find(rest, '/') : -1;

	*ns = slash < 0 ? SV("") : sv_sub(rest, 0, (size_t)slash);
	*name = slash < 0 ? rest : sv_sub(rest, (size_t)slash + 1, rest.n);
}

struct sv wc_range_from(struct arena *a, const struct wc_resource *r, struct sv ns)
{
	return arena_svf(a, "%.*s%.*s%s", (int)r->prefix_n, r->prefix, SV_ARG(ns), ns.n ? "/" : "");
}

struct sv wc_range_to(struct arena *a, struct sv from)
{
	return arena_svf(a, "%.*s0", (int)from.n - 1, from.p); /* '0' follows '/' */
}

static struct wc_resource *resource_of_key(struct watchcache *c, struct sv key)
{
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];

		if (r && !r->view_of && sv_starts(key, sv_make(r->prefix, r->prefix_n)))
			return r;
	}
	return NULL;
}

/* A stored value as an object; NULL when it cannot be read. */
static struct obj *parse_value(struct sv value, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = json_decode(&a, value, &(struct json_opts){ .borrow_text = true }, NULL);

	return root && val_get_str(root, F_metadata, F_name).n ? obj_new(root, rev) : NULL;
}

/* The same of a key of r's, whose name it must bear: the tree finds it by that. */
static struct obj *parse_of(const struct wc_resource *r, const struct store_kv *kv)
{
	struct obj *o = parse_value(kv->value, kv->mod_rev);
	struct sv ns, name;

	split_key(r, kv->key, &ns, &name);
	if (o && sv_eq(obj_name(o), name) && (!r->res->namespaced || sv_eq(obj_ns(o), ns)))
		return o;
	obj_unref(o);
	return NULL;
}

/* Nothing can be had of kv, for that reason. */
static void note_aside(struct wc_resource *r, const struct store_kv *kv, enum set_aside_why why)
{
	struct sv ns, name;

	split_key(r, kv->key, &ns, &name);
	if (strategy_for(r->res)->unread)
		strategy_for(r->res)->unread(r->cache->s, kv->key, kv->value.p ? kv->value : SV(""),
					     objtree_get(&r->tree, ns, name));
	for (; r; r = r->view)
		set_aside_put(r->cache->s, r->res, ns, name, kv->key, kv->mod_rev, why);
}

/* kv has been written or deleted: whatever was wrong with what was there before is over. */
static void forget_aside(struct wc_resource *r, const struct store_kv *kv)
{
	struct sv ns, name;

	split_key(r, kv->key, &ns, &name);
	for (; r; r = r->view)
		set_aside_drop(r->cache->s, r->res, ns, name);
	if (quarantine_has(kv->key))
		quarantine_drop(kv->key);
}

struct obj *stored_parse(const struct resource *r, struct sv value, int64_t rev)
{
	struct obj *stored = parse_value(value, rev), *o;

	if (!stored || resource_storage(r) == r)
		return stored;
	o = view_object(r, stored);
	obj_unref(stored);
	return o;
}

static struct obj *written(const struct pending_write *pw, int64_t rev)
{
	if (pw->built && obj_set_rev(pw->built, rev))
		return obj_ref(pw->built);
	return obj_new(pw->root, rev);
}

static void note_changed(struct wc_resource *r)
{
	if (!r->changed)
		r->cache->changed[r->cache->n_changed++] = r;
	r->changed = true;
}

static void wake_all(struct watchcache *c)
{
	while (c->n_changed) {
		struct wc_resource *r = c->changed[--c->n_changed];

		r->changed = false;
		wc_wake(r);
	}
}

static void on_change(const struct store_change *ch, void *ctx)
{
	struct watchcache *c = ctx;
	struct pending_write *pw = ch->cookie;
	struct wc_resource *r = pw ? c->by_id[pw->res->id] : resource_of_key(c, ch->kv.key);
	_cleanup_(work_leave) _unused_ int mark = work_enter("publish", SV(""), SV(""), SV(""));
	struct sv ns, name;

	if (r) {
		_cleanup_obj_ struct obj *o = NULL;

		split_key(r, ch->kv.key, &ns, &name);
		if (!ch->kv.deleted) {
			work_key(ch->kv.key);
			o = pw ? written(pw, ch->kv.mod_rev) : parse_of(r, &ch->kv);
			if (pw && o)
				pw->result = obj_ref(o);
		}
		if (o || ch->kv.deleted)
			forget_aside(r, &ch->kv);
		else
			note_aside(r, &ch->kv, ASIDE_UNREADABLE);
		/* What can be read no more is as good as deleted: lists go on without it, and watches say so. */
		publish(r, ns, name, o ? obj_ref(o) : NULL, ch->kv.mod_rev);
		if (strategy_for(r->res)->unread && (o || ch->kv.deleted))
			strategy_for(r->res)->unread(c->s, ch->kv.key, SV_NULL, NULL);
		note_changed(r);
		standing_observe(c->s, r->res, name, o);
		if (r->view && atomic_load(&r->view->live)) {
			view_publish(r->view, ns, name, o, ch->kv.mod_rev);
			note_changed(r->view);
		}
	}
	atomic_store_explicit(&c->rev, ch->kv.mod_rev, memory_order_release);
}

static void on_progress(int64_t rev, void *ctx)
{
	struct watchcache *c = ctx;

	if (rev > atomic_load(&c->rev))
		atomic_store_explicit(&c->rev, rev, memory_order_release);
	wake_all(c);
}

static void on_end(const struct err *why, void *ctx)
{
	struct watchcache *c = ctx;

	wake_all(c);
	if (!atomic_load(&c->broken)) {
		err_set(&c->why, why->reason, "%s", err_msg(why));
		atomic_store(&c->broken, true);
		if (!atomic_load(&c->s->stopping) && c->s->o.lost)
			c->s->o.lost(why);
	}
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];

		if (!r)
			continue;
		pthread_rwlock_wrlock(&r->lock);
		wc_end_all(r, why);
		pthread_rwlock_unlock(&r->lock);
	}
}

struct watchcache *watchcache_new(struct apiserver *s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct watchcache *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->by_id = xcalloc(resource_count, sizeof(*c->by_id));
	c->changed = xcalloc(resource_count, sizeof(*c->changed));
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r;
		struct sv prefix;

		if (!resource_stored(&resource_all[i]))
			continue;
		r = c->by_id[i] = xcalloc(1, sizeof(*r));
		r->cache = c;
		r->res = &resource_all[i];
		prefix = store_prefix(&a, r->res);
		r->prefix = xstrndup(prefix.p, prefix.n);
		r->prefix_n = prefix.n;
		list_init(&r->watchers);
		list_init(&r->past);
		list_init(&r->to_wake);
		pthread_rwlock_init(&r->lock, NULL);
	}
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *stored = resource_storage(&resource_all[i]);

		if (!c->by_id[i] || stored == &resource_all[i])
			continue;
		c->by_id[i]->view_of = c->by_id[stored->id];
		c->by_id[stored->id]->view = c->by_id[i];
	}
	return c;
}

static int fill_one(const struct store_kv *kv, void *ctx)
{
	struct wc_resource *r = ctx;
	struct obj *o;

	if (quarantine_has(kv->key)) {
		note_aside(r, kv, ASIDE_DEADLY);
		return 0;
	}
	work_key(kv->key);
	o = parse_of(r, kv);
	if (o)
		obj_unref(objtree_put(&r->tree, o));
	else
		note_aside(r, kv, ASIDE_UNREADABLE);
	return 0;
}

int watchcache_start(struct watchcache *c, struct err *err)
{
	static const struct store_watch_cb cb = { .change = on_change, .progress = on_progress, .end = on_end };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(work_leave) _unused_ int mark = work_enter("load", SV(""), SV(""), SV(""));
	int64_t rev = 0;

	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];
		struct sv from;
		int64_t at;

		if (!r || r->view_of)
			continue;
		from = wc_range_from(&a, r, SV(""));
		if (store_range(c->s->store, from, wc_range_to(&a, from), rev, 0, fill_one, r, &at, err) < 0)
			return err_wrap(err, "reading %s from the store", r->res->plural);
		rev = at;
	}
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];
		const struct strategy *st;
		struct objtree_pos p = { 0, 0 };
		const struct objtree_entry *e;

		if (!r)
			continue;
		r->ring_floor = r->last_rev = rev;
		st = strategy_for(r->res);
		for (; st->observe && (e = objtree_at(&r->tree, p)); p = objtree_next(&r->tree, p)) {
			wc_work(c, r->res, e->o);
			st->observe(c->s, NULL, e->o);
		}
	}
	atomic_store(&c->rev, rev);
	if (store_watch(c->s->store, SV("/registry/"), SV("/registry0"), rev, &cb, c, &c->watch, err) < 0)
		return err_wrap(err, "watching the store");
	return 0;
}

void watchcache_stop(struct watchcache *c)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (c->watch)
		store_unwatch(c->s->store, c->watch);
	c->watch = NULL;
	err_set(&why, ERR_UNAVAILABLE, "the server is shutting down");
	on_end(&why, c);
}

struct watchcache *watchcache_free(struct watchcache *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];

		if (!r)
			continue;
		BUG_ON(r->n_watchers);
		while (r->ring_n)
			ring_drop_oldest(r);
		free(r->ring);
		objtree_release(&r->tree);
		strmap_release(&r->buckets);
		pthread_rwlock_destroy(&r->lock);
		free(r->prefix);
		free(r);
	}
	err_release(&c->why);
	free(c->by_id);
	free(c->changed);
	free(c);
	return NULL;
}

void wc_work(struct watchcache *c, const struct resource *res, const struct obj *o)
{
	const struct wc_resource *r = c->by_id[res->id];
	struct sv ns = obj_ns(o);

	if (r && res->namespaced)
		work_key_of(sv_make(r->prefix, r->prefix_n), ns, SV("/"), obj_name(o));
	else if (r)
		work_key_of(sv_make(r->prefix, r->prefix_n), obj_name(o), SV(""), SV(""));
}

struct obj *wc_get(struct watchcache *c, const struct resource *res, struct sv ns, struct sv name)
{
	struct wc_resource *r = wc_resource_of(c, res);
	struct obj *o;

	if (!r)
		return NULL;
	pthread_rwlock_rdlock(&r->lock);
	o = obj_ref(objtree_get(&r->tree, res->namespaced ? ns : SV(""), name));
	pthread_rwlock_unlock(&r->lock);
	return o;
}

bool wc_alive(struct watchcache *c, struct err *why)
{
	if (!atomic_load(&c->broken))
		return true;
	err_set(why, ERR_UNAVAILABLE, "the cache hears of no more changes: %s", err_msg(&c->why));
	return false;
}

int64_t wc_rev(struct watchcache *c)
{
	return atomic_load_explicit(&c->rev, memory_order_acquire);
}

size_t wc_count(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = c->by_id[res->id];
	size_t n;

	if (!r)
		return 0;
	pthread_rwlock_rdlock(&r->lock);
	n = r->tree.count;
	pthread_rwlock_unlock(&r->lock);
	return n;
}

/* Upper bound of the objects in [p, end of ns), by whole blocks: what a list may need room for. */
static size_t room_for(const struct objtree *t, struct objtree_pos p, struct sv ns)
{
	size_t n = 0;

	for (size_t i = p.block; i < t->n_blocks; i++) {
		const struct objtree_entry *e = &t->blocks[i]->e[0];

		if (i > p.block && ns.n && !sv_eq(sv_make(e->ns, e->ns_n), ns))
			break;
		n += t->blocks[i]->n;
	}
	return n;
}

int64_t wc_resource_rev(struct wc_resource *r)
{
	return MAX(wc_rev(r->cache), r->last_rev);
}

/* The list itself; the lock is held. */
void wc_collect(struct wc_resource *r, struct sv ns, const struct selection *sel, struct sv start, size_t limit,
		struct arena *a, struct wc_list *ret)
{
	const struct objtree_entry *e;
	struct objtree_pos p;
	struct sv start_ns = ns, start_name = start;
	size_t room;

	*ret = (struct wc_list){ .remaining = -1, .rev = wc_resource_rev(r) };
	if (r->res->namespaced && start.n) {
		ssize_t slash = sv_find(start, '/');

		start_ns = slash < 0 ? start : sv_sub(start, 0, (size_t)slash);
		start_name = slash < 0 ? SV_NULL : sv_sub(start, (size_t)slash + 1, start.n);
	}
	p = objtree_seek(&r->tree, r->res->namespaced ? start_ns : SV(""), start_name);
	room = room_for(&r->tree, p, ns);
	if (limit && limit < room)
		room = limit;
	ret->objs = arena_alloc(a, (room ? room : 1) * sizeof(*ret->objs));
	for (; (e = objtree_at(&r->tree, p)); p = objtree_next(&r->tree, p)) {
		if (ns.n && !sv_eq(sv_make(e->ns, e->ns_n), ns))
			break;
		if (!selection_matches(sel, e->o))
			continue;
		if (ret->n == room) {
			ret->more = true;
			break;
		}
		ret->objs[ret->n++] = obj_ref(e->o);
	}
	if (ret->more && !sel) {
		ret->remaining = 0;
		for (; (e = objtree_at(&r->tree, p)); p = objtree_next(&r->tree, p)) {
			if (ns.n && !sv_eq(sv_make(e->ns, e->ns_n), ns))
				break;
			ret->remaining++;
		}
	}
}

bool wc_list(struct watchcache *c, const struct resource *res, struct sv ns, const struct selection *sel,
	     struct sv start, size_t limit, int64_t exact, struct arena *a, struct wc_list *ret)
{
	struct wc_resource *r = wc_resource_of(c, res);
	bool ok;

	*ret = (struct wc_list){ .rev = wc_rev(c), .remaining = -1 };
	if (!r)
		return true;
	if (!res->namespaced)
		ns = SV("");
	/* One object by name: kubectl wait, get -w, leader election. */
	if (sel && sel->pinned_name.p && (ns.n || !res->namespaced) && !start.n && !exact) {
		struct obj *o;

		pthread_rwlock_rdlock(&r->lock);
		ret->rev = wc_resource_rev(r);
		o = obj_ref(objtree_get(&r->tree, ns, sel->pinned_name));
		pthread_rwlock_unlock(&r->lock);
		ret->objs = arena_alloc(a, sizeof(*ret->objs));
		if (o && selection_matches(sel, o))
			ret->objs[ret->n++] = o;
		else
			obj_unref(o);
		return true;
	}
	pthread_rwlock_rdlock(&r->lock);
	ok = !exact || (r->last_rev <= exact && exact <= wc_rev(c));
	if (ok)
		wc_collect(r, ns, sel, start, limit, a, ret);
	pthread_rwlock_unlock(&r->lock);
	if (exact)
		ret->rev = exact;
	return ok;
}

void wc_list_unref(struct wc_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		obj_unref(l->objs[i]);
	l->n = 0;
}

void wc_each(struct watchcache *c, const struct resource *res, struct sv ns, int (*fn)(struct obj *o, void *ctx),
	     void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct wc_list l;

	/* References first: fn may look things up in the cache itself. */
	(void)wc_list(c, res, ns, NULL, SV_NULL, 0, 0, &a, &l);
	for (size_t i = 0; i < l.n; i++)
		if (fn(l.objs[i], ctx))
			break;
	wc_list_unref(&l);
}

void wc_metrics(struct watchcache *c, struct buf *b)
{
	char q[256];

	buf_adds(b,
		 "# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.\n"
		 "# TYPE apiserver_storage_objects gauge\n");
	for (size_t i = 0; i < resource_count; i++)
		if (c->by_id[i] && !c->by_id[i]->view_of)
			buf_printf(b, "apiserver_storage_objects{resource=\"%s\"} %zu\n",
				   resource_qualified(&resource_all[i], q, sizeof(q)), wc_count(c, &resource_all[i]));
}
