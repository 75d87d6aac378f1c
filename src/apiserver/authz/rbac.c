#include "apiserver/authz/rbac.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdlib.h>

struct binding_list {
	VEC(struct obj *) bindings; /* owned references */
};

struct rbac {
	pthread_rwlock_t lock;
	struct strmap roles;	/* "ns/name", "/name" for a ClusterRole -> struct obj * */
	struct strmap subjects; /* "ns\tU:name" or "ns\tG:name", ns "" cluster-wide -> struct binding_list * */
};

static void unref(void *o)
{
	obj_unref(o);
}

static void list_free(void *p)
{
	struct binding_list *l = p;

	for (size_t i = 0; i < l->bindings.n; i++)
		obj_unref(l->bindings.p[i]);
	vec_release(&l->bindings);
	free(l);
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
	strmap_release_with(&r->subjects, list_free);
	pthread_rwlock_destroy(&r->lock);
	free(r);
	return NULL;
}

static void role_key(struct buf *b, struct sv ns, struct sv name)
{
	buf_clear(b);
	buf_addsv(b, ns);
	buf_addc(b, '/');
	buf_addsv(b, name);
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

static void bind(struct rbac *r, struct obj *o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(obj_get(o, F_subjects), subject) {
		struct binding_list *l;
		void **slot;

		key_of_subject(&b, obj_ns(o), subject);
		slot = strmap_slot(&r->subjects, buf_sv(&b));
		if (!*slot)
			*slot = xcalloc(1, sizeof(*l));
		l = *slot;
		vec_push(&l->bindings, obj_ref(o));
	}
}

static void unbind(struct rbac *r, struct obj *o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(obj_get(o, F_subjects), subject) {
		struct binding_list *l;

		key_of_subject(&b, obj_ns(o), subject);
		l = strmap_get(&r->subjects, buf_sv(&b));
		for (size_t i = 0; l && i < l->bindings.n; i++) {
			if (!sv_eq(obj_name(l->bindings.p[i]), obj_name(o)))
				continue;
			obj_unref(l->bindings.p[i]);
			vec_remove_swap(&l->bindings, i);
			break;
		}
		if (l && l->bindings.n == 0)
			list_free(strmap_del(&r->subjects, buf_sv(&b)));
	}
}

void rbac_observe(struct rbac *r, const struct resource *res, struct obj *old, struct obj *neu)
{
	struct obj *o = neu ? neu : old;

	pthread_rwlock_wrlock(&r->lock);
	if (res == RES(rbac_roles) || res == RES(rbac_clusterroles)) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		role_key(&b, obj_ns(o), obj_name(o));
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

static int walk_role(struct rbac *r, struct buf *b, const struct obj *binding, struct walk *w)
{
	const struct val *ref = obj_get(binding, F_roleRef);
	struct sv ns = val_is(val_get(ref, F_kind), "Role") ? obj_ns(binding) : SV("");
	const struct obj *role;

	role_key(b, ns, val_get_str(ref, F_name));
	role = strmap_get(&r->roles, buf_sv(b));
	if (!role)
		return 0;
	VAL_EACH(obj_get(role, F_rules), rule)
		if (w->fn(rule, w->ctx))
			return 1;
	return 0;
}

static int walk_subject(struct rbac *r, struct sv ns, char kind, struct sv name, struct walk *w)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct binding_list *l;

	subject_key(&b, ns, kind, name);
	l = strmap_get(&r->subjects, buf_sv(&b));
	w->kind = kind;
	w->ns = ns;
	w->name = name;
	for (size_t i = 0; l && i < l->bindings.n; i++) {
		w->binding = l->bindings.p[i];
		if (walk_role(r, &b, w->binding, w))
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
