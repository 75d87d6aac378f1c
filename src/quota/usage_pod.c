/* What a Pod uses: the sum of its containers as everywhere (pod/pod_resources.h), but exact, and of what runs now as
 * well as of what is asked for: during a resize the larger of both counts. */
#include "quota/quota.h"

#include "base/timefmt.h"
#include "object/condition.h"
#include "object/quantity.h"
#include "pod/pod_phase.h"
#include "pod/pod_resources.h"

#include <stdlib.h>

struct pod_sum {
	struct arena *a;
	const struct val *pod;
	enum sym kind;		/* F_requests or F_limits */
	struct strmap statuses; /* name of a container -> its status, where that says what it has */
	bool infeasible;	/* what is asked for cannot be had: it does not count */
	struct quota_list total, sidecars, init;
};

/* --- containers --- */

static void sum_statuses(struct pod_sum *s)
{
	static const enum sym lists[] = { F_containerStatuses, F_initContainerStatuses };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(s->pod, F_status, lists[i]), st)
			if (val_type(val_get(st, F_resources)) == VAL_MAP)
				strmap_set(&s->statuses, val_get_str(st, F_name), (void *)(uintptr_t)st);
	VAL_EACH(val_get(s->pod, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), "PodResizePending"))
			s->infeasible = val_is(val_get(c, F_reason), "Infeasible");
}

static void raise_all(struct quota_list *l, const struct val *amounts)
{
	VAL_EACH_MEMBER(amounts, m)
		quota_list_raise(l, m.key, val_str(m.value));
}

/* What one container counts with. */
static void usage_container(const struct pod_sum *s, const struct val *container, bool lasting, struct quota_list *ret)
{
	const struct val *status = lasting ? strmap_get(&s->statuses, val_get_str(container, F_name)) : NULL;

	if (!status || !s->infeasible)
		raise_all(ret, val_get(container, F_resources, s->kind));
	if (!status)
		return;
	raise_all(ret, val_get(status, F_resources, s->kind));
	if (s->kind == F_requests)
		raise_all(ret, val_get(status, F_allocatedResources));
}

/* As sum_one() of pod/pod_resources.c. */
static void sum_init(struct pod_sum *s, const struct val *container)
{
	bool sidecar = val_is(val_get(container, F_restartPolicy), "Always");
	_cleanup_(quota_list_release) struct quota_list own = QUOTA_LIST_INIT;

	usage_container(s, container, sidecar, &own);
	for (size_t i = 0; i < own.n; i++) {
		struct sv name = own.p[i].name, amount = own.p[i].amount;

		if (sidecar) {
			quota_list_add(s->a, &s->total, name, amount);
			quota_list_add(s->a, &s->sidecars, name, amount);
			quota_list_raise(&s->init, name, quota_list_get(&s->sidecars, name));
		} else {
			quota_list_raise(&s->init, name, quota_sum(s->a, quota_list_get(&s->sidecars, name), amount));
		}
	}
}

static void pod_sum(struct pod_sum *s)
{
	const struct val *spec = val_member(s->pod, F_spec);

	sum_statuses(s);
	VAL_EACH(val_get(spec, F_containers), c) {
		_cleanup_(quota_list_release) struct quota_list own = QUOTA_LIST_INIT;

		usage_container(s, c, true, &own);
		for (size_t i = 0; i < own.n; i++)
			quota_list_add(s->a, &s->total, own.p[i].name, own.p[i].amount);
	}
	VAL_EACH(val_get(spec, F_initContainers), c)
		sum_init(s, c);
	for (size_t i = 0; i < s->init.n; i++)
		quota_list_raise(&s->total, s->init.p[i].name, s->init.p[i].amount);
	VAL_EACH_MEMBER(val_get(spec, F_resources, s->kind), m)
		if (pod_level_resource(m.key))
			quota_list_set(&s->total, m.key, val_str(m.value));
	VAL_EACH_MEMBER(val_get(spec, F_overhead), m)
		if (s->kind == F_requests || quantity_sign(quota_list_get(&s->total, m.key)) > 0)
			quota_list_add(s->a, &s->total, m.key, val_str(m.value));
}

static void pod_sum_release(struct pod_sum *s)
{
	strmap_release(&s->statuses);
	quota_list_release(&s->total);
	quota_list_release(&s->sidecars);
	quota_list_release(&s->init);
}

/* --- names --- */

static bool usage_measured(struct sv name)
{
	return sv_is(name, "cpu") || sv_is(name, "memory") || sv_is(name, "ephemeral-storage");
}

/* Extended resources, those that stand for a device class included. */
static bool usage_extended(struct sv name)
{
	return sv_starts(name, SV("deviceclass.resource.kubernetes.io/")) ||
	       (sv_find(name, '/') >= 0 && !sv_starts(name, SV("requests.")) &&
		!memmem(name.p, name.n, "kubernetes.io/", strlen("kubernetes.io/")));
}

/* The names under which an amount of a Pod counts. */
static void usage_named(struct arena *a, bool requests, struct sv name, struct sv amount, struct quota_list *ret)
{
	bool plain = usage_measured(name) || sv_starts(name, SV("hugepages-"));

	if (!requests) {
		if (usage_measured(name))
			quota_list_add(a, ret, arena_svf(a, "limits.%.*s", SV_ARG(name)), amount);
		return;
	}
	if (plain)
		quota_list_add(a, ret, name, amount);
	if (plain || usage_extended(name))
		quota_list_add(a, ret, arena_svf(a, "requests.%.*s", SV_ARG(name)), amount);
}

/* --- Pods --- */

int64_t quota_pod_until(const struct val *pod)
{
	const struct val *grace = val_get(pod, F_metadata, F_deletionGracePeriodSeconds);
	int64_t t, ns;

	if (val_type(grace) != VAL_INT || !time_parse(val_get_str(pod, F_metadata, F_deletionTimestamp), &t) ||
	    __builtin_mul_overflow(grace->i, NS_PER_SEC, &ns) || __builtin_add_overflow(t, ns, &t))
		return INT64_MAX;
	return t;
}

bool quota_pod_terminating(const struct val *pod)
{
	return val_get_int(pod, -1, F_spec, F_activeDeadlineSeconds) >= 0;
}

void quota_usage_pod(struct arena *a, const struct val *pod, int64_t now_ns, struct quota_list *ret)
{
	static const enum sym kinds[] = { F_requests, F_limits };

	if (pod_phase_terminal(pod) || now_ns > quota_pod_until(pod))
		return;
	quota_list_add(a, ret, SV("pods"), SV("1"));
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		_cleanup_(pod_sum_release) struct pod_sum s = { .a = a, .pod = pod, .kind = kinds[k] };

		pod_sum(&s);
		for (size_t i = 0; i < s.total.n; i++)
			usage_named(a, kinds[k] == F_requests, s.total.p[i].name, s.total.p[i].amount, ret);
	}
}

/* --- what must be said --- */

/* Names of containers, each once, in order. */
static void missing_names(const struct sv *names, size_t n, struct buf *to)
{
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !sv_eq(names[i], names[i - 1]))
			buf_printf(to, "%s%.*s", i ? "," : "", SV_ARG(names[i]));
}

void quota_pod_missing(struct arena *a, const struct val *pod, const struct quota_list *names, struct buf *to)
{
	static const struct {
		const char *name, *of;
		enum sym kind;
	} must[] = { /* in the order of their names */
		     { "cpu", "cpu", F_requests },
		     { "limits.cpu", "cpu", F_limits },
		     { "limits.memory", "memory", F_limits },
		     { "memory", "memory", F_requests },
		     { "requests.cpu", "cpu", F_requests },
		     { "requests.memory", "memory", F_requests }
	};
	static const enum sym lists[] = { F_containers, F_initContainers };
	const struct val *spec = val_member(pod, F_spec);
	struct sv *without;

	if (pod_level_set(spec))
		return;
	without =
	    ARENA_ARRAY(a, struct sv, val_len(val_get(spec, F_containers)) + val_len(val_get(spec, F_initContainers)));
	for (size_t i = 0; i < ARRAY_LEN(must); i++) {
		size_t n = 0;

		if (!quota_list_get(names, sv_from(must[i].name)).p)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(lists); k++)
			VAL_EACH(val_get(spec, lists[k]), c)
				if (!val_member_sv(val_get(c, F_resources, must[i].kind), sv_from(must[i].of)))
					without[n++] = val_get_str(c, F_name);
		if (!n)
			continue;
		qsort(without, n, sizeof(*without), sv_order);
		buf_printf(to, "%s%s for: ", to->n ? "; " : "", must[i].name);
		missing_names(without, n, to);
	}
}
