/* Does somebody hold every right that rules give (upstream's escalation check)?
 *
 * The wanted rules are taken apart into rights: one verb on one resource (and name), or on one URL. First their words
 * are numbered by order of text, each kind of word by itself; from then on rights are numbers, so that a long word
 * costs its length once and not once in each right. A held rule is looked at once: its words are marked, and where each
 * kind has a mark, the rights that are still missing are gone through. So a rule that has nothing to do with what is
 * wanted costs its own length, and only URLs are compared as texts.
 *
 * Sizes on both sides are a user's: a small Role spells the product of its lists, and somebody may be bound to
 * thousands of rules. Both the rights and the steps are counted, and who asks for too many is refused. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz.h"
#include "apiserver/authz/authz-internal.h"
#include "base/budget.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <stdlib.h>

/* The largest of the built-in roles spells some 1,000. */
#define RIGHTS_MAX ((size_t)16 * 1024)
/* A word marked, a missing right gone through, or some bytes of a URL compared: a fraction of a second. */
static const struct budget_limit steps_limit = {
	8 * 1024 * 1024, ERR_FORBIDDEN,
	"is attempting to grant more RBAC permissions than can be compared with all that is held: use several roles, "
	"or fewer verbs, resources and names in each"
};
#define STEP_BYTES 64
/* What a refusal lists, in bytes. */
#define MISSING_MAX ((size_t)16 * 1024)

/* The different words of one kind among what is wanted, and which of them the held rule at hand has. */
struct words {
	struct strmap ids; /* word -> its number, as a pointer; from 1 */
	struct sv *texts;  /* by number, in order */
	uint32_t *marks;   /* by number: the round it was last seen in */
	bool star;	   /* all of them */
};

/* One indivisible right: the numbers of its words; 0: has none. */
struct right {
	uint32_t verb, group, resource, sub, name,
	    url;	/* sub: what follows the slash of the resource; name: 0 for all */
	uint32_t order; /* as it was written */
};

struct rights {
	struct arena *a;
	VEC(struct right) missing;
	struct words verbs, groups, resources, subresources, names, urls;
	uint32_t round;
	struct budget steps;
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

static void words_add(struct words *w, const struct val *list)
{
	VAL_EACH(list, word)
		strmap_set(&w->ids, val_str(word), w);
}

/* What follows the slash of a resource; false when nothing does. */
static bool subresource_of(struct sv resource, struct sv *ret)
{
	ssize_t slash = sv_find(resource, '/');

	*ret = slash < 0 ? SV_NULL : sv_sub(resource, (size_t)slash + 1, resource.n);
	return slash >= 0;
}

/* All words are there: each gets its number. */
static void words_settle(struct rights *rs, struct words *w)
{
	size_t n = 0;

	w->texts = ARENA_ARRAY(rs->a, struct sv, w->ids.n + 1);
	w->marks = ARENA_ARRAY(rs->a, uint32_t, w->ids.n + 1);
	STRMAP_EACH(&w->ids, e)
		w->texts[++n] = sv_make(e->key, e->key_n);
	qsort(w->texts + 1, n, sizeof(*w->texts), sv_order);
	for (; n; n--)
		strmap_set(&w->ids, w->texts[n], (void *)(uintptr_t)n);
}

static uint32_t words_number(const struct words *w, struct sv word)
{
	return (uint32_t)(uintptr_t)strmap_get(&w->ids, word);
}

/* Of each word in a list. */
static const uint32_t *words_numbers(struct rights *rs, const struct words *w, const struct val *list)
{
	uint32_t *ids = ARENA_ARRAY(rs->a, uint32_t, val_len(list) + 1);
	size_t n = 0;

	VAL_EACH(list, word)
		ids[n++] = words_number(w, val_str(word));
	return ids;
}

static void rights_read(struct rights *rs, const struct val *rule)
{
	struct sv sub;

	words_add(&rs->verbs, val_get(rule, F_verbs));
	words_add(&rs->groups, val_get(rule, F_apiGroups));
	words_add(&rs->resources, val_get(rule, F_resources));
	words_add(&rs->names, val_get(rule, F_resourceNames));
	words_add(&rs->urls, val_get(rule, F_nonResourceURLs));
	VAL_EACH(val_get(rule, F_resources), resource)
		if (subresource_of(val_str(resource), &sub))
			strmap_set(&rs->subresources.ids, sub, rs);
}

static void rights_add(struct rights *rs, struct right r)
{
	r.order = (uint32_t)rs->missing.n;
	vec_push(&rs->missing, r);
}

static void rights_split(struct rights *rs, const struct val *rule)
{
	const struct val *resources = val_get(rule, F_resources);
	size_t n_verbs = val_len(val_get(rule, F_verbs)), n_groups = val_len(val_get(rule, F_apiGroups)),
	       n_resources = val_len(resources), n_names = val_len(val_get(rule, F_resourceNames)),
	       n_urls = val_len(val_get(rule, F_nonResourceURLs));
	const uint32_t *verbs = words_numbers(rs, &rs->verbs, val_get(rule, F_verbs)),
		       *groups = words_numbers(rs, &rs->groups, val_get(rule, F_apiGroups)),
		       *whole = words_numbers(rs, &rs->resources, resources),
		       *names = words_numbers(rs, &rs->names, val_get(rule, F_resourceNames)),
		       *urls = words_numbers(rs, &rs->urls, val_get(rule, F_nonResourceURLs));
	uint32_t *subs = ARENA_ARRAY(rs->a, uint32_t, n_resources + 1);
	struct sv sub;

	for (size_t i = 0; i < n_resources; i++)
		if (subresource_of(val_str(val_at(resources, i)), &sub))
			subs[i] = words_number(&rs->subresources, sub);
	for (size_t v = 0; v < n_verbs; v++) {
		for (size_t u = 0; u < n_urls; u++)
			rights_add(rs, (struct right){ .verb = verbs[v], .url = urls[u] });
		for (size_t g = 0; g < n_groups; g++)
			for (size_t i = 0; i < n_resources; i++)
				for (size_t k = 0; k < (n_names ? n_names : 1); k++)
					rights_add(rs, (struct right){ .verb = verbs[v],
								       .group = groups[g],
								       .resource = whole[i],
								       .sub = subs[i],
								       .name = n_names ? names[k] : 0 });
	}
}

/* --- what is held --- */

/* True when the rule has any of the words. */
static bool words_mark(struct rights *rs, struct words *c, const struct val *list, bool may_be_star)
{
	bool any = false;

	c->star = false;
	(void)budget_take(&rs->steps, val_len(list));
	VAL_EACH(list, word) {
		uint32_t id = words_number(c, val_str(word));

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
			id = words_number(&rs->subresources, sv_sub(s, 2, s.n));
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

/* URLs by themselves, and by what they begin with and a star. */
static bool words_mark_urls(struct rights *rs, const struct val *list)
{
	struct words *w = &rs->urls;
	bool any = words_mark(rs, w, list, true);

	VAL_EACH(list, word) {
		struct sv s = val_str(word);

		if (w->star || !sv_ends(s, SV("*")))
			continue;
		s = sv_sub(s, 0, s.n - 1);
		for (uint32_t id = 1; id <= w->ids.n && !budget_over(&rs->steps); id++) {
			(void)budget_take(&rs->steps, 1 + MIN(s.n, w->texts[id].n) / STEP_BYTES);
			if (!sv_starts(w->texts[id], s))
				continue;
			w->marks[id] = rs->round;
			any = true;
		}
	}
	return any;
}

static int rights_hold(const struct val *rule, void *ctx)
{
	struct rights *rs = ctx;
	const struct val *names = val_get(rule, F_resourceNames);
	bool things, urls;

	rs->round++;
	if (!words_mark(rs, &rs->verbs, val_get(rule, F_verbs), true))
		return budget_over(&rs->steps);
	urls = words_mark_urls(rs, val_get(rule, F_nonResourceURLs));
	/* A name is only itself, also "*"; none at all are all. */
	things = words_mark(rs, &rs->groups, val_get(rule, F_apiGroups), true) &&
		 words_mark_resources(rs, val_get(rule, F_resources)) &&
		 (words_mark(rs, &rs->names, names, false) || val_len(names) == 0);
	rs->names.star = val_len(names) == 0;
	if (!things && !urls)
		return budget_over(&rs->steps);
	for (size_t i = 0; i < rs->missing.n && !budget_over(&rs->steps);) {
		const struct right *r = &rs->missing.p[i];
		bool held = words_have(rs, &rs->verbs, r->verb);

		(void)budget_take(&rs->steps, 1);
		if (held && r->url)
			held = words_have(rs, &rs->urls, r->url);
		else if (held)
			held = things && words_have(rs, &rs->groups, r->group) &&
			       (words_have(rs, &rs->resources, r->resource) ||
				(r->sub && rs->subresources.marks[r->sub] == rs->round)) &&
			       words_have(rs, &rs->names, r->name);
		if (held)
			vec_remove_swap(&rs->missing, i);
		else
			i++;
	}
	return !rs->missing.n || budget_over(&rs->steps);
}

/* --- what is missing, in words --- */

#define RIGHT_CMP(x, y) (((x) > (y)) - ((x) < (y)))

/* In the order of the lines that they become. */
static int right_by_thing(const struct right *x, const struct right *y)
{
	int order = RIGHT_CMP(x->url, y->url);

	order = order ? order : RIGHT_CMP(x->group, y->group);
	order = order ? order : RIGHT_CMP(x->resource, y->resource);
	return order ? order : RIGHT_CMP(x->name - 1, y->name - 1); /* all names come last */
}

/* What is about the same thing side by side, its verbs as they were written. */
static int right_by_line(const void *x, const void *y)
{
	const struct right *a = x, *b = y;
	int order = right_by_thing(a, b);

	return order ? order : RIGHT_CMP(a->order, b->order);
}

/* One line, by upstream's notation: the rights from *i on that are about the same thing. */
static void rights_line(struct buf *b, const struct rights *rs, size_t *i)
{
	const struct right *first = &rs->missing.p[*i];
	const char *sep = "";

	if (first->url) {
		buf_printf(b, "\n{NonResourceURLs:[\"%.*s\"]", SV_ARG(rs->urls.texts[first->url]));
	} else {
		buf_printf(b, "\n{APIGroups:[\"%.*s\"], Resources:[\"%.*s\"]", SV_ARG(rs->groups.texts[first->group]),
			   SV_ARG(rs->resources.texts[first->resource]));
		if (rs->names.texts[first->name].n)
			buf_printf(b, ", ResourceNames:[\"%.*s\"]", SV_ARG(rs->names.texts[first->name]));
	}
	buf_adds(b, ", Verbs:[");
	for (; *i < rs->missing.n && right_by_thing(first, &rs->missing.p[*i]) == 0; (*i)++) {
		buf_printf(b, "%s\"%.*s\"", sep, SV_ARG(rs->verbs.texts[rs->missing.p[*i].verb]));
		sep = " ";
	}
	buf_adds(b, "]}");
}

static int rights_refuse(const struct user_info *u, struct rights *rs, struct err *err)
{
	_cleanup_(buf_release) struct buf missing = { .limit = MISSING_MAX }, line = { .limit = MISSING_MAX },
					  groups = BUF_INIT;

	qsort(rs->missing.p, rs->missing.n, sizeof(*rs->missing.p), right_by_line);
	for (size_t i = 0; i < rs->missing.n && !line.overflow && !missing.overflow;) {
		buf_clear(&line);
		rights_line(&line, rs, &i);
		if (!line.overflow)
			buf_addsv(&missing, buf_sv(&line));
	}
	if (!missing.n)
		buf_adds(&missing, " their names are too long to be shown");
	for (size_t i = 0; i < u->n_groups; i++)
		buf_printf(&groups, "%s\"%.*s\"", i ? " " : "", SV_ARG(u->groups[i]));
	return err_set(err, ERR_FORBIDDEN,
		       "user \"%.*s\" (groups=[%s]) is attempting to grant RBAC permissions not currently held:%s",
		       SV_ARG(u->name), buf_cstr(&groups), buf_cstr(&missing));
}

/* --- the question --- */

static int rights_judge(struct apiserver *s, const struct user_info *u, struct sv ns, const struct val *rules,
			struct rights *rs, struct err *err)
{
	struct words *all[] = { &rs->verbs, &rs->groups, &rs->resources, &rs->subresources, &rs->names, &rs->urls };

	VAL_EACH(rules, rule)
		rights_read(rs, rule);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		words_settle(rs, all[i]);
	VAL_EACH(rules, rule)
		rights_split(rs, rule);
	if (rs->missing.n)
		rbac_each_rule(s->authz->rbac, u, ns, rights_hold, rs);
	if (!rs->missing.n)
		return 0;
	if (budget_over(&rs->steps))
		return err_set(err, steps_limit.reason, "user \"%.*s\" %s", SV_ARG(u->name), steps_limit.refusal);
	return rights_refuse(u, rs, err);
}

static void rights_release(struct rights *rs)
{
	vec_release(&rs->missing);
	strmap_release(&rs->verbs.ids);
	strmap_release(&rs->groups.ids);
	strmap_release(&rs->resources.ids);
	strmap_release(&rs->subresources.ids);
	strmap_release(&rs->names.ids);
	strmap_release(&rs->urls.ids);
}

int authz_covers(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns, const struct val *rules,
		 struct err *err)
{
	_cleanup_(rights_release) struct rights rs = { .a = a, .steps = BUDGET(steps_limit) };
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
	return rights_judge(s, u, ns, rules, &rs, err);
}
