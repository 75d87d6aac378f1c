#include "controllers/hpa_limits.h"

#include "object/quantity.h"

#include <math.h>

#define TOLERANCE 0.1
#define DOWN_WINDOW_S 300
#define DOWN_PERCENT 100
#define UP_PERCENT 100
#define UP_PODS 4
#define PERIOD_S 15

/* The rules of one direction; what is not said is upstream's. */
struct rules {
	const struct val *spec; /* or NULL */
	bool up;
};

struct policy {
	bool percent;
	int64_t value, period_ns;
};

void hpa_history_release(struct hpa_history *h)
{
	vec_release(&h->asked);
	vec_release(&h->up);
	vec_release(&h->down);
}

static struct rules hpa_rules(const struct val *behavior, bool up)
{
	return (struct rules){ val_member(behavior, up ? F_scaleUp : F_scaleDown), up };
}

static int64_t window_ns(const struct rules *r)
{
	return val_get_int(r->spec, r->up ? 0 : DOWN_WINDOW_S, F_stabilizationWindowSeconds) * NS_PER_SEC;
}

double hpa_tolerance_of(const struct val *behavior, bool up)
{
	const struct rules r = hpa_rules(behavior, up);
	const struct val *t = val_member(r.spec, F_tolerance);

	return t ? quantity_float(val_str(t)) : TOLERANCE;
}

/* The i-th policy. False: there are no more. */
static bool policy_at(const struct rules *r, size_t i, struct policy *ret)
{
	static const struct policy usual[] = { { true, UP_PERCENT, PERIOD_S * NS_PER_SEC },
					       { false, UP_PODS, PERIOD_S * NS_PER_SEC } };
	const struct val *list = val_member(r->spec, F_policies), *p;

	if (!val_len(list)) {
		*ret = r->up ? usual[MIN(i, (size_t)1)] : (struct policy){ true, DOWN_PERCENT, PERIOD_S * NS_PER_SEC };
		return i < (r->up ? 2 : 1);
	}
	if (i >= val_len(list))
		return false;
	p = val_at(list, i);
	*ret = (struct policy){ val_is(val_member(p, F_type), "Percent"), val_get_int(p, 0, F_value),
				val_get_int(p, PERIOD_S, F_periodSeconds) * NS_PER_SEC };
	return true;
}

static int64_t sum_since(const struct hpa_then *list, size_t n, int64_t since_ns)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += list[i].at_ns > since_ns ? list[i].n : 0;
	return sum;
}

static int64_t limit_by(const struct policy *p, bool up, int64_t start)
{
	double share = (double)p->value / 100;

	if (!p->percent)
		return up ? start + p->value : start - p->value;
	return up ? (int64_t)MIN(ceil((double)start * (1 + share)), (double)INT32_MAX)
		  : (int64_t)((double)start * (1 - share));
}

/* How far the policies let it go in that direction. */
static int64_t rate_limit(const struct hpa_history *h, const struct hpa_bounds *b, const struct rules *r)
{
	const struct val *select = val_member(r->spec, F_selectPolicy);
	bool least = val_is(select, "Min");
	int64_t limit = r->up ? 0 : INT32_MAX;
	struct policy p;

	if (!b->behavior) /* nobody said anything: no faster than double, or four at once; down as far as it goes */
		return r->up ? MAX(2 * b->current, UP_PODS) : 0;
	if (val_is(select, "Disabled"))
		return b->current;
	for (size_t i = 0; policy_at(r, i, &p); i++) {
		int64_t since = b->now_ns - p.period_ns;
		int64_t start =
		    b->current - sum_since(h->up.p, h->up.n, since) + sum_since(h->down.p, h->down.n, since);
		int64_t one = limit_by(&p, r->up, start);

		/* The first of the smallest changes counts, too: nothing is compared with the end of the numbers. */
		if (i == 0)
			limit = one;
		else if (least == r->up)
			limit = MIN(limit, one);
		else
			limit = MAX(limit, one);
	}
	return r->up ? MAX(limit, b->current) : MIN(limit, b->current);
}

/* In place of one that nothing reaches any more, else behind them. */
#define remember(list, what, old_ns)                                        \
	do {                                                                \
		size_t at_ = 0;                                             \
                                                                            \
		while (at_ < (list)->n && (list)->p[at_].at_ns >= (old_ns)) \
			at_++;                                              \
		if (at_ < (list)->n)                                        \
			(list)->p[at_] = (what);                            \
		else                                                        \
			vec_push((list), (what));                           \
	} while (0)

/* Between the least that was asked for in the window upwards and the most in that downwards. */
static int64_t stabilize(struct hpa_history *h, const struct hpa_bounds *b, int64_t wanted, struct hpa_said *able)
{
	const struct rules up = hpa_rules(b->behavior, true), down = hpa_rules(b->behavior, false);
	int64_t up_since = b->now_ns - window_ns(&up), down_since = b->now_ns - window_ns(&down);
	struct hpa_then now = { wanted, b->now_ns };
	int64_t least = wanted, most = wanted, n;

	for (size_t i = 0; i < h->asked.n; i++) {
		const struct hpa_then *t = &h->asked.p[i];

		if (t->at_ns > up_since)
			least = MIN(least, t->n);
		if (t->at_ns > down_since)
			most = MAX(most, t->n);
	}
	remember(&h->asked, now, MIN(up_since, down_since));
	n = MIN(MAX(b->current, least), most);
	*able = (struct hpa_said){ "True", "ReadyForNewScale", "recommended size matches current size" };
	if (n == wanted)
		return n;
	if (wanted >= b->current)
		*able = (struct hpa_said){ "True", "ScaleUpStabilized",
					   "recent recommendations were lower than current one, applying the lowest "
					   "recent recommendation" };
	else
		*able = (struct hpa_said){ "True", "ScaleDownStabilized",
					   "recent recommendations were higher than current one, applying the highest "
					   "recent recommendation" };
	return n;
}

static int64_t bounded(const struct hpa_history *h, const struct hpa_bounds *b, int64_t n, struct hpa_said *limited)
{
	const struct rules up = hpa_rules(b->behavior, true), down = hpa_rules(b->behavior, false);
	int64_t rate;

	*limited =
	    (struct hpa_said){ "False", "DesiredWithinRange", "the desired count is within the acceptable range" };
	if (n > b->current) {
		rate = rate_limit(h, b, &up);
		if (n <= MIN(rate, b->max))
			return n;
		*limited = b->max > rate
			       ? (struct hpa_said){ "True", "ScaleUpLimit",
						    "the desired replica count is increasing faster than the maximum "
						    "scale rate" }
			       : (struct hpa_said){ "True", "TooManyReplicas",
						    "the desired replica count is more than the maximum replica "
						    "count" };
		return MIN(rate, b->max);
	}
	if (n < b->current) {
		rate = rate_limit(h, b, &down);
		if (n >= MAX(rate, b->min))
			return n;
		*limited = b->min < rate
			       ? (struct hpa_said){ "True", "ScaleDownLimit",
						    "the desired replica count is decreasing faster than the maximum "
						    "scale rate" }
			       : (struct hpa_said){ "True", "TooFewReplicas",
						    "the desired replica count is less than the minimum replica "
						    "count" };
		return MAX(rate, b->min);
	}
	return n;
}

int64_t hpa_limit(struct hpa_history *h, const struct hpa_bounds *b, int64_t wanted, struct hpa_said *able,
		  struct hpa_said *limited)
{
	return bounded(h, b, stabilize(h, b, wanted, able), limited);
}

static int64_t longest_ns(const struct rules *r)
{
	int64_t longest = 0;
	struct policy p;

	for (size_t i = 0; policy_at(r, i, &p); i++)
		longest = MAX(longest, p.period_ns);
	return longest;
}

void hpa_changed(struct hpa_history *h, const struct hpa_bounds *b, int64_t to)
{
	const struct rules up = hpa_rules(b->behavior, true), down = hpa_rules(b->behavior, false);
	/* Each direction is counted in the periods of both. */
	int64_t old_ns = b->now_ns - MAX(longest_ns(&up), longest_ns(&down));
	struct hpa_then change = { llabs(to - b->current), b->now_ns };

	if (to > b->current)
		remember(&h->up, change, old_ns);
	else
		remember(&h->down, change, old_ns);
}
