/* A request made as somebody else: whom its Impersonate- headers name, and whether its user may be that. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz.h"
#include "object/validate.h"

static int may_impersonate(struct api_req *q, struct sv group, struct sv resource, struct sv sub, struct sv ns,
			   struct sv name, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = SV("impersonate"),
		.resource_request = true,
		.group = group,
		.version = SV("v1"),
		.resource = resource,
		.subresource = sub,
		.ns = ns,
		.name = name,
	};

	return authz_require(q, &at, err);
}

static const struct sv auth_group = { "authentication.k8s.io", sizeof("authentication.k8s.io") - 1 };

static int impersonate_add_extra(struct api_req *q, struct user_info *u, struct sv key, struct sv value,
				 struct err *err)
{
	int rc = may_impersonate(q, auth_group, SV("userextras"), key, SV(""), value, err);

	if (rc)
		return rc;
	user_add_extra(q->arena, u, key, value);
	return 0;
}

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

static const struct sv user_header = { "impersonate-user", 16 }, group_header = { "impersonate-group", 17 },
		       uid_header = { "impersonate-uid", 15 }, extra_header = { "impersonate-extra-", 18 };

static struct sv extra_key(struct api_req *q, struct sv header)
{
	return http_percent_decode(q->arena, sv_sub(header, extra_header.n, header.n), false);
}

/* What is asked for without saying as whom, as upstream prints its list of it. Returns 0 when that is nothing. */
static int impersonates_nobody(struct api_req *q, struct err *err)
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

/* Asked again from the beginning when one of its questions had to wait: what it makes is u, until the last. */
int pipeline_impersonate(struct api_req *q, struct err *err)
{
	struct user_info u = { 0 };
	struct sv ns, name;
	size_t max = 0;
	bool account;
	int rc;

	if (!q->http)
		return 0;
	for (size_t i = 0; i < q->http->n_headers; i++)
		max += sv_starts(q->http->headers[i].name, SV("impersonate-"));
	if (!max)
		return 0;
	/* Of several the first: what a proxy in front of us set must not be replaced by what a client added. */
	u.name = http_header_get(q->http, user_header.p);
	u.uid = http_header_get(q->http, uid_header.p);
	if (!u.name.n)
		return impersonates_nobody(q, err);
	u.expires_ns = q->user.expires_ns;
	u.groups = ARENA_ARRAY(q->arena, struct sv, max + 4);
	account = split_service_account(u.name, &ns, &name);
	rc = may_impersonate(q, SV(""), account ? SV("serviceaccounts") : SV("users"), SV(""), account ? ns : SV(""),
			     account ? name : u.name, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (!sv_eq(h->name, group_header))
			continue;
		u.groups[u.n_groups++] = h->value;
		rc = may_impersonate(q, SV(""), SV("groups"), SV(""), SV(""), h->value, err);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (!sv_starts(h->name, extra_header))
			continue;
		rc = impersonate_add_extra(q, &u, extra_key(q, h->name), h->value, err);
		if (rc)
			return rc;
	}
	rc = u.uid.n ? may_impersonate(q, auth_group, SV("uids"), SV(""), SV(""), u.uid, err) : 0;
	if (rc)
		return rc;
	if (account && !u.n_groups) {
		u.groups[u.n_groups++] = SV("system:serviceaccounts");
		u.groups[u.n_groups++] = arena_svf(q->arena, "system:serviceaccounts:%.*s", SV_ARG(ns));
	}
	if (sv_is(u.name, "system:anonymous") && !user_in_group(&u, SV("system:unauthenticated")))
		u.groups[u.n_groups++] = SV("system:unauthenticated");
	user_is_authenticated(&u);
	q->user = u;
	return 0;
}
