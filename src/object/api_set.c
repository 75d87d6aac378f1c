/* Snapshots of what kinds there are, and the lookups in them. */
#include "object/api_set.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/current.h"
#include "base/strmap.h"
#include "object/served.h"

#include <pthread.h>
#include <stdlib.h>

/* As upstream registers the groups of CustomResourceDefinitions. */
#define LATE_GROUP_PRIORITY 1000
#define LATE_VERSION_PRIORITY 100

struct set {
	struct api_set pub;	/* first */
	struct current_ref ref; /* all zeroes in the built-in set, which is there for ever */
	struct arena arena;
	struct api_kind **kinds; /* references, by group, plural, version */
	size_t n_kinds;
	size_t n_versions;		  /* of them, at most */
	struct strmap by_plural, by_kind; /* "group/version/name" -> struct resource; of kinds */
	void *state;
	void (*state_free)(void *state);
};

static struct set built_in;
static pthread_once_t built_in_once = PTHREAD_ONCE_INIT;

/* --- groups --- */

struct gv { /* one version on its way into a group */
	const char *group, *version;
	int group_priority, version_priority;
	size_t order; /* as declared */
	const struct resource **resources;
	size_t n, room;
};

/* "v2" before "v1" before "v2beta1" before "v1alpha3" before all that is no such word: upstream's order. */
static bool version_rank(const char *v, long ret[3])
{
	static const struct {
		const char *word;
		long rank;
	} stages[] = { { "alpha", 1 }, { "beta", 2 } };
	char *end;

	if (v[0] != 'v' || v[1] < '1' || v[1] > '9')
		return false;
	ret[1] = strtol(v + 1, &end, 10);
	ret[0] = 3;
	ret[2] = 0;
	for (size_t i = 0; *end && i < ARRAY_LEN(stages); i++) {
		size_t n = strlen(stages[i].word);

		if (strncmp(end, stages[i].word, n) || end[n] < '1' || end[n] > '9')
			continue;
		ret[0] = stages[i].rank;
		ret[2] = strtol(end + n, &end, 10);
		break;
	}
	return *end == '\0';
}

int api_version_order(const char *x, const char *y)
{
	long a[3], b[3];
	bool is_a = version_rank(x, a), is_b = version_rank(y, b);

	if (is_a != is_b)
		return is_a ? -1 : 1;
	for (size_t i = 0; is_a && i < ARRAY_LEN(a); i++)
		if (a[i] != b[i])
			return a[i] > b[i] ? -1 : 1;
	return strcmp(x, y);
}

static int gv_cmp(const void *x, const void *y)
{
	const struct gv *a = x, *b = y;
	int c;

	if (a->group_priority != b->group_priority)
		return a->group_priority > b->group_priority ? -1 : 1;
	c = strcmp(a->group, b->group);
	if (c)
		return c;
	if (a->version_priority != b->version_priority)
		return a->version_priority > b->version_priority ? -1 : 1;
	if (a->order >= group_version_count && b->order >= group_version_count)
		return api_version_order(a->version, b->version);
	return a->order < b->order ? -1 : a->order > b->order;
}

static struct sv set_key(struct buf *b, struct sv group, struct sv version, struct sv name)
{
	buf_clear(b);
	buf_addsv(b, group);
	buf_addc(b, '/');
	buf_addsv(b, version);
	buf_addc(b, '/');
	buf_addsv(b, name);
	return buf_sv(b);
}

/* The versions that there are, with how many resources each has; those of the tables keep what they say of order. */
static struct gv *set_versions(struct set *s, size_t *ret_n)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct gv *gvs = xcalloc(group_version_count + s->n_versions + 1, sizeof(*gvs));
	size_t n = 0;

	for (; n < group_version_count; n++) {
		const struct group_version *g = &group_version_all[n];

		gvs[n] = (struct gv){ g->group, g->version, g->group_priority, g->version_priority, n, NULL, 0, 0 };
		strmap_set(&seen, set_key(&b, sv_from(g->group), sv_from(g->version), SV("")),
			   (void *)(uintptr_t)(n + 1));
	}
	for (size_t i = 0; i < s->pub.n_resources; i++) {
		const struct resource *r = s->pub.resources[i];
		void **at;

		if (!resource_late(r) &&
		    !strmap_has(&seen, set_key(&b, sv_from(r->group), sv_from(r->version), SV(""))))
			continue; /* of a group that is not served */
		at = strmap_slot(&seen, set_key(&b, sv_from(r->group), sv_from(r->version), SV("")));
		if (!*at) {
			gvs[n] = (struct gv){ .group = r->group, .version = r->version, .order = n };
			gvs[n].group_priority = LATE_GROUP_PRIORITY;
			gvs[n].version_priority = LATE_VERSION_PRIORITY;
			*at = (void *)(uintptr_t)(++n);
		}
		gvs[(uintptr_t)*at - 1].room++;
	}
	for (size_t i = 0; i < n; i++)
		gvs[i].resources = ARENA_ARRAY(&s->arena, const struct resource *, gvs[i].room + 1);
	for (size_t i = 0; i < s->pub.n_resources; i++) {
		const struct resource *r = s->pub.resources[i];
		uintptr_t at =
		    (uintptr_t)strmap_get(&seen, set_key(&b, sv_from(r->group), sv_from(r->version), SV("")));

		if (at)
			gvs[at - 1].resources[gvs[at - 1].n++] = r;
	}
	*ret_n = n;
	return gvs;
}

static void api_set_groups(struct set *s)
{
	size_t n;
	struct gv *gvs = set_versions(s, &n);
	struct api_version *versions = ARENA_ARRAY(&s->arena, struct api_version, n + 1);
	struct api_group *groups = ARENA_ARRAY(&s->arena, struct api_group, n + 1), *g = NULL;
	size_t n_versions = 0;

	/* A late version of a group of the tables belongs to that group. */
	for (size_t i = group_version_count; i < n; i++)
		for (size_t k = 0; k < group_version_count; k++)
			if (strcmp(gvs[k].group, gvs[i].group) == 0)
				gvs[i].group_priority = gvs[k].group_priority;
	qsort(gvs, n, sizeof(*gvs), gv_cmp);
	for (size_t i = 0; i < n; i++) {
		struct api_version *v = &versions[n_versions];

		if (!gvs[i].n)
			continue;
		*v = (struct api_version){ gvs[i].group, gvs[i].version, gvs[i].version_priority, gvs[i].resources,
					   gvs[i].n };
		n_versions++;
		if (!g || strcmp(g->name, v->group) != 0) {
			g = &groups[s->pub.n_groups++];
			*g = (struct api_group){ v->group, gvs[i].group_priority, v, 0 };
		}
		g->n++;
	}
	s->pub.groups = groups;
	free(gvs);
}

/* --- making --- */

static int kind_cmp(const void *x, const void *y)
{
	const struct resource *a = api_kind_resource(*(struct api_kind *const *)x);
	const struct resource *b = api_kind_resource(*(struct api_kind *const *)y);
	int c = strcmp(a->group, b->group);

	c = c ? c : strcmp(a->plural, b->plural);
	return c ? c : strcmp(a->version, b->version);
}

/* One served version of a late kind into the set. */
static void set_enter(struct set *s, const struct api_kind *k, const struct resource **all,
		      struct openapi_custom *custom)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct resource *r = api_kind_resource(k);
	struct sv g = sv_from(r->group), v = sv_from(r->version);

	all[s->pub.n_resources++] = r;
	custom[s->pub.n_custom++] = (struct openapi_custom){ r, api_kind_openapi(k), api_kind_hash(k) };
	strmap_set(&s->by_plural, set_key(&b, g, v, sv_from(r->plural)), (void *)(uintptr_t)r);
	strmap_set(&s->by_kind, set_key(&b, g, v, sv_from(r->kind)), (void *)(uintptr_t)r);
}

/* s->kinds are there: all that follows from them. */
static void set_fill(struct set *s)
{
	const struct resource **all;
	struct openapi_custom *custom;

	for (size_t i = 0; i < s->n_kinds; i++)
		for (const struct api_kind *k = s->kinds[i]; k; k = api_kind_next(k))
			s->n_versions++;
	all = ARENA_ARRAY(&s->arena, const struct resource *, resource_count + s->n_versions + 1);
	custom = ARENA_ARRAY(&s->arena, struct openapi_custom, s->n_versions + 1);
	s->pub.n_late = s->n_kinds;
	if (s->n_kinds)
		qsort(s->kinds, s->n_kinds, sizeof(struct api_kind *), kind_cmp);
	for (size_t i = 0; i < resource_count; i++)
		if (resource_served(&resource_all[i]))
			all[s->pub.n_resources++] = &resource_all[i];
	for (size_t i = 0; i < s->n_kinds; i++)
		for (const struct api_kind *k = s->kinds[i]; k; k = api_kind_next(k))
			if (api_kind_served(k))
				set_enter(s, k, all, custom);
	s->pub.resources = all;
	s->pub.custom = custom;
	api_set_groups(s);
}

static void built_in_make(void)
{
	set_fill(&built_in);
}

static struct set *api_set_of(const struct api_set *s)
{
	return (struct set *)(uintptr_t)s;
}

const struct api_set *api_set_built_in(void)
{
	pthread_once(&built_in_once, built_in_make);
	return &built_in.pub;
}

static void set_release(struct current_ref *r)
{
	struct set *s = CONTAINER_OF(r, struct set, ref);

	if (s->state_free)
		s->state_free(s->state);
	for (size_t i = 0; i < s->n_kinds; i++)
		api_kind_unref(s->kinds[i]);
	strmap_release(&s->by_plural);
	strmap_release(&s->by_kind);
	arena_release(&s->arena);
	free(s->kinds);
	free(s);
}

static struct set *set_new(size_t room)
{
	struct set *s = xcalloc(1, sizeof(*s));

	current_ref_init(&s->ref, set_release);
	s->kinds = xcalloc(room + 1, sizeof(struct api_kind *));
	return s;
}

const struct api_set *api_set_ref(const struct api_set *s)
{
	if (s)
		current_hold(&api_set_of(s)->ref);
	return s;
}

void api_set_unref(const struct api_set *s)
{
	if (s)
		current_put(&api_set_of(s)->ref);
}

/* Nobody has r yet; seen: nobody else brings it. */
static int set_is_new(const struct api_set *old, const struct resource *r, struct strmap *seen, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv g = sv_from(r->group), v = sv_from(r->version);

	if (!api_find(old, g, v, sv_from(r->plural)) && !api_find_kind(old, g, v, sv_from(r->kind)) &&
	    !strmap_set(seen, set_key(&b, g, v, sv_from(r->plural)), seen))
		return 0;
	return err_set(err, ERR_ALREADY_EXISTS, "%s.%s in version %s is there already", r->plural, r->group,
		       r->version);
}

const struct api_set *api_set_with(const struct api_set *old, struct api_kind *const *kinds, size_t n, struct err *err)
{
	const struct set *o = api_set_of(old);
	struct set *s;
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	BUG_ON(n == 0);
	s = set_new(o->n_kinds + n);
	for (size_t i = 0; i < o->n_kinds; i++)
		s->kinds[s->n_kinds++] = api_kind_ref(o->kinds[i]);
	for (size_t i = 0; i < n; i++) {
		for (const struct api_kind *k = kinds[i]; k; k = api_kind_next(k)) {
			if (set_is_new(old, api_kind_resource(k), &seen, err) < 0) {
				set_release(&s->ref);
				return NULL;
			}
		}
		s->kinds[s->n_kinds++] = api_kind_ref(kinds[i]);
	}
	set_fill(s);
	return &s->pub;
}

const struct api_set *api_set_without(const struct api_set *old, struct api_kind *const *kinds, size_t n)
{
	const struct set *o = api_set_of(old);
	_cleanup_(strmap_release) struct strmap gone = STRMAP_INIT;
	struct set *s;

	for (size_t i = 0; i < n; i++)
		strmap_set(&gone, sv_make((const char *)&kinds[i], sizeof(struct api_kind *)), kinds[i]);
	s = set_new(o->n_kinds);
	for (size_t i = 0; i < o->n_kinds; i++)
		if (!strmap_has(&gone, sv_make((const char *)&o->kinds[i], sizeof(struct api_kind *))))
			s->kinds[s->n_kinds++] = api_kind_ref(o->kinds[i]);
	if (!s->n_kinds) {
		set_release(&s->ref);
		return api_set_built_in();
	}
	set_fill(s);
	return &s->pub;
}

void api_set_attach(const struct api_set *s, void *state, void (*state_free)(void *state))
{
	BUG_ON(s == &built_in.pub || api_set_of(s)->state_free);
	api_set_of(s)->state = state;
	api_set_of(s)->state_free = state_free;
}

void *api_set_state(const struct api_set *s)
{
	return s ? api_set_of(s)->state : NULL;
}

/* --- lookups --- */

static const struct resource *set_lookup(const struct strmap *m, struct sv group, struct sv version, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	return strmap_get(m, set_key(&b, group, version, name));
}

const struct resource *api_find_late(const struct api_set *s, struct sv group, struct sv version, struct sv plural)
{
	return set_lookup(&api_set_of(s)->by_plural, group, version, plural);
}

const struct resource *api_find_kind(const struct api_set *s, struct sv group, struct sv version, struct sv kind)
{
	const struct resource *r = resource_find_kind(group, version, kind);

	return r || !s || !s->n_custom ? r : set_lookup(&api_set_of(s)->by_kind, group, version, kind);
}

bool api_has(const struct api_set *s, const struct resource *r)
{
	const struct api_kind *k;
	struct api_kind **found;

	if (!resource_late(r))
		return true;
	if (!s || !s->n_late)
		return false;
	k = api_kind_storage(api_kind_of(r));
	found = bsearch(&k, api_set_of(s)->kinds, api_set_of(s)->n_kinds, sizeof(struct api_kind *), kind_cmp);
	return found && *found == k;
}

const struct api_group *api_group_of(const struct api_set *s, struct sv group)
{
	if (!s)
		s = api_set_built_in();
	for (size_t i = 0; i < s->n_groups; i++)
		if (sv_is(group, s->groups[i].name))
			return &s->groups[i];
	return NULL;
}

const struct api_version *api_served(const struct api_set *s, struct sv group, struct sv version)
{
	const struct api_group *g = api_group_of(s, group);

	for (size_t i = 0; g && i < g->n; i++)
		if (sv_is(version, g->versions[i].version))
			return &g->versions[i];
	return NULL;
}

/* --- the current one --- */

struct api_current {
	struct current set;
	const struct api_set *now; /* the same one, guarded by lock */
	pthread_mutex_t lock;
	struct api_listener *first;
};

struct api_current *api_current_new(void)
{
	struct api_current *c = xcalloc(1, sizeof(*c));

	c->now = api_set_built_in();
	current_init(&c->set, &api_set_of(c->now)->ref);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

const struct api_set *api_current_get(struct api_current *c)
{
	return c ? &CONTAINER_OF(current_get(&c->set), struct set, ref)->pub : api_set_built_in();
}

void api_current_change(struct api_current *c)
{
	if (c)
		pthread_mutex_lock(&c->lock);
}

void api_current_done(struct api_current *c)
{
	if (c)
		pthread_mutex_unlock(&c->lock);
}

void api_current_swap(struct api_current *c, const struct api_set *now_take)
{
	const struct api_set *was = api_set_ref(c->now);

	c->now = now_take;
	current_swap(&c->set, &api_set_of(now_take)->ref);
	for (struct api_listener *l = c->first; l; l = l->next)
		l->changed(was, now_take, l->ctx);
	api_set_unref(was);
}

struct api_current *api_current_free(struct api_current *c)
{
	if (!c)
		return NULL;
	current_end(&c->set);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void api_current_listen(struct api_current *c, struct api_listener *l)
{
	struct api_listener **at;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	for (at = &c->first; *at;)
		at = &(*at)->next;
	l->next = NULL;
	*at = l;
	if (c->now != &built_in.pub)
		l->changed(&built_in.pub, c->now, l->ctx);
	pthread_mutex_unlock(&c->lock);
}

void api_current_unlisten(struct api_current *c, struct api_listener *l)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	for (struct api_listener **at = &c->first; *at; at = &(*at)->next) {
		if (*at == l) {
			*at = l->next;
			break;
		}
	}
	pthread_mutex_unlock(&c->lock);
}
