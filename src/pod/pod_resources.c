/* See pod_resources.h. */
#include "pod/pod_resources.h"

#include "object/quantity.h"

#include <stdlib.h>

#define SOME_CPU_MILLI 100
#define SOME_MEMORY (INT64_C(200) * 1024 * 1024)
#define AMOUNT_MAX (INT64_C(1) << 52)

/* --- lists --- */

void res_list_release(struct res_list *l)
{
	strmap_release(&l->at);
	free(l->p);
	*l = RES_LIST_INIT;
}

static struct res_item *res_list_find(const struct res_list *l, struct sv name)
{
	size_t at = (uintptr_t)strmap_get(&l->at, name);

	return at ? &l->p[at - 1] : NULL;
}

int64_t res_list_get(const struct res_list *l, struct sv name)
{
	const struct res_item *i = res_list_find(l, name);

	return i ? i->amount : 0;
}

bool res_list_has(const struct res_list *l, struct sv name)
{
	return res_list_find(l, name) != NULL;
}

static void res_list_set(struct res_list *l, struct sv name, int64_t amount)
{
	struct res_item *i = res_list_find(l, name);

	if (!i) {
		if (l->n == l->cap) {
			l->cap = l->cap ? l->cap * 2 : 8;
			l->p = xrealloc(l->p, l->cap * sizeof(*l->p));
		}
		i = &l->p[l->n++];
		i->name = name;
		strmap_set(&l->at, name, (void *)(uintptr_t)l->n);
	}
	i->amount = MIN(amount, AMOUNT_MAX);
}

void res_list_add(struct res_list *l, struct sv name, int64_t amount)
{
	res_list_set(l, name, res_list_get(l, name) + amount);
}

static void res_list_raise(struct res_list *l, struct sv name, int64_t amount)
{
	res_list_set(l, name, MAX(res_list_get(l, name), amount));
}

int64_t res_amount(struct sv name, const struct val *v)
{
	int64_t x = 0;

	if (sv_is(name, "cpu"))
		x = quantity_milli_or(v, 0);
	else if (val_type(v) == VAL_INT)
		x = v->i;
	else
		(void)quantity_value(val_str(v), &x);
	return MIN(MAX(x, 0), AMOUNT_MAX);
}

struct sv res_text(struct arena *a, struct sv name, int64_t amount)
{
	return sv_is(name, "cpu") ? quantity_from_milli(a, amount) : quantity_from_bytes(a, amount);
}

/* --- sums --- */

enum runs { RUNS_MAIN, RUNS_SIDECAR, RUNS_INIT };

struct sum {
	struct res_list *total, sidecars, init;
};

/* Linear in what all containers name: a sidecar raises `init` at once by what it adds, so that an ordinary init
 * container need not look at resources it does not name itself. */
static void sum_one(struct sum *s, enum runs runs, struct sv name, int64_t amount)
{
	switch (runs) {
	case RUNS_MAIN:
		res_list_add(s->total, name, amount);
		break;
	case RUNS_SIDECAR:
		res_list_add(s->total, name, amount);
		res_list_add(&s->sidecars, name, amount);
		res_list_raise(&s->init, name, res_list_get(&s->sidecars, name));
		break;
	case RUNS_INIT:
		res_list_raise(&s->init, name, amount + res_list_get(&s->sidecars, name));
		break;
	}
}

static void sum_container(struct sum *s, enum runs runs, const struct val *container, enum sym kind, bool assume_some)
{
	const struct val *list = val_get(container, F_resources, kind);

	VAL_EACH_MEMBER(list, m)
		sum_one(s, runs, m.key, res_amount(m.key, m.value));
	if (assume_some && !val_member_sv(list, SV("cpu")))
		sum_one(s, runs, SV("cpu"), SOME_CPU_MILLI);
	if (assume_some && !val_member_sv(list, SV("memory")))
		sum_one(s, runs, SV("memory"), SOME_MEMORY);
}

static void sum_pod(const struct val *spec, enum sym kind, enum res_assume how, struct res_list *ret)
{
	struct sum s = { .total = ret };

	VAL_EACH(val_get(spec, F_containers), c)
		sum_container(&s, RUNS_MAIN, c, kind, how == RES_ASSUME_SOME);
	VAL_EACH(val_get(spec, F_initContainers), c)
		sum_container(&s, val_is(val_get(c, F_restartPolicy), "Always") ? RUNS_SIDECAR : RUNS_INIT, c, kind,
			      how == RES_ASSUME_SOME);
	for (size_t i = 0; i < s.init.n; i++)
		res_list_raise(ret, s.init.p[i].name, s.init.p[i].amount);
	res_list_release(&s.sidecars);
	res_list_release(&s.init);
	if (how == RES_CONTAINERS_ONLY)
		return;
	VAL_EACH_MEMBER(val_get(spec, F_resources, kind), m)
		if (pod_level_resource(m.key))
			res_list_set(ret, m.key, res_amount(m.key, m.value));
	VAL_EACH_MEMBER(val_get(spec, F_overhead), m)
		if (kind == F_requests || res_list_has(ret, m.key))
			res_list_add(ret, m.key, res_amount(m.key, m.value));
}

void pod_requests(const struct val *spec, enum res_assume how, struct res_list *ret)
{
	sum_pod(spec, F_requests, how, ret);
}

void pod_limits(const struct val *spec, enum res_assume how, struct res_list *ret)
{
	sum_pod(spec, F_limits, how, ret);
}

bool pod_level_resource(struct sv name)
{
	return sv_is(name, "cpu") || sv_is(name, "memory") || sv_starts(name, SV("hugepages-"));
}

bool pod_level_set(const struct val *spec)
{
	static const enum sym kinds[] = { F_requests, F_limits };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		VAL_EACH_MEMBER(val_get(spec, F_resources, kinds[i]), m)
			if (pod_level_resource(m.key))
				return true;
	return false;
}

/* --- class of service --- */

const char *qos_name(enum qos_class q)
{
	static const char *const names[] = { "BestEffort", "Burstable", "Guaranteed" };

	return names[q];
}

static void qos_look(const struct val *resources, bool *any, bool *guaranteed)
{
	const struct val *limits = val_member(resources, F_limits), *requests = val_member(resources, F_requests);
	const struct sv keys[] = { SV("cpu"), SV("memory") };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct val *l = val_member_sv(limits, keys[i]), *r = val_member_sv(requests, keys[i]);
		bool limited = quantity_milli_or(l, 0) > 0, requested = quantity_milli_or(r, 0) > 0;

		*any |= limited || requested;
		/* Defaulting copied limits to absent requests. */
		*guaranteed &= limited && (!requested || quantity_cmp(val_str(l), val_str(r)) == 0);
	}
}

enum qos_class pod_qos_class(const struct val *spec)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	bool any = false, guaranteed = true;

	if (pod_level_set(spec))
		qos_look(val_get(spec, F_resources), &any, &guaranteed);
	else
		for (size_t k = 0; k < ARRAY_LEN(lists); k++)
			VAL_EACH(val_get(spec, lists[k]), c)
				qos_look(val_get(c, F_resources), &any, &guaranteed);
	return !any ? QOS_BEST_EFFORT : guaranteed ? QOS_GUARANTEED : QOS_BURSTABLE;
}
