/* A request made as somebody else: whom its Impersonate- headers name, and whether its user may be that.
 *
 * There are several ways to be allowed, each asked in turn until one holds (KEP-5284). The constrained ones ask for two
 * rights: to do this as such a one, impersonate-on:MODE:VERB on what is asked for, and to be him, impersonate:MODE on
 * each part of him. Their modes are associated-node (a service account that may be its own Pod's node), arbitrary-node
 * and serviceaccount, which are for names alone, and user-info for everybody else, with uid, groups and extra. The last
 * way is the right impersonate on each part, whatever is done then.
 *
 * Rights, order and words are upstream's. Which way held last for somebody is not remembered: what is asked is in
 * memory, or is remembered where it is not. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz.h"
#include "base/go_quote.h"
#include "object/feature.h"
#include "object/validate.h"

#include <stdlib.h>

#define MANY 4 /* so many parts are asked about as all there may be, first */
#define NODE_NAME_EXTRA "authentication.kubernetes.io/node-name"

static const struct sv auth_group = { "authentication.k8s.io", sizeof("authentication.k8s.io") - 1 };

static const struct sv user_header = { "impersonate-user", 16 }, group_header = { "impersonate-group", 17 },
		       uid_header = { "impersonate-uid", 15 }, extra_header = { "impersonate-extra-", 18 };

/* One of the ways. */
struct as_mode {
	const char *name; /* NULL: legacy */
	bool (*applies)(const struct user_info *wanted, const struct user_info *who);
};

struct as_question {
	struct api_req *q;
	const struct as_mode *mode;
	const struct user_info *wanted;
	struct user_info who; /* as those who decide see him */
	bool whole;	      /* associated-node: asked as for any node */
};

/* --- whom names name --- */

/* "system:serviceaccount:NS:NAME". What cannot be an account is a user who only looks like one: who may be the accounts
 * of a namespace may not be him. */
static bool split_service_account(struct sv user, struct sv *ns, struct sv *name)
{
	static const struct sv prefix = { "system:serviceaccount:", sizeof("system:serviceaccount:") - 1 };

	if (!sv_starts(user, prefix))
		return false;
	*name = sv_sub(user, prefix.n, user.n);
	return sv_split(name, ':', ns) && !fmt_dns_label(*ns) && !fmt_dns_subdomain(*name);
}

static bool split_node(struct sv user, struct sv *name)
{
	static const struct sv prefix = { "system:node:", sizeof("system:node:") - 1 };

	if (!sv_starts(user, prefix))
		return false;
	*name = sv_sub(user, prefix.n, user.n);
	return !fmt_dns_subdomain(*name);
}

static bool name_alone(const struct user_info *u)
{
	return !u->uid.n && !u->n_groups && !u->n_extra;
}

static bool is_associated(const struct user_info *wanted, const struct user_info *who)
{
	struct sv node, ns, name;

	if (!name_alone(wanted) || !split_node(wanted->name, &node) || !split_service_account(who->name, &ns, &name))
		return false;
	for (size_t i = 0; i < who->n_extra; i++)
		if (sv_is(who->extra[i].key, NODE_NAME_EXTRA))
			return who->extra[i].n_values == 1 && sv_eq(who->extra[i].values[0], node);
	return false;
}

static bool is_node(const struct user_info *wanted, const struct user_info *who)
{
	struct sv node;

	(void)who;
	return name_alone(wanted) && split_node(wanted->name, &node);
}

static bool is_account(const struct user_info *wanted, const struct user_info *who)
{
	struct sv ns, name;

	(void)who;
	return name_alone(wanted) && split_service_account(wanted->name, &ns, &name);
}

static bool is_other(const struct user_info *wanted, const struct user_info *who)
{
	struct sv ns, name;

	(void)who;
	return !split_node(wanted->name, &name) && !split_service_account(wanted->name, &ns, &name);
}

static bool is_anybody(const struct user_info *wanted, const struct user_info *who)
{
	(void)wanted;
	(void)who;
	return true;
}

static const struct as_mode as_modes[] = {
	{ "associated-node", is_associated },
	{ "arbitrary-node", is_node },
	{ "serviceaccount", is_account },
	{ "user-info", is_other },
	{ NULL, is_anybody },
};

/* --- questions --- */

static struct authz_attrs as_attrs(const struct as_question *k, struct sv group, const char *resource, struct sv sub,
				   struct sv ns, struct sv name)
{
	return (struct authz_attrs){
		.user = &k->who,
		.verb = k->mode->name ? arena_svf(k->q->arena, "impersonate:%s", k->mode->name) : SV("impersonate"),
		.resource_request = true,
		.group = group,
		.version = SV("v1"),
		.resource = sv_from(resource),
		.subresource = sub,
		.ns = ns,
		.name = k->whole ? SV("*") : name,
	};
}

static int as_may(const struct as_question *k, struct sv group, const char *resource, struct sv sub, struct sv ns,
		  struct sv name, struct err *err)
{
	struct authz_attrs at = as_attrs(k, group, resource, sub, ns, name);

	return authz_require(k->q, &at, err);
}

/* Of users and groups: in the core group as ever, and with the others where rights are constrained. */
static struct sv as_group(const struct as_question *k)
{
	return k->mode->name ? auth_group : SV("");
}

/* What is asked for, done as such a one. */
static int as_on(const struct as_question *k, struct err *err)
{
	struct authz_attrs at;

	if (!k->mode->name)
		return 0;
	pipeline_attrs(k->q, &at);
	at.user = &k->who;
	at.verb = arena_svf(k->q->arena, "impersonate-on:%s:%.*s", k->mode->name, SV_ARG(at.verb));
	return authz_require(k->q, &at, err);
}

static int as_name(const struct as_question *k, struct err *err)
{
	struct sv name = k->wanted->name, ns;

	if (k->mode->name && split_node(k->wanted->name, &name))
		return as_may(k, as_group(k), "nodes", SV(""), SV(""), name, err);
	if (split_service_account(k->wanted->name, &ns, &name))
		return as_may(k, as_group(k), "serviceaccounts", SV(""), ns, name, err);
	return as_may(k, as_group(k), "users", SV(""), SV(""), k->wanted->name, err);
}

static int as_groups(const struct as_question *k, struct err *err)
{
	const struct user_info *w = k->wanted;
	struct authz_attrs at = as_attrs(k, as_group(k), "groups", SV(""), SV(""), SV(""));
	struct err why = ERR_INIT;
	int rc;

	for (size_t i = 0; i < w->n_groups && k->mode->name; i++) {
		if (!w->groups[i].n)
			return authz_refuse(k->q->arena, &at, SV("impersonating the empty string group is not allowed"),
					    err);
		if (sv_is(w->groups[i], "system:masters")) {
			at.name = w->groups[i];
			return authz_refuse(k->q->arena, &at,
					    SV("impersonating the system:masters group is not allowed"), err);
		}
	}
	if (k->mode->name && w->n_groups >= MANY) {
		rc = as_may(k, as_group(k), "groups", SV(""), SV(""), SV("*"), &why);
		err_release(&why);
		if (rc >= 0)
			return rc;
	}
	for (size_t i = 0; i < w->n_groups; i++) {
		rc = as_may(k, as_group(k), "groups", SV(""), SV(""), w->groups[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Why key is no "acme.io/foo"; NULL: it is. *ret_part: what of it is wrong. */
static const char *as_key_wrong(struct sv key, struct sv *ret_part)
{
	struct sv path = key, domain = SV("");

	(void)sv_split(&path, '/', &domain);
	*ret_part = key;
	if (!path.n || !domain.n)
		return "must be a domain-prefixed path (such as \"acme.io/foo\")";
	*ret_part = domain;
	return fmt_dns_subdomain(domain);
}

/* "" when e is fine for a constrained right. */
static struct sv as_extra_wrong(struct arena *a, const struct extra_info *e)
{
	struct sv part;
	const char *why;

	if (!e->key.n)
		return SV("impersonating the empty string key in extra is not allowed");
	why = as_key_wrong(e->key, &part);
	if (why)
		return arena_svf(
		    a, "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: \"%.*s\": %s",
		    SV_ARG(part), why);
	for (size_t i = 0; i < e->key.n; i++)
		if (e->key.p[i] >= 'A' && e->key.p[i] <= 'Z')
			return arena_svf(a, "impersonating a non-lowercase key in extra is not allowed: \"%.*s\"",
					 SV_ARG(e->key));
	for (size_t i = 0; i < e->n_values; i++)
		if (!e->values[i].n)
			return SV("impersonating the empty string value in extra is not allowed");
	return SV("");
}

static int as_extra(const struct as_question *k, struct err *err)
{
	const struct user_info *w = k->wanted;
	struct authz_attrs at = as_attrs(k, auth_group, "userextras", SV(""), SV(""), SV(""));
	struct err why = ERR_INIT;
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < w->n_extra && k->mode->name; i++) {
		struct sv wrong = as_extra_wrong(k->q->arena, &w->extra[i]);

		n += w->extra[i].n_values;
		if (wrong.n)
			return authz_refuse(k->q->arena, &at, wrong, err);
	}
	if (n >= MANY) {
		rc = as_may(k, auth_group, "userextras", SV("*"), SV(""), SV("*"), &why);
		err_release(&why);
		if (rc >= 0)
			return rc;
	}
	for (size_t i = 0; i < w->n_extra; i++)
		for (size_t v = 0; v < w->extra[i].n_values; v++) {
			rc = as_may(k, auth_group, "userextras", w->extra[i].key, SV(""), w->extra[i].values[v], err);
			if (rc)
				return rc;
		}
	return 0;
}

static int as_uid(const struct as_question *k, struct err *err)
{
	return k->wanted->uid.n ? as_may(k, auth_group, "uids", SV(""), SV(""), k->wanted->uid, err) : 0;
}

static int as_by_key(const void *x, const void *y)
{
	return sv_cmp(*(const struct sv *)x, *(const struct sv *)y);
}

/* A Pod's account may be its node wherever it runs: what would tell its Pods apart is not shown to who decides, but for
 * which keys there are. */
static void as_associated(struct as_question *k)
{
	struct arena *a = k->q->arena;
	struct extra_info *only = ARENA_NEW(a, struct extra_info);

	only->key = SV("authentication.kubernetes.io/associated-node-keys");
	only->values = ARENA_ARRAY(a, struct sv, k->who.n_extra);
	for (size_t i = 0; i < k->who.n_extra; i++)
		only->values[only->n_values++] = k->who.extra[i].key;
	qsort(only->values, only->n_values, sizeof(*only->values), as_by_key);
	k->who.extra = only;
	k->who.n_extra = 1;
}

static int as_check(struct as_question *k, struct err *err)
{
	static int (*const parts[])(const struct as_question *k, struct err *err) = { as_name, as_uid, as_groups,
										      as_extra };
	bool associated = k->mode->applies == is_associated;
	int rc;

	if (associated)
		as_associated(k);
	rc = as_on(k, err);
	k->whole = associated;
	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == 0; i++)
		rc = parts[i](k, err);
	return rc;
}

/* Any of the ways; the first no is what is told. */
static int as_any(struct api_req *q, const struct user_info *wanted, const struct as_mode **ret, struct err *err)
{
	bool constrained = feature_on(FG_ConstrainedImpersonation);
	struct err first = ERR_INIT;
	int rc = -1;

	for (size_t i = 0; i < ARRAY_LEN(as_modes) && rc < 0; i++) {
		struct as_question k = { .q = q, .mode = &as_modes[i], .wanted = wanted, .who = q->user };
		struct err why = ERR_INIT;

		if ((k.mode->name && !constrained) || !k.mode->applies(wanted, &q->user))
			continue;
		rc = as_check(&k, &why);
		*ret = k.mode;
		if (first.reason == ERR_NONE)
			(void)err_move(&first, &why);
		else
			err_release(&why);
	}
	if (rc < 0)
		return err_move(err, &first);
	err_release(&first);
	return rc;
}

/* --- headers --- */

static struct sv extra_key(struct api_req *q, struct sv header)
{
	return http_percent_decode(q->arena, sv_sub(header, extra_header.n, header.n), false);
}

/* As upstream printed its list of it before there were constrained rights. Returns 0 when nothing is asked for. */
static int impersonates_nobody_legacy(struct api_req *q, struct err *err)
{
	static const char v1[] = "authentication.k8s.io/v1";
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (sv_eq(h->name, group_header))
			buf_printf(&b, " {Group  %.*s    }", SV_ARG(h->value));
		else if (sv_eq(h->name, uid_header) && h->value.n)
			buf_printf(&b, " {UID  %.*s  %s  }", SV_ARG(h->value), v1);
		else if (sv_starts(h->name, extra_header))
			buf_printf(&b, " {UserExtra  %.*s  %s  %.*s}", SV_ARG(h->value), v1,
				   SV_ARG(extra_key(q, h->name)));
	}
	if (!buf_sv(&b).n)
		return 0;
	return err_set(err, ERR_INTERNAL, "requested [%s] without impersonating a user", buf_cstr(&b) + 1);
}

/* ["a", "b"], as Go prints a list with its type. */
static void print_list(struct buf *b, const struct sv *list, size_t n)
{
	buf_adds(b, n ? "[]string{" : "[]string(nil)");
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? ", " : "");
		go_quote(b, list[i]);
	}
	buf_adds(b, n ? "}" : "");
}

/* What is asked for without saying as whom. Returns 0 when that is nothing. */
static int impersonates_nobody(struct api_req *q, const struct user_info *w, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!feature_on(FG_ConstrainedImpersonation))
		return impersonates_nobody_legacy(q, err);
	if (name_alone(w))
		return 0;
	buf_adds(&b, "&user.DefaultInfo{Name:\"\", UID:");
	go_quote(&b, w->uid);
	buf_adds(&b, ", Groups:");
	print_list(&b, w->groups, w->n_groups);
	buf_adds(&b, w->n_extra ? ", Extra:map[string][]string{" : ", Extra:map[string][]string(nil)");
	for (size_t i = 0; i < w->n_extra; i++) {
		buf_adds(&b, i ? ", " : "");
		go_quote(&b, w->extra[i].key);
		buf_addc(&b, ':');
		print_list(&b, w->extra[i].values, w->extra[i].n_values);
	}
	buf_adds(&b, w->n_extra ? "}}" : "}");
	return err_set(err, ERR_BAD_REQUEST, "requested %s without impersonating a user name", buf_cstr(&b));
}

/* Whom the headers name, as they do; false: there are none. */
static bool wanted_read(struct api_req *q, struct user_info *w)
{
	size_t max = 0;

	if (!q->http)
		return false;
	for (size_t i = 0; i < q->http->n_headers; i++)
		max += sv_starts(q->http->headers[i].name, SV("impersonate-"));
	if (!max)
		return false;
	/* Of several the first: what a proxy in front of us set must not be replaced by what a client added. */
	*w = (struct user_info){ .name = http_header_get(q->http, user_header.p),
				 .uid = http_header_get(q->http, uid_header.p),
				 .groups = ARENA_ARRAY(q->arena, struct sv, max + 4) };
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (sv_eq(h->name, group_header))
			w->groups[w->n_groups++] = h->value;
		else if (sv_starts(h->name, extra_header))
			user_add_extra(q->arena, w, extra_key(q, h->name), h->value);
	}
	return true;
}

/* What he is besides: groups that go with a name, in room that wanted_read() left. */
static void wanted_complete(struct api_req *q, struct user_info *u, const struct as_mode *mode)
{
	struct sv ns, name;

	if (mode->name && split_node(u->name, &name))
		u->groups[u->n_groups++] = SV("system:nodes");
	if (!u->n_groups && split_service_account(u->name, &ns, &name)) {
		u->groups[u->n_groups++] = SV("system:serviceaccounts");
		u->groups[u->n_groups++] = arena_svf(q->arena, "system:serviceaccounts:%.*s", SV_ARG(ns));
	}
	if (sv_is(u->name, "system:anonymous") && !user_in_group(u, SV("system:unauthenticated")))
		u->groups[u->n_groups++] = SV("system:unauthenticated");
	user_is_authenticated(u);
}

/* Asked again from the beginning when one of its questions had to wait: what it makes is u, until the last. */
int pipeline_impersonate(struct api_req *q, struct err *err)
{
	const struct as_mode *mode = NULL;
	struct user_info u;
	int rc;

	if (!wanted_read(q, &u))
		return 0;
	if (!u.name.n)
		return impersonates_nobody(q, &u, err);
	rc = as_any(q, &u, &mode, err);
	if (rc)
		return rc;
	u.expires_ns = q->user.expires_ns;
	wanted_complete(q, &u, mode);
	if (q->audit && mode->name)
		audit_constraint(q, arena_svf(q->arena, "impersonate:%s", mode->name));
	q->user = u;
	return 0;
}
