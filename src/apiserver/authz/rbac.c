/* What users write here is of any size: a binding may name one subject ten thousand times, and a subject be named by
 * ten thousand bindings. So a subject knows each role once, with the bindings that give it by name: taking one away
 * searches nothing, and a question passes once over the rules of each role. */
#include "apiserver/authz/rbac.h"
#include "base/buf.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

/* One role that a subject has. */
struct given {
	struct strmap bindings; /* name -> struct obj *, an owned reference; never empty */
};

/* The roles of one subject. */
struct holder {
	struct strmap roles; /* key of the role -> struct given *; never empty */
};

struct rbac {
	pthread_rwlock_t lock;
	struct strmap roles;	/* "ns/name", "/name" for a ClusterRole -> struct obj * */
	struct strmap subjects; /* "ns\tU:name" or "ns\tG:name", ns "" cluster-wide -> struct holder * */
};

static void unref(void *o)
{
	obj_unref(o);
}

static void given_free(void *p)
{
	struct given *g = p;

	strmap_release_with(&g->bindings, unref);
	free(g);
}

static void holder_free(void *p)
{
	struct holder *h = p;

	strmap_release_with(&h->roles, given_free);
	free(h);
}

struct rbac *rbac_new(void)
{
	struct rbac *r = xcalloc(1, sizeof(*r));

	pthread_rwlock_init(&r->lock, NULL);
	return r;
}

struct rbac *rbac_free(struct rbac *r)
{
	if (!r)
		return NULL;
	strmap_release_with(&r->roles, unref);
	strmap_release_with(&r->subjects, holder_free);
	pthread_rwlock_destroy(&r->lock);
	free(r);
	return NULL;
}

static void subject_key(struct buf *b, struct sv ns, char kind, struct sv name)
{
	buf_clear(b);
	buf_addsv(b, ns);
	buf_addc(b, '\t');
	buf_addc(b, kind);
	buf_addc(b, ':');
	buf_addsv(b, name);
}

/* A ServiceAccount subject is the user it authenticates as. */
static void key_of_subject(struct buf *b, struct sv ns, const struct val *subject)
{
	struct sv name = val_get_str(subject, F_name);

	if (val_is(val_get(subject, F_kind), "Group")) {
		subject_key(b, ns, 'G', name);
	} else if (val_is(val_get(subject, F_kind), "ServiceAccount")) {
		struct sv sa_ns = val_get_str(subject, F_namespace);

		subject_key(b, ns, 'U', SV("system:serviceaccount:"));
		buf_addsv(b, sa_ns);
		buf_addc(b, ':');
		buf_addsv(b, name);
	} else {
		subject_key(b, ns, 'U', name);
	}
}

/* The role that a binding gives. */
static void key_of_role(struct buf *b, const struct obj *binding)
{
	const struct val *ref = obj_get(binding, F_roleRef);

	(void)obj_path(b, val_is(val_get(ref, F_kind), "Role") ? obj_ns(binding) : SV(""), val_get_str(ref, F_name));
}

static void bind(struct rbac *r, struct obj *o)
{
	_cleanup_(buf_release) struct buf who = BUF_INIT, role = BUF_INIT;

	key_of_role(&role, o);
	VAL_EACH(obj_get(o, F_subjects), subject) {
		void **holder, **given;

		key_of_subject(&who, obj_ns(o), subject);
		holder = strmap_slot(&r->subjects, buf_sv(&who));
		if (!*holder)
			*holder = xcalloc(1, sizeof(struct holder));
		given = strmap_slot(&((struct holder *)*holder)->roles, buf_sv(&role));
		if (!*given)
			*given = xcalloc(1, sizeof(struct given));
		obj_unref(strmap_set(&((struct given *)*given)->bindings, obj_name(o), obj_ref(o)));
	}
}

static void unbind(struct rbac *r, struct obj *o)
{
	_cleanup_(buf_release) struct buf who = BUF_INIT, role = BUF_INIT;

	key_of_role(&role, o);
	VAL_EACH(obj_get(o, F_subjects), subject) {
		struct holder *h;
		struct given *g;

		key_of_subject(&who, obj_ns(o), subject);
		h = strmap_get(&r->subjects, buf_sv(&who));
		g = h ? strmap_get(&h->roles, buf_sv(&role)) : NULL;
		if (!g)
			continue; /* named before, and gone with that */
		obj_unref(strmap_del(&g->bindings, obj_name(o)));
		if (g->bindings.n == 0)
			given_free(strmap_del(&h->roles, buf_sv(&role)));
		if (h->roles.n == 0)
			holder_free(strmap_del(&r->subjects, buf_sv(&who)));
	}
}

void rbac_observe(struct rbac *r, const struct resource *res, struct obj *old, struct obj *neu)
{
	struct obj *o = neu ? neu : old;

	pthread_rwlock_wrlock(&r->lock);
	if (res == RES(rbac_roles) || res == RES(rbac_clusterroles)) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		(void)obj_path(&b, obj_ns(o), obj_name(o));
		obj_unref(neu ? strmap_set(&r->roles, buf_sv(&b), obj_ref(neu)) : strmap_del(&r->roles, buf_sv(&b)));
	} else {
		if (old)
			unbind(r, old);
		if (neu)
			bind(r, neu);
	}
	pthread_rwlock_unlock(&r->lock);
}

static bool list_has(const struct val *list, struct sv s)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), s))
			return true;
	return false;
}

static bool list_has_or_star(const struct val *list, struct sv s)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), s) || val_is(v, "*"))
			return true;
	return false;
}

/* "pods", "pods/log", "*", and "*" followed by "/log" for one subresource of everything. */
static bool resource_matches(const struct val *list, struct sv resource, struct sv sub)
{
	VAL_EACH(list, v) {
		struct sv s = val_str(v);

		if (sv_is(s, "*"))
			return true;
		if (sub.n == 0) {
			if (sv_eq(s, resource))
				return true;
			continue;
		}
		if (s.n > sub.n + 1 && sv_ends(s, sub) && s.p[s.n - sub.n - 1] == '/') {
			struct sv head = sv_sub(s, 0, s.n - sub.n - 1);

			if (sv_eq(head, resource) || sv_is(head, "*"))
				return true;
		}
	}
	return false;
}

static bool url_matches(const struct val *list, struct sv path)
{
	VAL_EACH(list, v) {
		struct sv s = val_str(v);

		if (sv_is(s, "*") || sv_eq(s, path))
			return true;
		if (sv_ends(s, SV("*")) && sv_starts(path, sv_sub(s, 0, s.n - 1)))
			return true;
	}
	return false;
}

static bool rule_allows(const struct val *rule, const struct authz_attrs *at)
{
	const struct val *names;

	if (!list_has_or_star(val_get(rule, F_verbs), at->verb))
		return false;
	if (!at->resource_request)
		return url_matches(val_get(rule, F_nonResourceURLs), at->path);
	if (!list_has_or_star(val_get(rule, F_apiGroups), at->group) ||
	    !resource_matches(val_get(rule, F_resources), at->resource, at->subresource))
		return false;
	names = val_get(rule, F_resourceNames);
	return val_len(names) == 0 || list_has(names, at->name);
}

struct walk {
	int (*fn)(const struct val *rule, void *ctx);
	void *ctx;
	/* Where it is, or stopped. */
	const struct obj *binding;
	char kind;
	struct sv ns, name;
};

static int walk_subject(struct rbac *r, struct sv ns, char kind, struct sv name, struct walk *w)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct holder *h;

	subject_key(&b, ns, kind, name);
	h = strmap_get(&r->subjects, buf_sv(&b));
	if (!h)
		return 0;
	w->kind = kind;
	w->ns = ns;
	w->name = name;
	STRMAP_EACH(&h->roles, e) {
		const struct given *g = e->value;
		const struct obj *role = strmap_get(&r->roles, sv_make(e->key, e->key_n));

		if (!role)
			continue;
		w->binding = strmap_next(&g->bindings, NULL)->value;
		VAL_EACH(obj_get(role, F_rules), rule)
			if (w->fn(rule, w->ctx))
				return 1;
	}
	return 0;
}

static int walk_scope(struct rbac *r, const struct user_info *u, struct sv ns, struct walk *w)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (walk_subject(r, ns, 'G', u->groups[i], w))
			return 1;
	return walk_subject(r, ns, 'U', u->name, w);
}

static void walk_all(struct rbac *r, const struct user_info *u, struct sv ns, struct walk *w)
{
	if (!walk_scope(r, u, SV(""), w) && ns.n)
		walk_scope(r, u, ns, w);
}

void rbac_each_rule(struct rbac *r, const struct user_info *u, struct sv ns,
		    int (*fn)(const struct val *rule, void *ctx), void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx };

	pthread_rwlock_rdlock(&r->lock);
	walk_all(r, u, ns, &w);
	pthread_rwlock_unlock(&r->lock);
}

struct question {
	const struct authz_attrs *at;
	bool yes;
};

static int ask(const struct val *rule, void *ctx)
{
	struct question *q = ctx;

	q->yes = rule_allows(rule, q->at);
	return q->yes;
}

/* `RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "u"`, of where the walk stopped. */
static struct sv allowed_by(struct arena *a, const struct walk *w)
{
	_cleanup_(buf_release) struct buf wanted = BUF_INIT, have = BUF_INIT;
	const struct val *ref = obj_get(w->binding, F_roleRef), *subject = NULL;
	struct sv ns = obj_ns(w->binding), name = obj_name(w->binding), who;

	subject_key(&wanted, w->ns, w->kind, w->name);
	VAL_EACH(obj_get(w->binding, F_subjects), s) {
		key_of_subject(&have, ns, s);
		if (!subject && sv_eq(buf_sv(&have), buf_sv(&wanted)))
			subject = s;
	}
	who = val_get_str(subject, F_name);
	if (val_is(val_get(subject, F_kind), "ServiceAccount"))
		who = arena_svf(a, "%.*s/%.*s", SV_ARG(who), SV_ARG(val_get_str(subject, F_namespace)));
	if (ns.n)
		name = arena_svf(a, "%.*s/%.*s", SV_ARG(name), SV_ARG(ns));
	return arena_svf(a, "RBAC: allowed by %s \"%.*s\" of %.*s \"%.*s\" to %.*s \"%.*s\"",
			 ns.n ? "RoleBinding" : "ClusterRoleBinding", SV_ARG(name), SV_ARG(val_get_str(ref, F_kind)),
			 SV_ARG(val_get_str(ref, F_name)), SV_ARG(val_get_str(subject, F_kind)), SV_ARG(who));
}

bool rbac_allowed(struct rbac *r, const struct authz_attrs *at, struct arena *a, struct sv *ret_why)
{
	struct question q = { .at = at };
	struct walk w = { .fn = ask, .ctx = &q };

	pthread_rwlock_rdlock(&r->lock);
	walk_all(r, at->user, at->resource_request ? at->ns : SV(""), &w);
	if (q.yes && a)
		*ret_why = allowed_by(a, &w);
	pthread_rwlock_unlock(&r->lock);
	return q.yes;
}

bool rbac_rules_allow(const struct val *rules, const struct authz_attrs *at)
{
	VAL_EACH(rules, rule)
		if (rule_allows(rule, at))
			return true;
	return false;
}
