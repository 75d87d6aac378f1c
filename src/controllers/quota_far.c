#include "controllers/quota_far.h"

#include "codec/json.h"

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

enum quota_far quota_far_count(const struct controllers_opts *o, struct sv name, struct sv ns, size_t *ret)
{
	struct quota_far_search s = {
		.q = { .account = "resourcequota-controller", .method = "GET", .namespaced = true, .ns = ns }
	};
	enum quota_far said = QUOTA_FAR_NONE;

	*ret = 0;
	if (!sv_starts(name, SV("count/")))
		return QUOTA_FAR_NONE;
	s.name = sv_sub(name, strlen("count/"), name.n);
	if (sv_find(s.name, '.') < 0)
		return QUOTA_FAR_NONE;
	(void)o->kinds_foreign(o->foreign_ctx, quota_far_kind, &s);
	if (s.found)
		said = quota_far_ask(o, &s.q, ret);
	arena_release(&s.a);
	return said;
}
