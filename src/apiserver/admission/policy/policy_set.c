/* Policies and bindings as sets. The store's thread only says that there was a change; whoever asks next makes the set
 * anew, under a lock that keeps two from doing so at once. */
#include "apiserver/admission/policy/policy.h"
#include "apiserver/admission/setup.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

struct policy_sets {
	pthread_mutex_t lock;
	struct {
		atomic_uint changes;	/* of policies and bindings */
		atomic_uint none_at;	/* nothing was bound behind the change before this number; 0: not known */
		struct policy_set *set; /* under lock */
	} of[2];			/* validating, mutating */
};

struct policy_sets *policy_sets_new(void)
{
	struct policy_sets *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < ARRAY_LEN(p->of); i++) {
		atomic_init(&p->of[i].changes, 1);
		atomic_init(&p->of[i].none_at, 0);
	}
	return p;
}

struct policy_sets *policy_sets_free(struct policy_sets *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(p->of); i++)
		policy_set_unref(p->of[i].set);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

void admission_policies_changed(struct apiserver *s, bool mutating)
{
	if (s->policy_sets)
		atomic_fetch_add(&s->policy_sets->of[mutating].changes, 1);
}

struct policy_set *policy_set_unref(struct policy_set *set)
{
	if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < set->n; i++) {
		for (size_t k = 0; k < set->all[i].n; k++)
			err_release(&set->all[i].bindings[k].scope.wrong);
		policy_unref(set->all[i].policy);
	}
	arena_release(&set->arena);
	free(set);
	return NULL;
}

static void set_bind(struct policy_set *set, struct policy_bound *to, struct obj *o)
{
	static const struct {
		const char *name;
		enum policy_action bit;
	} actions[] = { { "Deny", POLICY_DENY }, { "Warn", POLICY_WARN }, { "Audit", POLICY_AUDIT } };
	const struct val *match = obj_get(o, F_spec, F_matchResources), *params = obj_get(o, F_spec, F_paramRef);
	struct policy_binding *b = &to->bindings[to->n++];

	b->name = obj_name(o);
	b->has_scope = val_type(match) == VAL_MAP;
	if (b->has_scope) {
		hook_scope_compile(&set->arena, match, val_get(match, F_resourceRules),
				   val_get(match, F_excludeResourceRules), &b->scope);
		b->scope.any = !b->scope.n_rules;
	}
	b->params = val_type(params) == VAL_MAP ? params : NULL;
	b->action_names = obj_get(o, F_spec, F_validationActions);
	VAL_EACH(b->action_names, v)
		for (size_t i = 0; i < ARRAY_LEN(actions); i++)
			if (val_is(v, actions[i].name))
				b->actions |= actions[i].bit;
}

/* Where policies come from, each list in the order of names; last has those of the same place from `at` to `end`. */
struct set_source {
	struct obj *const *policies, *const *bindings;
	size_t n_policies, n_bindings;
	const struct policy_set *last;
	size_t at, end;
};

/* A policy that the last set has already, which stands in the same order. */
static struct policy *set_policy(struct set_source *from, struct obj *o, bool mutating)
{
	const struct policy_set *last = from->last;

	while (from->at < from->end && sv_cmp(last->all[from->at].policy->name, obj_name(o)) < 0)
		from->at++;
	if (from->at < from->end && last->all[from->at].policy->obj == o) {
		atomic_fetch_add(&last->all[from->at].policy->refs, 1);
		return last->all[from->at].policy;
	}
	return policy_new(o, mutating);
}

static void set_add(struct policy_set *set, struct set_source *from, bool mutating)
{
	_cleanup_(strmap_release) struct strmap counts =
	    STRMAP_INIT; /* of bindings, by policy; then where it is, + 1 */
	size_t first = set->n;

	for (size_t i = 0; i < from->n_bindings; i++) {
		void **n = strmap_slot(&counts, val_str(obj_get(from->bindings[i], F_spec, F_policyName)));

		*n = (void *)((uintptr_t)*n + 1);
	}
	for (size_t i = 0; i < from->n_policies; i++) {
		size_t n = (size_t)(uintptr_t)strmap_get(&counts, obj_name(from->policies[i]));
		struct policy_bound *b = &set->all[set->n];

		if (!n)
			continue;
		b->policy = set_policy(from, from->policies[i], mutating);
		b->bindings = ARENA_ARRAY(&set->arena, struct policy_binding, n);
		set->n++;
	}
	strmap_release(&counts);
	counts = STRMAP_INIT;
	for (size_t i = first; i < set->n; i++)
		(void)strmap_set(&counts, set->all[i].policy->name, &set->all[i]);
	for (size_t i = 0; i < from->n_bindings; i++) {
		struct policy_bound *b = strmap_get(&counts, val_str(obj_get(from->bindings[i], F_spec, F_policyName)));

		if (b)
			set_bind(set, b, obj_link(&set->arena, obj_ref(from->bindings[i])));
	}
}

static struct policy_set *set_make(struct apiserver *s, bool mutating, unsigned made_of, const struct policy_set *last)
{
	const struct resource *of = mutating ? RES(admissionregistration_mutatingadmissionpolicies)
					     : RES(admissionregistration_validatingadmissionpolicies);
	const struct resource *to = mutating ? RES(admissionregistration_mutatingadmissionpolicybindings)
					     : RES(admissionregistration_validatingadmissionpolicybindings);
	struct manifest_set *files =
	    manifests_get(s->admission->manifests[mutating ? MANIFESTS_MUTATING : MANIFESTS_VALIDATING]);
	struct set_source from = { .last = last };
	struct policy_set *set = xcalloc(1, sizeof(*set));
	struct wc_list policies = { 0 }, bindings = { 0 };

	atomic_init(&set->refs, 1);
	set->made_of = made_of;
	(void)wc_list(s->wc, to, SV(""), NULL, SV_NULL, 0, 0, &set->arena, &bindings);
	if (bindings.n)
		(void)wc_list(s->wc, of, SV(""), NULL, SV_NULL, 0, 0, &set->arena, &policies);
	set->all = ARENA_ARRAY(&set->arena, struct policy_bound, policies.n + (files ? files->n_main : 0) + 1);
	if (files) {
		from.policies = files->main;
		from.n_policies = files->n_main;
		from.bindings = files->bindings;
		from.n_bindings = files->n_bindings;
		from.end = last ? last->n_files : 0;
		set_add(set, &from, mutating);
		set->n_files = set->n;
	}
	from = (struct set_source){ policies.objs, bindings.objs, policies.n, bindings.n, last, 0, 0 };
	if (last) {
		from.at = last->n_files;
		from.end = last->n;
	}
	set_add(set, &from, mutating);
	manifest_set_unref(files);
	wc_list_unref(&policies);
	wc_list_unref(&bindings);
	return set;
}

struct policy_set *policy_set_get(struct apiserver *s, bool mutating)
{
	struct policy_sets *p = s->policy_sets;
	unsigned now = atomic_load(&p->of[mutating].changes);
	struct policy_set *set;

	if (atomic_load(&p->of[mutating].none_at) == now)
		return NULL;
	pthread_mutex_lock(&p->lock);
	now = atomic_load(&p->of[mutating].changes);
	set = p->of[mutating].set;
	if (!set || set->made_of != now) {
		struct policy_set *last = set;

		set = p->of[mutating].set = set_make(s, mutating, now, last);
		policy_set_unref(last);
		atomic_store(&p->of[mutating].none_at, set->n ? 0 : now);
	}
	if (set->n)
		atomic_fetch_add(&set->refs, 1);
	else
		set = NULL;
	pthread_mutex_unlock(&p->lock);
	return set;
}
