/* Does somebody hold every right that rules give (upstream's escalation check)?
 *
 * The wanted rules are taken apart into rights: one verb on one resource (and name), or on one URL. Their words are
 * numbered, each kind of word by itself. A held rule is looked at once: its words are marked, and where each kind has a
 * mark, the rights that are still missing are gone through by number. So a rule that has nothing to do with what is
 * wanted costs its own length, and only URLs are compared as texts.
 *
 * Sizes on both sides are a user's: a small Role spells the product of its lists, and somebody may be bound to
 * thousands of rules. Both the rights and the steps are counted, and who asks for too many is refused. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz.h"
#include "apiserver/authz/authz-internal.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <stdlib.h>

/* The largest of the built-in roles spells some 1,000. */
#define RIGHTS_MAX ((size_t)16 * 1024)
/* A word marked, a missing right gone through, or a URL compared: a fraction of a second. */
#define STEPS_MAX ((size_t)8 * 1024 * 1024)

/* The different words of one kind among what is wanted, and which of them the held rule at hand has. */
struct words {
	struct strmap ids; /* word -> its number, as a pointer; from 1 */
	uint32_t *marks;   /* by number: the round it was last seen in */
	bool star;	   /* all of them */
};

/* One indivisible right, with the numbers of its words; 0: has none. */
struct right {
	struct sv verb, group, resource, name, url;
	bool on_url;
	uint32_t v, g, r, sub, n; /* sub: what follows the slash of the resource; n: 0 for all names */
	size_t order;		  /* as it was written */
};

struct rights {
	VEC(struct right) missing;
	struct words verbs, groups, resources, subresources, names;
	uint32_t round;
	size_t steps;
};

/* --- what is wanted --- */

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

static uint32_t words_number(struct words *c, struct sv word)
{
	void **slot = strmap_slot(&c->ids, word);

	if (!*slot)
		*slot = (void *)(uintptr_t)c->ids.n;
	return (uint32_t)(uintptr_t)*slot;
}

static void rights_add(struct rights *rs, struct right r, bool named)
{
	ssize_t slash = sv_find(r.resource, '/');

	r.order = rs->missing.n;
	r.v = words_number(&rs->verbs, r.verb);
	if (!r.on_url) {
		r.g = words_number(&rs->groups, r.group);
		r.r = words_number(&rs->resources, r.resource);
		r.sub = slash < 0
			    ? 0
			    : words_number(&rs->subresources, sv_sub(r.resource, (size_t)slash + 1, r.resource.n));
		r.n = named ? words_number(&rs->names, r.name) : 0;
	}
	vec_push(&rs->missing, r);
}

static void rights_split(struct rights *rs, const struct val *rule)
{
	const struct val *names = val_get(rule, F_resourceNames);

	VAL_EACH(val_get(rule, F_verbs), verb) {
		VAL_EACH(val_get(rule, F_nonResourceURLs), url)
			rights_add(rs, (struct right){ .verb = val_str(verb), .url = val_str(url), .on_url = true },
				   false);
		VAL_EACH(val_get(rule, F_apiGroups), group)
			VAL_EACH(val_get(rule, F_resources), resource) {
				struct right r = { .verb = val_str(verb),
						   .group = val_str(group),
						   .resource = val_str(resource) };

				if (val_len(names) == 0)
					rights_add(rs, r, false);
				VAL_EACH(names, name) {
					r.name = val_str(name);
					rights_add(rs, r, true);
				}
			}
	}
}

/* --- what is held --- */

/* True when the rule has any of the words. */
static bool words_mark(struct rights *rs, struct words *c, const struct val *list, bool may_be_star)
{
	bool any = false;

	c->star = false;
	rs->steps += val_len(list);
	VAL_EACH(list, word) {
		uint32_t id = (uint32_t)(uintptr_t)strmap_get(&c->ids, val_str(word));

		any |= id > 0;
		c->star |= may_be_star && val_is(word, "*");
		if (id)
			c->marks[id] = rs->round;
	}
	return any || c->star;
}

/* Resources by their whole names, and by "*" and a slash before a subresource. */
static bool words_mark_resources(struct rights *rs, const struct val *list)
{
	bool any = words_mark(rs, &rs->resources, list, true);

	VAL_EACH(list, word) {
		struct sv s = val_str(word);
		uint32_t id = 0;

		if (sv_starts(s, SV("*/")))
			id = (uint32_t)(uintptr_t)strmap_get(&rs->subresources.ids, sv_sub(s, 2, s.n));
		any |= id > 0;
		if (id)
			rs->subresources.marks[id] = rs->round;
	}
	return any;
}

static bool words_have(const struct rights *rs, const struct words *c, uint32_t id)
{
	return c->star || (id && c->marks[id] == rs->round);
}

static bool url_covers(struct rights *rs, const struct val *list, struct sv wanted)
{
	rs->steps += val_len(list);
	VAL_EACH(list, v) {
		struct sv s = val_str(v);

		if (sv_eq(s, wanted) || (sv_ends(s, SV("*")) && sv_starts(wanted, sv_sub(s, 0, s.n - 1))))
			return true;
	}
	return false;
}

static bool rights_too_many_steps(const struct rights *rs)
{
	return rs->steps > STEPS_MAX;
}

static int rights_hold(const struct val *rule, void *ctx)
{
	struct rights *rs = ctx;
	const struct val *urls = val_get(rule, F_nonResourceURLs), *names = val_get(rule, F_resourceNames);
	bool things;

	rs->round++;
	if (!words_mark(rs, &rs->verbs, val_get(rule, F_verbs), true))
		return rights_too_many_steps(rs);
	/* A name is only itself, also "*"; none at all are all. */
	things = words_mark(rs, &rs->groups, val_get(rule, F_apiGroups), true) &&
		 words_mark_resources(rs, val_get(rule, F_resources)) &&
		 (words_mark(rs, &rs->names, names, false) || val_len(names) == 0);
	rs->names.star = val_len(names) == 0;
	if (!things && val_len(urls) == 0)
		return rights_too_many_steps(rs);
	for (size_t i = 0; i < rs->missing.n && !rights_too_many_steps(rs);) {
		const struct right *r = &rs->missing.p[i];
		bool held = words_have(rs, &rs->verbs, r->v);

		rs->steps++;
		if (held && r->on_url)
			held = url_covers(rs, urls, r->url);
		else if (held)
			held = things && words_have(rs, &rs->groups, r->g) &&
			       (words_have(rs, &rs->resources, r->r) ||
				(r->sub && rs->subresources.marks[r->sub] == rs->round)) &&
			       words_have(rs, &rs->names, r->n);
		if (held)
			vec_remove_swap(&rs->missing, i);
		else
			i++;
	}
	return !rs->missing.n || rights_too_many_steps(rs);
}

/* --- what is missing, in words --- */

static int right_by_thing(const struct right *x, const struct right *y)
{
	int order = x->on_url != y->on_url ? x->on_url - y->on_url : sv_cmp(x->url, y->url);

	order = order ? order : sv_cmp(x->group, y->group);
	order = order ? order : sv_cmp(x->resource, y->resource);
	return order ? order : sv_cmp(x->name, y->name);
}

/* What is about the same thing side by side, its verbs as they were written. */
static int right_by_line(const void *x, const void *y)
{
	const struct right *a = x, *b = y;
	int order = right_by_thing(a, b);

	return order ? order : a->order < b->order ? -1 : a->order > b->order;
}

static int right_by_text(const void *x, const void *y)
{
	return sv_cmp(*(const struct sv *)x, *(const struct sv *)y);
}

/* One line, by upstream's notation: the rights from *i on that are about the same thing. */
static struct sv rights_line(struct arena *a, const struct rights *rs, size_t *i)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct right *first = &rs->missing.p[*i];
	const char *sep = "";

	if (first->on_url) {
		buf_printf(&b, "{NonResourceURLs:[\"%.*s\"]", SV_ARG(first->url));
	} else {
		buf_printf(&b, "{APIGroups:[\"%.*s\"], Resources:[\"%.*s\"]", SV_ARG(first->group),
			   SV_ARG(first->resource));
		if (first->name.n)
			buf_printf(&b, ", ResourceNames:[\"%.*s\"]", SV_ARG(first->name));
	}
	buf_adds(&b, ", Verbs:[");
	for (; *i < rs->missing.n && right_by_thing(first, &rs->missing.p[*i]) == 0; (*i)++) {
		buf_printf(&b, "%s\"%.*s\"", sep, SV_ARG(rs->missing.p[*i].verb));
		sep = " ";
	}
	buf_adds(&b, "]}");
	return arena_sv(a, buf_sv(&b));
}

static int rights_refuse(struct arena *a, const struct user_info *u, struct rights *rs, struct err *err)
{
	_cleanup_(buf_release) struct buf missing = { .limit = 16 * 1024 }, groups = BUF_INIT;
	struct sv *lines = ARENA_ARRAY(a, struct sv, rs->missing.n);
	size_t n = 0;

	qsort(rs->missing.p, rs->missing.n, sizeof(*rs->missing.p), right_by_line);
	for (size_t i = 0; i < rs->missing.n;)
		lines[n++] = rights_line(a, rs, &i);
	qsort(lines, n, sizeof(*lines), right_by_text);
	for (size_t i = 0; i < n; i++)
		buf_printf(&missing, "\n%.*s", SV_ARG(lines[i]));
	for (size_t i = 0; i < u->n_groups; i++)
		buf_printf(&groups, "%s\"%.*s\"", i ? " " : "", SV_ARG(u->groups[i]));
	return err_set(err, ERR_FORBIDDEN,
		       "user \"%.*s\" (groups=[%s]) is attempting to grant RBAC permissions not currently held:%s",
		       SV_ARG(u->name), buf_cstr(&groups), buf_cstr(&missing));
}

/* --- the question --- */

static int rights_judge(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns,
			struct rights *rs, struct err *err)
{
	struct words *all[] = { &rs->verbs, &rs->groups, &rs->resources, &rs->subresources, &rs->names };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i]->marks = ARENA_ARRAY(a, uint32_t, all[i]->ids.n + 1);
	if (rs->missing.n)
		rbac_each_rule(s->authz->rbac, u, ns, rights_hold, rs);
	if (!rs->missing.n)
		return 0;
	if (rights_too_many_steps(rs))
		return err_set(
		    err, ERR_FORBIDDEN,
		    "user \"%.*s\" is attempting to grant more RBAC permissions than can be compared with all that "
		    "is held: use several roles, or fewer verbs, resources and names in each",
		    SV_ARG(u->name));
	return rights_refuse(a, u, rs, err);
}

static void rights_release(struct rights *rs)
{
	vec_release(&rs->missing);
	strmap_release(&rs->verbs.ids);
	strmap_release(&rs->groups.ids);
	strmap_release(&rs->resources.ids);
	strmap_release(&rs->subresources.ids);
	strmap_release(&rs->names.ids);
}

int authz_covers(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns, const struct val *rules,
		 struct err *err)
{
	_cleanup_(rights_release) struct rights rs = { 0 };
	size_t total = 0;

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
		rights_split(&rs, rule);
	return rights_judge(s, a, u, ns, &rs, err);
}
