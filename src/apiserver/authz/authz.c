#include "apiserver/authz.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node.h"
#include "apiserver/authz/rbac.h"
#include "apiserver/bootstrap/bootstrap.h"
#include "apiserver/watchcache.h"
#include "base/buf.h"
#include "base/vec.h"
#include "codec/json.h"

#include <stdlib.h>

bool authz_allowed(struct apiserver *s, struct arena *a, const struct authz_attrs *at, struct sv *ret_reason)
{
	struct sv node;

	*ret_reason = SV("");
	if (user_in_group(at->user, SV("system:masters")))
		return true;
	node = node_identity(at->user);
	if (node.p && node_allowed(s, node, at, a, ret_reason))
		return true;
	return rbac_allowed(s->authz->rbac, at, at->explain ? a : NULL, ret_reason);
}

struct sv authz_selected_name(const struct field_selector *fields)
{
	for (size_t i = 0; fields && i < fields->n; i++) {
		struct sv name = fields->terms[i].value;

		if (fields->terms[i].negated || !sv_is(fields->terms[i].label, "metadata.name"))
			continue;
		if (!name.n || sv_is(name, ".") || sv_is(name, "..") || sv_find(name, '/') >= 0 ||
		    sv_find(name, '%') >= 0)
			return SV_NULL;
		return name;
	}
	return SV_NULL;
}

int authz_forbidden(struct arena *a, const struct authz_attrs *at, struct sv reason, struct err *err)
{
	const char *colon = reason.n ? ": " : "";

	if (!at->resource_request) {
		err_set(err, ERR_FORBIDDEN, "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"%s%.*s",
			SV_ARG(at->user->name), SV_ARG(at->verb), SV_ARG(at->path), colon, SV_ARG(reason));
		return -1;
	}

	/* What the sentence is about is the object, also where something of it was asked for: `pods "p"`. */
	struct sv subject =
	    at->group.n ? arena_svf(a, "%.*s.%.*s", SV_ARG(at->resource), SV_ARG(at->group)) : at->resource;
	if (at->name.n)
		subject = arena_svf(a, "%.*s \"%.*s\"", SV_ARG(subject), SV_ARG(at->name));

	struct sv where =
	    at->ns.n ? arena_svf(a, "in the namespace \"%.*s\"", SV_ARG(at->ns)) : SV("at the cluster scope");
	struct sv what =
	    at->subresource.n ? arena_svf(a, "%.*s/%.*s", SV_ARG(at->resource), SV_ARG(at->subresource)) : at->resource;

	err_set(err, ERR_FORBIDDEN,
		"%.*s is forbidden: User \"%.*s\" cannot %.*s resource \"%.*s\" in API group \"%.*s\" %.*s%s%.*s",
		SV_ARG(subject), SV_ARG(at->user->name), SV_ARG(at->verb), SV_ARG(what), SV_ARG(at->group),
		SV_ARG(where), colon, SV_ARG(reason));
	return err_set_object(err, at->group, at->resource, at->name);
}

/* --- what may I do --- */

struct collect {
	struct arena *a;
	struct val *resources, *urls;
};

static int collect_rule(const struct val *rule, void *ctx)
{
	static const enum sym copied[] = { F_verbs, F_apiGroups, F_resources, F_resourceNames, F_nonResourceURLs };
	struct collect *c = ctx;
	bool url = val_len(val_get(rule, F_nonResourceURLs)) > 0;
	struct val *out = val_new_map(c->a);

	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct val *v = val_get(rule, copied[i]);

		if (v)
			val_set(c->a, out, copied[i], val_clone(c->a, v));
	}
	val_push(c->a, url ? c->urls : c->resources, out);
	return 0;
}

struct val *authz_rules(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns)
{
	struct collect c = { .a = a, .resources = val_new_list(a), .urls = val_new_list(a) };
	struct val *status = val_new_map(a);
	bool node = node_identity(u).p != NULL;

	if (user_in_group(u, SV("system:masters"))) {
		struct val *all = val_new_map(a), *star = val_new_list(a);

		val_push(a, star, val_new_str_ref(a, SV("*")));
		val_set(a, all, F_verbs, star);
		val_set(a, all, F_apiGroups, star);
		val_set(a, all, F_resources, star);
		val_push(a, c.resources, all);
		all = val_new_map(a);
		val_set(a, all, F_verbs, star);
		val_set(a, all, F_nonResourceURLs, star);
		val_push(a, c.urls, all);
	}
	rbac_each_rule(s->authz->rbac, u, ns, collect_rule, &c);
	val_set(a, status, F_resourceRules, c.resources);
	val_set(a, status, F_nonResourceRules, c.urls);
	val_set_bool(a, status, F_incomplete, node);
	if (node)
		val_set_cstr(a, status, F_evaluationError, "node authorizer does not support user rule resolution");
	return status;
}

/* --- escalation: does somebody hold every right that a rule gives? --- */

/* One indivisible right: one verb on one resource (and name), or on one URL. */
struct right {
	struct sv verb, group, resource, name, url;
	bool held;
};

struct rights {
	struct arena *a;
	VEC(struct right) list;
};

static bool has(const struct val *list, struct sv s)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), s) || val_is(v, "*"))
			return true;
	return false;
}

static bool resource_covers(const struct val *list, struct sv wanted)
{
	ssize_t slash = sv_find(wanted, '/');

	VAL_EACH(list, v) {
		struct sv s = val_str(v);

		if (sv_is(s, "*") || sv_eq(s, wanted))
			return true;
		if (slash >= 0 && sv_starts(s, SV("*/")) &&
		    sv_eq(sv_sub(s, 1, s.n), sv_sub(wanted, (size_t)slash, wanted.n)))
			return true;
	}
	return false;
}

static bool url_covers(const struct val *list, struct sv wanted)
{
	VAL_EACH(list, v) {
		struct sv s = val_str(v);

		if (sv_eq(s, wanted) || sv_is(s, "*") ||
		    (sv_ends(s, SV("*")) && sv_starts(wanted, sv_sub(s, 0, s.n - 1))))
			return true;
	}
	return false;
}

/* A small Role spells the product of its lists, and each is compared with all that is held and, to be named, with all
 * that is missing. The largest of the built-in roles spells some 1,000. */
#define RIGHTS_MAX ((size_t)16 * 1024)

static int mark_held(const struct val *rule, void *ctx)
{
	struct rights *rs = ctx;
	const struct val *names = val_get(rule, F_resourceNames);

	for (size_t i = 0; i < rs->list.n; i++) {
		struct right *r = &rs->list.p[i];

		if (r->held || !has(val_get(rule, F_verbs), r->verb))
			continue;
		if (r->url.n)
			r->held = url_covers(val_get(rule, F_nonResourceURLs), r->url);
		else
			r->held = has(val_get(rule, F_apiGroups), r->group) &&
				  resource_covers(val_get(rule, F_resources), r->resource) &&
				  (val_len(names) == 0 || (r->name.n && has(names, r->name)));
	}
	return 0;
}

/* At most RIGHTS_MAX + 1, which stands for all that is too many. */
static size_t rights_capped(size_t n)
{
	return MIN(n, RIGHTS_MAX + 1);
}

static size_t rights_times(size_t n, size_t by)
{
	return rights_capped(rights_capped(n) * rights_capped(by));
}

/* How many rights a rule spells: the product of its lists. */
static size_t rights_of(const struct val *rule)
{
	size_t names = val_len(val_get(rule, F_resourceNames));
	size_t things = rights_times(val_len(val_get(rule, F_apiGroups)), val_len(val_get(rule, F_resources)));

	things = rights_times(things, names ? names : 1) + rights_capped(val_len(val_get(rule, F_nonResourceURLs)));
	return rights_times(things, val_len(val_get(rule, F_verbs)));
}

static void split_rule(struct rights *rs, const struct val *rule)
{
	const struct val *names = val_get(rule, F_resourceNames);

	VAL_EACH(val_get(rule, F_verbs), verb) {
		VAL_EACH(val_get(rule, F_nonResourceURLs), url)
			vec_push(&rs->list, ((struct right){ .verb = val_str(verb), .url = val_str(url) }));
		VAL_EACH(val_get(rule, F_apiGroups), group)
			VAL_EACH(val_get(rule, F_resources), resource) {
				struct right r = { .verb = val_str(verb),
						   .group = val_str(group),
						   .resource = val_str(resource) };

				if (val_len(names) == 0)
					vec_push(&rs->list, r);
				VAL_EACH(names, name) {
					r.name = val_str(name);
					vec_push(&rs->list, r);
				}
			}
	}
}

static bool same_thing(const struct right *x, const struct right *y)
{
	return sv_eq(x->url, y->url) && sv_eq(x->group, y->group) && sv_eq(x->resource, y->resource) &&
	       sv_eq(x->name, y->name);
}

/* One line: the i-th right and all others that are missing on the same thing, by upstream's notation. */
static struct sv missing_line(struct rights *rs, size_t i)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct right *first = &rs->list.p[i];
	const char *sep = "";

	if (first->url.n) {
		buf_printf(&b, "{NonResourceURLs:[\"%.*s\"]", SV_ARG(first->url));
	} else {
		buf_printf(&b, "{APIGroups:[\"%.*s\"], Resources:[\"%.*s\"]", SV_ARG(first->group),
			   SV_ARG(first->resource));
		if (first->name.n)
			buf_printf(&b, ", ResourceNames:[\"%.*s\"]", SV_ARG(first->name));
	}
	buf_adds(&b, ", Verbs:[");
	for (size_t k = i; k < rs->list.n; k++) {
		struct right *r = &rs->list.p[k];

		if (r->held || !same_thing(first, r))
			continue;
		buf_printf(&b, "%s\"%.*s\"", sep, SV_ARG(r->verb));
		sep = " ";
		r->held = true; /* said */
	}
	buf_adds(&b, "]}");
	return arena_sv(rs->a, buf_sv(&b));
}

static int by_text(const void *x, const void *y)
{
	return sv_cmp(*(const struct sv *)x, *(const struct sv *)y);
}

int authz_covers(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns, const struct val *rules,
		 struct err *err)
{
	_cleanup_(buf_release) struct buf missing = { .limit = 16 * 1024 };
	struct rights rs = { .a = a };
	struct sv *lines;
	size_t n = 0, total = 0;

	if (user_in_group(u, SV("system:masters")))
		return 0;
	VAL_EACH(rules, rule)
		total = rights_capped(total + rights_of(rule));
	if (total > RIGHTS_MAX)
		return err_set(
		    err, ERR_FORBIDDEN,
		    "user \"%.*s\" is attempting to grant more than %zu RBAC permissions at once, too many to "
		    "compare with those held: use several roles, or fewer verbs, resources and names in each",
		    SV_ARG(u->name), RIGHTS_MAX);
	VAL_EACH(rules, rule)
		split_rule(&rs, rule);
	rbac_each_rule(s->authz->rbac, u, ns, mark_held, &rs);
	lines = ARENA_ARRAY(a, struct sv, rs.list.n + 1);
	for (size_t i = 0; i < rs.list.n; i++)
		if (!rs.list.p[i].held)
			lines[n++] = missing_line(&rs, i);
	vec_release(&rs.list);
	if (!n)
		return 0;
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++)
		buf_printf(&missing, "\n%.*s", SV_ARG(lines[i]));

	_cleanup_(buf_release) struct buf groups = BUF_INIT;

	for (size_t i = 0; i < u->n_groups; i++)
		buf_printf(&groups, "%s\"%.*s\"", i ? " " : "", SV_ARG(u->groups[i]));
	return err_set(err, ERR_FORBIDDEN,
		       "user \"%.*s\" (groups=[%s]) is attempting to grant RBAC permissions not currently held:%s",
		       SV_ARG(u->name), buf_cstr(&groups), buf_cstr(&missing));
}

/* --- life --- */

void authz_observe_use(struct apiserver *s, const struct resource *r, struct obj *old, struct obj *now)
{
	if (s->authz)
		node_graph_observe(s->authz->nodes, r, old, now);
}

static int load_object(struct obj *o, void *ctx)
{
	const struct resource *r = resource_find_kind(SV("rbac.authorization.k8s.io"), SV("v1"),
						      obj_get(o, F_kind) ? val_str(obj_get(o, F_kind)) : SV(""));

	rbac_observe(ctx, r, NULL, o);
	return 0;
}

/* The rights of every node are those the program was built with, whatever becomes of the ClusterRole. */
static int authz_node_rules(struct authz *z, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *list = json_decode(&a, sv_from(rbac_policy_json), NULL, err);

	if (!list)
		return err_wrap(err, "reading the built-in RBAC policy");
	VAL_EACH(list, o)
		if (val_is(val_get(o, F_kind), "ClusterRole") && val_is(val_get(o, F_metadata, F_name), "system:node"))
			z->node_rules = val_clone(&z->arena, val_get(o, F_rules));
	BUG_ON(!z->node_rules);
	return 0;
}

int authz_start(struct apiserver *s, struct err *err)
{
	const struct resource *const kinds[] = { RES(rbac_roles), RES(rbac_clusterroles), RES(rbac_rolebindings),
						 RES(rbac_clusterrolebindings) };

	s->authz = xcalloc(1, sizeof(*s->authz));
	s->authz->rbac = rbac_new();
	s->authz->nodes = node_graph_new();
	s->authz->tokens = token_cache_new();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		wc_each(s->wc, kinds[i], SV(""), load_object, s->authz->rbac);
	if (s->o.token_auth_file && !(s->authz->static_tokens = token_file_read(s->o.token_auth_file, err)))
		return -1;
	return authz_node_rules(s->authz, err);
}

void authz_free(struct apiserver *s)
{
	if (!s->authz)
		return;
	rbac_free(s->authz->rbac);
	node_graph_free(s->authz->nodes);
	arena_release(&s->authz->arena);
	token_cache_free(s->authz->tokens);
	token_file_free(s->authz->static_tokens);
	free(s->authz);
	s->authz = NULL;
}
