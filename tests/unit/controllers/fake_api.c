/* See fake_api.h. */
#include "unit.h"

#include "fake_api.h"

#include "base/strmap.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "codec/json.h"
#include "object/decode.h"
#include "object/patch.h"
#include "object/selector.h"

#include <stdlib.h>

struct event {
	enum watch_type type;
	struct obj *o;
	int64_t due_ns;
};

struct client_watch {
	struct fake_api *f;
	const struct resource *r;
	char *ns, *name; /* name: of a "metadata.name=" selector, or NULL */
	struct client_watch_cb cb;
	void *ctx;
	VEC(struct event) queue;
	bool posted, ended;
	struct env_timer *timer;
	unsigned refs;
};

struct fake_api {
	struct client c;
	struct strmap *tables; /* one a resource: "ns/name" -> struct obj * */
	int64_t rev, lag_ns;
	unsigned writes;
	int (*hook)(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
		    const struct val *doc, struct err *err);
	void *hook_ctx;
	VEC(struct client_watch *) watches;
};

static struct fake_api *fake(struct client *c)
{
	return (struct fake_api *)c;
}

static struct strmap *table(struct fake_api *f, const struct resource *r)
{
	return &f->tables[r - resource_all];
}

static struct sv key_of(struct arena *a, struct sv ns, struct sv name)
{
	return arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name));
}

/* --- watches --- */

static void watch_unref(struct client_watch *w)
{
	if (--w->refs)
		return;
	for (size_t i = 0; i < w->queue.n; i++)
		obj_unref(w->queue.p[i].o);
	vec_release(&w->queue);
	free(w->ns);
	free(w->name);
	free(w);
}

static void deliver(void *ctx)
{
	struct client_watch *w = ctx;
	struct env *e = w->f->c.env;

	w->posted = false;
	w->timer = env_timer_cancel(e, w->timer);
	while (!w->ended && w->queue.n && w->queue.p[0].due_ns <= env_mono_ns(e)) {
		struct event ev = w->queue.p[0];

		vec_remove(&w->queue, 0);
		w->cb.event(ev.type, ev.o, w->ctx);
		obj_unref(ev.o);
	}
	if (!w->ended && w->queue.n && !w->posted) {
		w->posted = true;
		w->refs++;
		w->timer = env_after(e, w->f->c.class, w->queue.p[0].due_ns - env_mono_ns(e), deliver, w);
	}
	watch_unref(w);
}

static void emit(struct fake_api *f, const struct resource *r, enum watch_type t, struct obj *o)
{
	for (size_t i = 0; i < f->watches.n; i++) {
		struct client_watch *w = f->watches.p[i];
		struct event ev = { t, NULL, env_mono_ns(f->c.env) + f->lag_ns };

		if (w->r != r || (w->ns[0] && !sv_is(obj_ns(o), w->ns)) || (w->name && !sv_is(obj_name(o), w->name)))
			continue;
		ev.o = obj_ref(o);
		vec_push(&w->queue, ev);
		if (w->posted)
			continue;
		w->posted = true;
		w->refs++;
		env_post(f->c.env, f->c.class, deliver, w);
	}
}

/* The one field selector there is. That of a Secret's type is not looked at: who uses it looks again. */
static const char *name_selected(const struct client_list_opts *o)
{
	const char *prefix = "metadata.name=";

	if (!o || !o->field_selector || strncmp(o->field_selector, "type=", 5) == 0)
		return NULL;
	assert_true(strncmp(o->field_selector, prefix, strlen(prefix)) == 0);
	return o->field_selector + strlen(prefix);
}

static int fa_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		    const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	struct fake_api *f = fake(c);
	struct client_watch *w = xcalloc(1, sizeof(*w));

	(void)err;
	assert_true(!o || o->resource_version <= f->rev);
	w->f = f;
	w->r = r;
	w->ns = xstrndup(ns.p ? ns.p : "", ns.n);
	w->name = name_selected(o) ? xstrdup(name_selected(o)) : NULL;
	w->cb = *cb;
	w->ctx = ctx;
	w->refs = 1;
	vec_push(&f->watches, w);
	*ret = w;
	return 0;
}

static void fa_unwatch(struct client *c, struct client_watch *w)
{
	struct fake_api *f = fake(c);

	if (!w)
		return;
	for (size_t i = 0; i < f->watches.n; i++)
		if (f->watches.p[i] == w) {
			vec_remove(&f->watches, i);
			break;
		}
	w->ended = true;
	if (w->timer && env_timer_stop(c->env, TAKE(w->timer)))
		w->refs--;
	watch_unref(w);
}

/* --- the table --- */

/* Stores doc as the next version; decoded and defaulted. New reference. */
static struct obj *commit(struct fake_api *f, struct arena *a, const struct resource *r, const struct val *doc)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	char version[128];
	struct val *raw = val_clone(a, doc), *typed;
	struct obj *o, *old;
	struct sv key;

	val_set_cstr(a, raw, F_apiVersion, resource_api_version(r, version, sizeof(version)));
	val_set_cstr(a, raw, F_kind, r->kind);
	typed = decode_typed(a, r->schema, raw, NULL, &err);
	if (!typed)
		fail_msg("cannot decode %s: %s", r->kind, err_msg(&err));
	default_typed(a, r->schema, typed);
	o = obj_new(typed, ++f->rev);
	key = key_of(a, obj_ns(o), obj_name(o));
	old = strmap_set(table(f, r), key, obj_ref(o));
	emit(f, r, old ? WATCH_MODIFIED : WATCH_ADDED, o);
	obj_unref(old);
	f->writes++;
	return o;
}

static void drop(struct fake_api *f, struct arena *a, const struct resource *r, struct obj *o)
{
	struct obj *last = obj_new(obj_root(o), ++f->rev);
	struct obj *old = strmap_del(table(f, r), key_of(a, obj_ns(o), obj_name(o)));

	emit(f, r, WATCH_DELETED, last);
	obj_unref(last);
	obj_unref(old);
	f->writes++;
}

static struct obj *find(struct fake_api *f, struct arena *a, const struct resource *r, struct sv ns, struct sv name)
{
	return strmap_get(table(f, r), key_of(a, ns, name));
}

static int not_found(const struct resource *r, struct sv name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", r->plural, SV_ARG(name));
}

static int hook(struct fake_api *f, const char *verb, const struct resource *r, struct sv ns, struct sv name,
		const struct val *doc, struct err *err)
{
	return f->hook ? f->hook(f->hook_ctx, verb, r, ns, name, doc, err) : 0;
}

static int fa_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		  struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = find(fake(c), &a, r, ns, name);

	if (!o)
		return not_found(r, name, err);
	if (ret)
		*ret = obj_ref(o);
	return 0;
}

static int fa_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		   struct obj_list *ret, struct err *err)
{
	struct fake_api *f = fake(c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct selector *sel = NULL;

	const char *only = name_selected(o);

	if (o && o->label_selector && !(sel = selector_parse(&a, sv_from(o->label_selector), err)))
		return -1;
	ret->items = xcalloc(table(f, r)->n + 1, sizeof(*ret->items));
	STRMAP_EACH(table(f, r), e) {
		struct obj *x = e->value;

		if ((!ns.n || sv_eq(obj_ns(x), ns)) && (!only || sv_is(obj_name(x), only)) &&
		    selector_matches(sel, obj_labels(x)))
			ret->items[ret->n++] = obj_ref(x);
	}
	ret->rev = f->rev;
	return 0;
}

static int fa_create(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		     const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	struct fake_api *f = fake(c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *made = NULL;
	struct val *copy = val_clone(&a, doc), *meta = val_ensure_map(&a, copy, F_metadata);
	struct sv generate = val_get_str(meta, F_generateName);
	char uid[37], now[TIME_TEXT_MAX];
	struct obj *in;

	(void)name;
	if (o && o->subresource)
		return err_set(err, ERR_METHOD_NOT_ALLOWED, "no subresource %s", o->subresource);
	if (r->namespaced)
		val_set_str(&a, meta, F_namespace, ns);
	if (!val_get_str(meta, F_name).n && generate.n) {
		char tail[6] = { 0 };

		for (size_t i = 0; i < 5; i++)
			tail[i] = letters[env_random_below(f->c.env, sizeof(letters) - 1)];
		val_set_strf(&a, meta, F_name, "%.*s%s", SV_ARG(generate), tail);
	}
	if (hook(f, "create", r, ns, val_get_str(meta, F_name), copy, err) < 0)
		return -1;
	in = r->namespaced ? find(f, &a, RES(core_namespaces), SV(""), ns) : NULL;
	if (in && obj_deleting(in)) {
		err_set(err, ERR_FORBIDDEN,
			"unable to create new content in namespace %.*s because it is being terminated", SV_ARG(ns));
		return err_add_cause(err, "NamespaceTerminating", SV("metadata.namespace"),
				     "namespace %.*s is being terminated", SV_ARG(ns));
	}
	if (find(f, &a, r, ns, val_get_str(meta, F_name)))
		return err_set(err, ERR_ALREADY_EXISTS, "%s \"%.*s\" already exists", r->plural,
			       SV_ARG(val_get_str(meta, F_name)));
	env_uuid(f->c.env, uid);
	val_set_cstr(&a, meta, F_uid, uid);
	val_set_str(&a, meta, F_creationTimestamp, time_format(env_now_ns(f->c.env), false, now));
	val_set_int(&a, meta, F_generation, 1);
	if (r == RES(core_namespaces)) {
		struct val *list = val_ensure_list(&a, val_ensure_map(&a, copy, F_spec), F_finalizers);

		if (!val_len(list))
			val_push(&a, list, val_new_str(&a, SV("kubernetes")));
	}
	if (r == RES(core_pods) && !val_get_str(copy, F_status, F_phase).n)
		val_set_cstr(&a, val_ensure_map(&a, copy, F_status), F_phase, "Pending");
	made = commit(f, &a, r, copy);
	if (ret)
		*ret = TAKE(made);
	return 0;
}

static bool finished(const struct resource *r, const struct obj *o)
{
	if (!obj_deleting(o) || val_len(obj_get(o, F_metadata, F_finalizers)))
		return false;
	if (r == RES(core_namespaces))
		return val_len(obj_get(o, F_spec, F_finalizers)) == 0;
	return val_int_or(obj_get(o, F_metadata, F_deletionGracePeriodSeconds), 0) == 0;
}

static void keep(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	const struct val *v = val_member(from, key);

	if (v)
		val_set(a, to, key, val_clone(a, v));
	else
		val_del(to, key);
}

/* doc replaces old, as the subresource allows. */
static int store(struct fake_api *f, struct arena *a, const struct resource *r, struct obj *old, const struct val *doc,
		 const char *sub, struct obj **ret, struct err *err)
{
	struct sv rv = val_get_str(doc, F_metadata, F_resourceVersion), uid = val_get_str(doc, F_metadata, F_uid);
	struct val *neu, *meta;
	_cleanup_obj_ struct obj *o = NULL;
	int64_t n;

	if ((uid.n && !sv_eq(uid, obj_uid(old))) || (rv.n && (!sv_to_i64(rv, &n) || n != obj_rev(old))))
		return err_set(err, ERR_CONFLICT, "%s \"%.*s\": the object has been modified", r->plural,
			       SV_ARG(obj_name(old)));
	if (sub && strcmp(sub, "status") == 0) {
		neu = val_clone(a, obj_root(old));
		keep(a, neu, doc, F_status);
		keep(a, val_ensure_map(a, neu, F_metadata), val_member(doc, F_metadata), F_annotations);
	} else if (sub && strcmp(sub, "finalize") == 0) {
		neu = val_clone(a, obj_root(old));
		keep(a, val_ensure_map(a, neu, F_spec), val_member(doc, F_spec), F_finalizers);
	} else {
		neu = val_clone(a, doc);
		if (r->has_status)
			keep(a, neu, obj_root(old), F_status);
	}
	meta = val_ensure_map(a, neu, F_metadata);
	keep(a, meta, obj_get(old, F_metadata), F_uid);
	keep(a, meta, obj_get(old, F_metadata), F_creationTimestamp);
	keep(a, meta, obj_get(old, F_metadata), F_deletionTimestamp);
	keep(a, meta, obj_get(old, F_metadata), F_deletionGracePeriodSeconds);
	keep(a, meta, obj_get(old, F_metadata), F_generation);
	if (!val_equal(val_member(neu, F_spec), obj_get(old, F_spec)))
		val_set_int(a, meta, F_generation, val_int_or(obj_get(old, F_metadata, F_generation), 0) + 1);
	o = commit(f, a, r, neu);
	if (finished(r, o))
		drop(f, a, r, o);
	if (ret)
		*ret = TAKE(o);
	return 0;
}

static int fa_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		     const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct fake_api *f = fake(c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *old = find(f, &a, r, ns, name);

	if (hook(f, "update", r, ns, name, doc, err) < 0)
		return -1;
	if (!old)
		return not_found(r, name, err);
	return store(f, &a, r, old, doc, o ? o->subresource : NULL, ret, err);
}

static int fa_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		    const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct fake_api *f = fake(c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *old = find(f, &a, r, ns, name);
	struct val *doc = NULL;

	if (hook(f, "patch", r, ns, name, patch, err) < 0)
		return -1;
	if (!old)
		return not_found(r, name, err);
	if (t == PATCH_MERGE)
		doc = patch_merge(&a, obj_root(old), patch, err);
	else if (t == PATCH_STRATEGIC)
		doc = patch_strategic(&a, r->schema, obj_root(old), patch, err);
	else if (t == PATCH_JSON)
		doc = patch_json(&a, obj_root(old), patch, err);
	else
		err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "no apply here");
	return doc ? store(f, &a, r, old, doc, o ? o->subresource : NULL, ret, err) : -1;
}

static void add_finalizer(struct arena *a, struct val *meta, const char *name)
{
	struct val *list = val_ensure_list(a, meta, F_finalizers);

	VAL_EACH(list, x)
		if (val_is(x, name))
			return;
	val_push(a, list, val_new_str(a, sv_from(name)));
}

static int fa_delete(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		     const struct client_delete_opts *o, struct err *err)
{
	struct fake_api *f = fake(c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *old = NULL, *neu = NULL;
	const char *policy = o ? o->propagation : NULL;
	struct val *doc, *meta;
	char when[TIME_TEXT_MAX];
	int64_t grace = 0;

	if (hook(f, "delete", r, ns, name, NULL, err) < 0)
		return -1;
	old = obj_ref(find(f, &a, r, ns, name)); /* what the hook has done is seen */
	if (!old)
		return not_found(r, name, err);
	if (o && o->precondition_uid.n && !sv_eq(o->precondition_uid, obj_uid(old)))
		return err_set(err, ERR_CONFLICT, "the UID in the precondition does not match");
	if (o && o->precondition_rev && o->precondition_rev != obj_rev(old))
		return err_set(err, ERR_CONFLICT, "the ResourceVersion in the precondition does not match");
	if (r == RES(core_pods) && val_str(obj_get(old, F_spec, F_nodeName)).n) {
		grace = o && o->grace_seconds >= 0
			    ? o->grace_seconds
			    : val_int_or(obj_get(old, F_spec, F_terminationGracePeriodSeconds), 30);
		if (val_is(obj_get(old, F_status, F_phase), "Succeeded") ||
		    val_is(obj_get(old, F_status, F_phase), "Failed"))
			grace = 0;
	}
	doc = val_clone(&a, obj_root(old));
	meta = val_ensure_map(&a, doc, F_metadata);
	if (policy && strcmp(policy, "Foreground") == 0)
		add_finalizer(&a, meta, "foregroundDeletion");
	if (policy && strcmp(policy, "Orphan") == 0)
		add_finalizer(&a, meta, "orphan");
	if (!obj_deleting(old))
		val_set_str(&a, meta, F_deletionTimestamp,
			    time_format(env_now_ns(f->c.env) + grace * NS_PER_SEC, false, when));
	else if (grace && !val_len(val_member(meta, F_finalizers)))
		return 0;
	val_set_int(&a, meta, F_deletionGracePeriodSeconds, grace);
	if (r == RES(core_namespaces))
		val_set_cstr(&a, val_ensure_map(&a, doc, F_status), F_phase, "Terminating");
	if (val_equal(doc, obj_root(old)))
		return 0;
	if (!grace && !val_len(val_member(meta, F_finalizers)) && r != RES(core_namespaces)) {
		drop(f, &a, r, old);
		return 0;
	}
	neu = commit(f, &a, r, doc);
	if (finished(r, neu))
		drop(f, &a, r, neu);
	return 0;
}

static void fa_free(struct client *c)
{
	(void)c;
}

static const struct client_ops ops = {
	.get = fa_get,
	.list = fa_list,
	.create = fa_create,
	.update = fa_update,
	.patch = fa_patch,
	.del = fa_delete,
	.watch = fa_watch,
	.unwatch = fa_unwatch,
	.free = fa_free,
};

/* --- for tests --- */

struct fake_api *fake_api_new(struct env *e)
{
	struct fake_api *f = xcalloc(1, sizeof(*f));

	f->c = (struct client){ .ops = &ops, .env = e, .name = "test" };
	f->tables = xcalloc(resource_count, sizeof(*f->tables));
	return f;
}

static void unref(void *o)
{
	obj_unref(o);
}

struct fake_api *fake_api_free(struct fake_api *f)
{
	assert_int_equal(f->watches.n, 0);
	vec_release(&f->watches);
	for (size_t i = 0; i < resource_count; i++)
		strmap_release_with(&f->tables[i], unref);
	free(f->tables);
	free(f);
	return NULL;
}

struct client *fake_api_client(struct fake_api *f)
{
	return &f->c;
}

void fake_api_set_lag(struct fake_api *f, int64_t ns)
{
	f->lag_ns = ns;
}

void fake_api_set_hook(struct fake_api *f,
		       int (*fn)(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
				 const struct val *doc, struct err *err),
		       void *ctx)
{
	f->hook = fn;
	f->hook_ctx = ctx;
}

unsigned fake_api_writes(struct fake_api *f)
{
	unsigned n = f->writes;

	f->writes = 0;
	return n;
}

static struct val *parse(struct arena *a, const char *json)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = json_decode(a, sv_from(json), NULL, &err);

	if (!v)
		fail_msg("bad JSON: %s: %s", err_msg(&err), json);
	return v;
}

struct obj *fake_api_create(struct fake_api *f, const struct resource *r, const char *ns, const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *o = NULL;

	if (client_create(&f->c, r, sv_from(ns), parse(&a, json), NULL, &o, &err) < 0)
		fail_msg("create: %s", err_msg(&err));
	return o;
}

struct obj *fake_api_get(struct fake_api *f, const struct resource *r, const char *ns, const char *name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return obj_ref(find(f, &a, r, sv_from(ns), sv_from(name)));
}

size_t fake_api_count(struct fake_api *f, const struct resource *r, const char *ns)
{
	size_t n = 0;

	STRMAP_EACH(table(f, r), e)
		n += !ns[0] || sv_is(obj_ns(e->value), ns);
	return n;
}

void fake_api_patch(struct fake_api *f, const struct resource *r, const char *ns, const char *name, const char *sub,
		    const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client_write_opts o = { .subresource = sub };

	if (client_patch(&f->c, r, sv_from(ns), sv_from(name), PATCH_MERGE, parse(&a, json), &o, NULL, &err) < 0)
		fail_msg("patch: %s", err_msg(&err));
}

void fake_api_delete(struct fake_api *f, const struct resource *r, const char *ns, const char *name,
		     const char *propagation)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client_delete_opts o = { .propagation = propagation, .grace_seconds = -1 };

	if (client_delete(&f->c, r, sv_from(ns), sv_from(name), &o, &err) < 0)
		fail_msg("delete: %s", err_msg(&err));
}

void fake_api_kill(struct fake_api *f, const char *ns, const char *pod)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client_delete_opts o = { .grace_seconds = 0 };

	if (client_delete(&f->c, RES(core_pods), sv_from(ns), sv_from(pod), &o, &err) < 0)
		fail_msg("kill: %s", err_msg(&err));
}
