/* From objects to a configuration.
 *
 * What is wrong with an object (it is of an older server, or was made behind the validation) leaves it out, as if it
 * were not there; what is mandatory is there anyway. A level whose object goes stays as long as somebody sits or waits
 * in it, with its share, so that those are served. */
#include "apiserver/flow/defaults.h"
#include "apiserver/flow/flow-internal.h"
#include "apiserver/watchcache.h"
#include "base/vec.h"

#include <stdlib.h>

struct config_making {
	struct flow_config *c;
	VEC(struct flow_schema) schemas;
	VEC(struct flow_level *) levels;
	bool have[2][FLOW_MANDATORY]; /* schemas, levels */
};

static const char *const mandatory[FLOW_MANDATORY] = { "exempt", "catch-all" };

static void config_have(struct config_making *m, bool level, struct sv name)
{
	for (size_t i = 0; i < FLOW_MANDATORY; i++)
		m->have[level][i] |= sv_is(name, mandatory[i]);
}

/* --- a schema's rules --- */

static struct flow_names config_names(struct arena *a, const struct val *list)
{
	struct flow_names out = { .p = ARENA_ARRAY(a, struct sv, val_len(list)) };

	VAL_EACH(list, v) {
		out.any |= val_is(v, "*");
		out.p[out.n++] = arena_sv(a, val_str(v));
	}
	return out;
}

static struct flow_target *config_targets(struct arena *a, const struct val *list, size_t *ret_n)
{
	struct flow_target *out = ARENA_ARRAY(a, struct flow_target, val_len(list));
	size_t n = 0;

	VAL_EACH(list, v)
		out[n++] = (struct flow_target){
			.verbs = config_names(a, val_member(v, F_verbs)),
			.groups = config_names(a, val_member(v, F_apiGroups)),
			.resources = config_names(a, val_member(v, F_resources)),
			.namespaces = config_names(a, val_member(v, F_namespaces)),
			.urls = config_names(a, val_member(v, F_nonResourceURLs)),
			.cluster = val_bool(val_member(v, F_clusterScope)),
		};
	*ret_n = n;
	return out;
}

static bool config_subject(struct arena *a, const struct val *v, struct flow_subject *ret)
{
	struct sv kind = val_str(val_member(v, F_kind)), name, ns;
	const struct val *account = val_member(v, F_serviceAccount);

	if (sv_is(kind, "User") || sv_is(kind, "Group")) {
		bool user = sv_is(kind, "User");
		const struct val *of = val_member(v, user ? F_user : F_group);

		name = val_str(val_member(of, F_name));
		*ret = (struct flow_subject){ user ? FLOW_USER : FLOW_GROUP, sv_is(name, "*"), arena_sv(a, name) };
		return of != NULL;
	}
	name = val_str(val_member(account, F_name));
	ns = val_str(val_member(account, F_namespace));
	*ret = (struct flow_subject){ FLOW_ACCOUNT, sv_is(name, "*"), SV("") };
	if (ret->any)
		name = SV("");
	ret->name = arena_svf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(ns), SV_ARG(name));
	return account != NULL && sv_is(kind, "ServiceAccount");
}

static struct flow_rule config_rule(struct arena *a, const struct val *v)
{
	const struct val *subjects = val_member(v, F_subjects);
	struct flow_rule r = { .subjects = ARENA_ARRAY(a, struct flow_subject, val_len(subjects)) };

	VAL_EACH(subjects, s)
		r.n_subjects += config_subject(a, s, &r.subjects[r.n_subjects]);
	r.resources = config_targets(a, val_member(v, F_resourceRules), &r.n_resources);
	r.paths = config_targets(a, val_member(v, F_nonResourceRules), &r.n_paths);
	return r;
}

static enum flow_by config_by(const struct val *spec)
{
	struct sv type = val_get_str(spec, F_distinguisherMethod, F_type);

	return sv_is(type, "ByUser") ? FLOW_BY_USER : sv_is(type, "ByNamespace") ? FLOW_BY_NAMESPACE : FLOW_BY_NOTHING;
}

/* --- counts: flow.lock held --- */

static struct flow_counts *config_counts(struct flow_level *l, struct sv schema)
{
	void **slot = strmap_slot(&l->counts, schema);
	struct flow_counts *n = *slot;

	if (!n) {
		n = *slot = xcalloc(1, sizeof(*n));
		n->level = l;
		n->schema = xstrndup(schema.p, schema.n);
		l->refs++;
	}
	n->refs++;
	return n;
}

static void config_counts_unref(struct flow *f, struct flow_counts *n)
{
	if (--n->refs)
		return;
	(void)strmap_del(&n->level->counts, sv_from(n->schema));
	flow_level_unref(f, n->level);
	free(n->schema);
	free(n);
}

static void config_release(struct current_ref *r)
{
	struct flow_config *c = (struct flow_config *)r;
	struct flow *f = c->flow;

	lock_mutex(&f->lock, &flow_lock);
	for (size_t i = 0; i < c->n_schemas; i++)
		config_counts_unref(f, c->schemas[i].counts);
	for (size_t i = 0; i < c->n_levels; i++)
		flow_level_unref(f, c->levels[i]);
	pthread_mutex_unlock(&f->lock);
	arena_release(&c->arena);
	free(c);
}

/* --- schemas --- */

static void config_schema(struct config_making *m, const struct val *doc)
{
	const struct val *spec = val_member(doc, F_spec), *rules = val_member(spec, F_rules);
	struct flow *f = m->c->flow;
	struct arena *a = &m->c->arena;
	struct flow_level *l = strmap_get(&f->levels, val_get_str(spec, F_priorityLevelConfiguration, F_name));
	struct sv name = val_get_str(doc, F_metadata, F_name), uid = val_get_str(doc, F_metadata, F_uid);
	struct flow_schema s = {
		.precedence = val_get_int(spec, 1000, F_matchingPrecedence),
		.by = config_by(spec),
		.level = l,
	};

	if (!l || l->removed)
		return;
	config_have(m, false, name);
	s.name = arena_sv(a, name);
	s.uid = arena_sv(a, sv_sub(uid, 0, MIN(uid.n, (size_t)FLOW_UID_MAX)));
	s.level_uid = l->uid;
	s.hash = strmap_hash_with(f->seed, name);
	s.rules = ARENA_ARRAY(a, struct flow_rule, val_len(rules));
	VAL_EACH(rules, v)
		s.rules[s.n_rules++] = config_rule(a, v);
	s.counts = config_counts(l, s.name);
	vec_push(&m->schemas, s);
}

/* The two fixed ones are at the ends, whatever precedence others have. */
static int schema_place(const struct flow_schema *s)
{
	return sv_is(s->name, "exempt") ? 0 : sv_is(s->name, "catch-all") ? 2 : 1;
}

static int schema_order(const void *pa, const void *pb)
{
	const struct flow_schema *a = pa, *b = pb;

	if (schema_place(a) != schema_place(b))
		return schema_place(a) - schema_place(b);
	if (a->precedence != b->precedence)
		return a->precedence < b->precedence ? -1 : 1;
	return sv_cmp(a->name, b->name);
}

/* --- levels: flow.lock held --- */

static unsigned config_number(const struct val *of, enum sym key, int64_t or_else)
{
	int64_t v = val_int_or(val_member(of, key), or_else);

	return (unsigned)MAX(MIN(v, (int64_t)INT32_MAX), 0);
}

static void config_limited(struct flow_level *l, const struct val *limited)
{
	const struct val *response = val_member(limited, F_limitResponse);
	const struct val *queuing = val_member(response, F_queuing);

	l->shares = config_number(limited, F_nominalConcurrencyShares, 30);
	l->lendable_percent = MIN(config_number(limited, F_lendablePercent, 0), 100U);
	l->borrow_percent = UINT_MAX;
	if (val_member(limited, F_borrowingLimitPercent))
		l->borrow_percent = config_number(limited, F_borrowingLimitPercent, 0);
	l->q = (struct flow_queueing){ 0 };
	if (!val_is(val_member(response, F_type), "Queue"))
		return;
	l->q.queues = MAX(config_number(queuing, F_queues, 64), 1U);
	l->q.hand = MIN(MAX(config_number(queuing, F_handSize, 8), 1U), MIN(l->q.queues, (unsigned)FLOW_HAND_MAX));
	l->q.length = MAX(config_number(queuing, F_queueLengthLimit, 50), 1U);
}

static void config_level(struct config_making *m, const struct val *doc)
{
	struct sv name = val_get_str(doc, F_metadata, F_name), uid = val_get_str(doc, F_metadata, F_uid);
	const struct val *spec = val_member(doc, F_spec);
	bool exempt = val_is(val_member(spec, F_type), "Exempt");
	struct flow *f = m->c->flow;
	struct flow_level *l;

	/* One that is not exempt cannot become so. */
	if (exempt != sv_is(name, "exempt") || (!exempt && !val_member(spec, F_limited)))
		return;
	config_have(m, true, name);
	l = strmap_get(&f->levels, name);
	if (!l) {
		l = flow_level_new(name, exempt);
		(void)strmap_set(&f->levels, name, l);
	}
	l->removed = false;
	lock_mutex(&l->lock, &flow_lock);
	if (exempt) {
		const struct val *e = val_member(spec, F_exempt);

		l->shares = config_number(e, F_nominalConcurrencyShares, 0);
		l->lendable_percent = MIN(config_number(e, F_lendablePercent, 0), 100U);
	} else {
		config_limited(l, val_member(spec, F_limited));
	}
	pthread_mutex_unlock(&l->lock);
	l->kept = true;
	vec_push(&m->levels, l);
	l->uid = arena_sv(&m->c->arena, sv_sub(uid, 0, MIN(uid.n, (size_t)FLOW_UID_MAX)));
	l->refs++;
}

static bool level_busy(struct flow_level *l)
{
	bool busy;

	l->removed = true;
	lock_mutex(&l->lock, &flow_lock);
	busy = l->executing || l->waiting;
	pthread_mutex_unlock(&l->lock);
	return busy;
}

/* What the table has and no object: kept while it is busy, but nothing new comes to it. */
static void config_old_levels(struct config_making *m)
{
	struct flow *f = m->c->flow;
	VEC(struct flow_level *) gone = VEC_INIT;

	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		if (!l->kept && !level_busy(l))
			vec_push(&gone, l);
		l->kept = false;
	}
	for (size_t i = 0; i < gone.n; i++) {
		(void)strmap_del(&f->levels, sv_from(gone.p[i]->name));
		flow_level_unref(f, gone.p[i]);
	}
	vec_release(&gone);
}

/* --- all of it --- */

static int config_each_level(struct obj *o, void *ctx)
{
	config_level(ctx, obj_root(o));
	return 0;
}

static int config_each_schema(struct obj *o, void *ctx)
{
	config_schema(ctx, obj_root(o));
	return 0;
}

struct flow_config *flow_config_make(struct flow *f)
{
	struct config_making m = {
		.c = xcalloc(1, sizeof(*m.c)),
		.schemas = VEC_INIT,
		.levels = VEC_INIT,
	};
	struct watchcache *wc = f->started ? f->s->wc : NULL;
	struct flow_config *c = m.c;

	current_ref_init(&c->ref, config_release);
	c->flow = f;
	lock_mutex(&f->lock, &flow_lock);
	if (wc)
		wc_each(wc, RES(flowcontrol_prioritylevelconfigurations), SV(""), config_each_level, &m);
	for (size_t i = 0; i < FLOW_MANDATORY; i++)
		if (!m.have[true][i])
			config_level(&m, flow_default_level(&c->arena, i));
	config_old_levels(&m);
	if (wc)
		wc_each(wc, RES(flowcontrol_flowschemas), SV(""), config_each_schema, &m);
	for (size_t i = 0; i < FLOW_MANDATORY; i++)
		if (!m.have[false][i])
			config_schema(&m, flow_default_schema(&c->arena, i));
	flow_limits(f);
	pthread_mutex_unlock(&f->lock);
	qsort(m.schemas.p, m.schemas.n, sizeof(m.schemas.p[0]), schema_order);
	c->schemas = arena_alloc(&c->arena, m.schemas.n * sizeof(m.schemas.p[0]));
	memcpy(c->schemas, m.schemas.p, m.schemas.n * sizeof(m.schemas.p[0]));
	c->n_schemas = m.schemas.n;
	c->levels = arena_alloc(&c->arena, m.levels.n * sizeof(struct flow_level *));
	memcpy(c->levels, m.levels.p, m.levels.n * sizeof(struct flow_level *));
	c->n_levels = m.levels.n;
	vec_release(&m.schemas);
	vec_release(&m.levels);
	return c;
}
