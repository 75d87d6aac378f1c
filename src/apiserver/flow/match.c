/* Which schema a request comes by: the first that has a rule for it, and what tells its flows apart. */
#include "apiserver/flow/flow-internal.h"

static bool match_name(const struct flow_names *n, struct sv v)
{
	if (n->any)
		return true;
	for (size_t i = 0; i < n->n; i++)
		if (sv_eq(n->p[i], v))
			return true;
	return false;
}

/* With its subresource, without copying the two together. */
static bool match_resource(const struct flow_names *n, const struct api_req *q)
{
	struct sv plural = q->plural.n || !q->res ? q->plural : sv_from(q->res->plural);

	if (n->any || !q->subresource.n)
		return n->any || match_name(n, plural);
	for (size_t i = 0; i < n->n; i++) {
		struct sv have = n->p[i];

		if (have.n == plural.n + 1 + q->subresource.n && sv_starts(have, plural) && have.p[plural.n] == '/' &&
		    sv_eq(sv_sub(have, plural.n + 1, have.n), q->subresource))
			return true;
	}
	return false;
}

/* A path, or what lies below one: with or without a star at its end. */
static bool match_url(const struct flow_names *n, struct sv path)
{
	if (n->any)
		return true;
	for (size_t i = 0; i < n->n; i++) {
		struct sv url = n->p[i];

		if (sv_eq(url, path))
			return true;
		if (url.n && url.p[url.n - 1] == '*')
			url.n--;
		if (url.n && url.p[url.n - 1] == '/')
			url.n--;
		if (sv_starts(path, url) && path.n > url.n && path.p[url.n] == '/')
			return true;
	}
	return false;
}

static bool subject_is(const struct flow_subject *s, const struct user_info *u)
{
	switch (s->kind) {
	case FLOW_USER:
		return s->any || sv_eq(s->name, u->name);
	case FLOW_GROUP:
		return s->any || user_in_group(u, s->name);
	case FLOW_ACCOUNT:
		return s->any ? sv_starts(u->name, s->name) : sv_eq(u->name, s->name);
	}
	return false;
}

static bool target_is(const struct flow_target *t, const struct api_req *q, struct sv verb)
{
	struct sv group = q->res ? sv_from(q->res->group) : q->group;

	if (!match_name(&t->verbs, verb))
		return false;
	if (!q->resource_request)
		return match_url(&t->urls, q->path);
	if (!match_resource(&t->resources, q) || !match_name(&t->groups, group))
		return false;
	return q->ns.n ? match_name(&t->namespaces, q->ns) : t->cluster;
}

static bool rule_is(const struct flow_rule *r, const struct api_req *q, struct sv verb)
{
	const struct flow_target *t = q->resource_request ? r->resources : r->paths;
	size_t n = q->resource_request ? r->n_resources : r->n_paths;

	for (size_t i = 0; i < r->n_subjects; i++)
		if (subject_is(&r->subjects[i], &q->user))
			goto somebody;
	return false;
somebody:
	for (size_t i = 0; i < n; i++)
		if (target_is(&t[i], q, verb))
			return true;
	return false;
}

const struct flow_schema *flow_match(const struct flow_config *c, const struct api_req *q)
{
	struct sv verb = request_verb(q);

	for (size_t i = 0; i < c->n_schemas; i++)
		for (size_t k = 0; k < c->schemas[i].n_rules; k++)
			if (rule_is(&c->schemas[i].rules[k], q, verb))
				return &c->schemas[i];
	return &c->schemas[c->n_schemas - 1]; /* who is in no group at all */
}

struct sv flow_distinguisher(const struct flow_schema *s, const struct api_req *q)
{
	if (s->by == FLOW_BY_USER)
		return q->user.name;
	return s->by == FLOW_BY_NAMESPACE ? q->ns : SV("");
}
