/* See podutil.h. */
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "object/validate.h"
#include "pod/pod_phase.h"

static const struct val *ready_condition(const struct obj *pod)
{
	return condition_find(obj_get(pod, F_status, F_conditions), "Ready");
}

bool pod_is_ready(const struct obj *pod)
{
	return val_is(val_member(ready_condition(pod), F_status), "True");
}

bool pod_ready_since(const struct obj *pod, int64_t *ret_ns)
{
	return time_get(val_member(ready_condition(pod), F_lastTransitionTime), ret_ns);
}

bool pod_is_available(const struct obj *pod, int64_t min_ready_s, int64_t now_ns, int64_t *ret_wait_ns)
{
	int64_t since, due;

	if (!pod_is_ready(pod))
		return false;
	if (min_ready_s <= 0)
		return true;
	if (!pod_ready_since(pod, &since))
		return false;
	due = since + min_ready_s * NS_PER_SEC;
	if (due <= now_ns)
		return true;
	if (ret_wait_ns && (*ret_wait_ns == 0 || due - now_ns < *ret_wait_ns))
		*ret_wait_ns = due - now_ns;
	return false;
}

bool pod_is_terminal(const struct obj *pod)
{
	return pod_phase_terminal(obj_root(pod));
}

bool pod_is_active(const struct obj *pod)
{
	return !pod_is_terminal(pod) && !obj_deleting(pod);
}

bool pod_is_terminating(const struct obj *pod)
{
	return !pod_is_terminal(pod) && obj_deleting(pod);
}

int64_t pod_restarts(const struct obj *pod)
{
	int64_t most = 0;

	VAL_EACH(obj_get(pod, F_status, F_containerStatuses), c)
		most = MAX(most, val_get_int(c, 0, F_restartCount));
	return most;
}

int64_t pod_deletion_cost(const struct obj *pod)
{
	int64_t cost;

	/* Malformed ones count as none: admission refuses them, old objects may have them. */
	if (!sv_to_i64(annotation_of(obj_root(pod), "controller.kubernetes.io/pod-deletion-cost"), &cost))
		return 0;
	return cost;
}

bool address_counts(struct sv ip)
{
	return !fmt_nonspecial_ip(ip);
}

struct sv pod_ip(const struct obj *pod, bool v6)
{
	struct sv ip = val_str(obj_get(pod, F_status, F_podIP));

	VAL_EACH(obj_get(pod, F_status, F_podIPs), p) {
		struct sv s = val_str(val_member(p, F_ip));

		if ((sv_find(s, ':') >= 0) == v6 && address_counts(s))
			return s;
	}
	return (sv_find(ip, ':') >= 0) == v6 && address_counts(ip) ? ip : SV("");
}

bool int_or_percent(const struct val *v, int64_t total, bool round_up, int64_t *ret)
{
	struct sv s = val_str(v);
	int64_t percent;

	if (val_type(v) == VAL_INT) {
		*ret = v->i;
		return true;
	}
	if (!sv_ends(s, SV("%")) || !sv_to_i64(sv_sub(s, 0, s.n - 1), &percent) || percent < 0 || percent > INT32_MAX ||
	    total < 0 || total > INT32_MAX)
		return false;
	*ret = (percent * total + (round_up ? 99 : 0)) / 100;
	return true;
}

struct sv label_of(const struct val *doc, const char *name)
{
	return val_str(val_member_sv(val_get(doc, F_metadata, F_labels), sv_from(name)));
}

int obj_by_name(const void *x, const void *y)
{
	return sv_cmp(obj_name(*(struct obj *const *)x), obj_name(*(struct obj *const *)y));
}

bool list_has_text(const struct val *list, struct sv text)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), text))
			return true;
	return false;
}
