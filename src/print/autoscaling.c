/* Rows of HorizontalPodAutoscalers: metrics as "current/target", the first two of them. */
#include "print/print-internal.h"
#include "object/autoscaler.h"

#define SHOWN 2

/* As Go prints a quantity that may not be there. */
static struct sv autoscaler_quantity(const struct val *v)
{
	return val_type(v) == VAL_STR ? val_str(v) : SV("<nil>");
}

static struct sv autoscaler_percent(struct arena *a, const struct val *v, const char *absent)
{
	return val_type(v) == VAL_INT ? arena_svf(a, "%" PRId64 "%%", val_int_or(v, 0)) : sv_from(absent);
}

/* CPU and memory: an amount, or a percentage of what is requested. */
static struct sv autoscaler_resource(struct arena *a, const struct val *target, const struct val *is, struct sv name)
{
	const struct val *amount = val_member(target, F_averageValue), *current = val_member(is, F_current);
	struct sv now, goal;

	if (amount) {
		now = is ? autoscaler_quantity(val_member(current, F_averageValue)) : SV("<unknown>");
		goal = val_str(amount);
	} else {
		now = autoscaler_percent(a, val_member(current, F_averageUtilization), "<unknown>");
		goal = autoscaler_percent(a, val_member(target, F_averageUtilization), "<auto>");
	}
	return arena_svf(a, "%.*s: %.*s/%.*s", SV_ARG(name), SV_ARG(now), SV_ARG(goal));
}

/* Anything else: a value, or for each pod its part of it. */
static struct sv autoscaler_value(struct arena *a, const struct val *target, const struct val *is, bool of_pods)
{
	const struct val *current = val_member(is, F_current), *part = val_member(target, F_averageValue);
	enum sym how = part || of_pods ? F_averageValue : F_value;
	const struct val *now = val_member(current, how);
	struct sv text = is && (now || of_pods || !part) ? autoscaler_quantity(now) : SV("<unknown>");

	return arena_svf(a, "%.*s/%.*s%s", SV_ARG(text), SV_ARG(autoscaler_quantity(val_member(target, how))),
			 part && !of_pods ? " (avg)" : "");
}

static struct sv autoscaler_target(struct arena *a, const struct val *m, const struct val *status)
{
	enum sym of = autoscaler_member_of(val_get_str(m, F_type));
	const struct val *src = val_member(m, of), *is = val_member(status, of);

	if (!of)
		return SV("<unknown type>");
	if (of == F_resource || of == F_containerResource)
		return autoscaler_resource(a, val_member(src, F_target), is, val_get_str(src, F_name));
	return autoscaler_value(a, val_member(src, F_target), is, of == F_pods);
}

static void autoscaler_targets(struct arena *a, const struct val *h, struct val *cells)
{
	const struct val *metrics = val_get(h, F_spec, F_metrics), *is = val_get(h, F_status, F_currentMetrics);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n = val_len(metrics);

	for (size_t i = 0; i < n && i < SHOWN; i++)
		cell_join(&b, ", ", autoscaler_target(a, val_at(metrics, i), val_at(is, i)));
	if (n > SHOWN)
		buf_printf(&b, " + %zu more...", n - SHOWN);
	cell_buf(a, cells, &b, "<none>");
}

void print_autoscaler(struct arena *a, const struct val *h, int64_t now_ns, struct val *cells)
{
	const struct val *min = val_get(h, F_spec, F_minReplicas);

	(void)now_ns;
	cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(h, F_spec, F_scaleTargetRef, F_kind)),
		 SV_ARG(val_get_str(h, F_spec, F_scaleTargetRef, F_name)));
	autoscaler_targets(a, h, cells);
	if (val_type(min) == VAL_INT)
		cell_fmt(a, cells, "%" PRId64, val_int_or(min, 0));
	else
		cell_cstr(a, cells, "<unset>");
}

void print_autoscaler_v1(struct arena *a, const struct val *h, int64_t now_ns, struct val *cells)
{
	print_autoscaler(a, autoscaler_to_v2(a, h), now_ns, cells);
}
