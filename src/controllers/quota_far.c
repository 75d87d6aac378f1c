#include "controllers/quota_far.h"

#include "codec/json.h"

#include <stdlib.h>

#define QUOTA_FAR_SAID_MAX ((size_t)4000)

struct quota_far_said {
	enum quota_far said;
	size_t n;
	int64_t at_ns;
};

void quota_far_init(struct quota_far_counts *c)
{
	*c = (struct quota_far_counts){ 0 };
	pthread_mutex_init(&c->lock, NULL);
}

void quota_far_release(struct quota_far_counts *c)
{
	strmap_release_with(&c->said, free);
	pthread_mutex_destroy(&c->lock);
}

static bool quota_far_old(const struct quota_far_said *s, int64_t now)
{
	return now - s->at_ns >= QUOTA_FAR_NS;
}

/* The lock is held. */
static void quota_far_sweep(struct quota_far_counts *c, int64_t now)
{
	struct strmap young = STRMAP_INIT;

	STRMAP_EACH(&c->said, e) {
		if (quota_far_old(e->value, now))
			free(e->value);
		else
			(void)strmap_set(&young, sv_make(e->key, e->key_n), e->value);
	}
	strmap_release(&c->said);
	c->said = young;
	c->swept_ns = now;
}

static bool quota_far_recall(struct quota_far_counts *c, struct sv key, int64_t now, struct quota_far_said *ret)
{
	const struct quota_far_said *s;
	bool is;

	pthread_mutex_lock(&c->lock);
	s = strmap_get(&c->said, key);
	is = s && !quota_far_old(s, now);
	if (is)
		*ret = *s;
	pthread_mutex_unlock(&c->lock);
	return is;
}

static void quota_far_keep(struct quota_far_counts *c, struct sv key, const struct quota_far_said *said)
{
	struct quota_far_said *s;

	pthread_mutex_lock(&c->lock);
	if (said->at_ns - c->swept_ns >= QUOTA_FAR_NS)
		quota_far_sweep(c, said->at_ns);
	s = strmap_get(&c->said, key);
	if (!s && c->said.n < QUOTA_FAR_SAID_MAX) {
		s = xcalloc(1, sizeof(*s));
		(void)strmap_set(&c->said, key, s);
	}
	if (s)
		*s = *said;
	pthread_mutex_unlock(&c->lock);
}

struct quota_far_search {
	struct sv name; /* "things.example.com" */
	struct arena a;
	struct foreign_question q;
	bool found;
};

static void quota_far_kind(const struct foreign_kind *k, void *ctx)
{
	struct quota_far_search *s = ctx;
	struct sv name = arena_svf(&s->a, "%s.%s", k->plural, k->group);

	if (s->found || !k->namespaced || !k->lists || !k->watches || !k->deletes || !sv_eq(name, s->name))
		return;
	s->found = true;
	s->q.group = arena_strdup(&s->a, k->group);
	s->q.version = arena_strdup(&s->a, k->version);
	s->q.plural = arena_strdup(&s->a, k->plural);
}

/* -1: that is no list. */
static int quota_far_items(struct sv text, size_t *ret)
{
	static const struct budget_limit limit = { 400 * 1000, ERR_TOO_LARGE, "it has too many values" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct budget values = BUDGET(limit);
	const struct val *doc =
	    json_decode(&a, text, &(struct json_opts){ .borrow_text = true, .values = &values }, NULL);

	*ret = val_len(val_get(doc, F_items));
	return val_type(val_get(doc, F_items)) == VAL_LIST ? 0 : -1;
}

static enum quota_far quota_far_ask(const struct controllers_opts *o, const struct foreign_question *q, size_t *ret)
{
	struct foreign_answer ans = { 0 };
	enum quota_far said = QUOTA_FAR_UNKNOWN;

	if (!o->ask_foreign(o->foreign_ctx, q, &ans))
		return QUOTA_FAR_LATER;
	if (ans.status >= 200 && ans.status <= 299 && quota_far_items(buf_sv(&ans.body), ret) == 0)
		said = QUOTA_FAR_COUNTED;
	buf_release(&ans.body);
	return said;
}

enum quota_far quota_far_count(struct quota_far_counts *c, const struct controllers_opts *o, struct sv uid,
			       struct sv name, struct sv ns, const struct foreign_wake *who, size_t *ret)
{
	struct quota_far_search s = { .q = { .account = "resourcequota-controller",
					     .method = "GET",
					     .namespaced = true,
					     .ns = ns,
					     .of = uid,
					     .who = *who } };
	struct quota_far_said said = { .said = QUOTA_FAR_NONE, .at_ns = env_mono_ns(o->env) };
	struct sv key;

	*ret = 0;
	if (!sv_starts(name, SV("count/")))
		return QUOTA_FAR_NONE;
	s.name = sv_sub(name, strlen("count/"), name.n);
	if (sv_find(s.name, '.') < 0)
		return QUOTA_FAR_NONE;
	(void)o->kinds_foreign(o->foreign_ctx, quota_far_kind, &s);
	key = arena_svf(&s.a, "%.*s %.*s", SV_ARG(uid), SV_ARG(name));
	if (s.found && !quota_far_recall(c, key, said.at_ns, &said)) {
		said.said = quota_far_ask(o, &s.q, &said.n);
		if (said.said != QUOTA_FAR_LATER)
			quota_far_keep(c, key, &said);
	}
	*ret = said.n;
	arena_release(&s.a);
	return said.said;
}
