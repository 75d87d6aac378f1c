/* evictions.c - EvictionRequest and Eviction (lifecycle.k8s.io): pods that leave with their own consent. */
#include "apiserver/registry/validate/declared.h"
#include "apiserver/registry/validate/dra.h"

#define CONDITIONS_MAX 100
#define REQUESTERS_MAX 100
#define RESPONDERS_MAX 11
#define TURN_MAX 100000
#define MESSAGE_MAX 4000

static void leave_target(struct field_errs *fe, const struct val *target, const struct fpath *at)
{
	struct fpath pod_at = FPATH(at, F_pod), uid_at = FPATH(&pod_at, F_uid);
	const struct val *pod = val_member(target, F_pod);

	DECLARED_UNION(fe, target, at, F_pod);
	if (!pod)
		return;
	check_required_text(fe, pod, &pod_at, F_name, fmt_dns_subdomain);
	if (!val_get_str(pod, F_uid).n)
		fe_required(fe, &uid_at);
	else
		dra_uid(fe, val_get_str(pod, F_uid), &uid_at);
}

static void leave_intent(struct field_errs *fe, const struct val *v, const struct fpath *up)
{
	const struct val *intent = val_member(v, F_intent);
	struct fpath at = FPATH(up, F_intent);

	if (!val_str(intent).n)
		fe_required(fe, &at);
	else
		CHECK_ONE_OF(fe, intent, &at, "Eviction", "Withdrawn");
}

static void leave_observed(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_observedGeneration),
		     conditions_at = FPATH(&st_at, F_conditions);
	const struct val *now = val_get(doc, F_status, F_observedGeneration),
			 *was = val_get(old, F_status, F_observedGeneration);

	validate_conditions(fe, val_get(doc, F_status, F_conditions), &conditions_at, CONDITIONS_MAX);
	declared_range(fe, now, &at, 1, INT64_MAX);
	declared_update(fe, now, was, &at, DECLARED_NO_UNSET);
	if (now && was && val_int_or(now, 0) < val_int_or(was, 0))
		fe_invalid(fe, &at, now, "must not be less than the previous value");
}

/* Those of kubernetes.io itself are not for others to ask as. */
static bool leave_reserved(struct sv requester)
{
	ssize_t slash = sv_find(requester, '/');
	struct sv domain = slash < 0 ? SV("") : sv_sub(requester, 0, (size_t)slash);

	return sv_is(domain, "k8s.io") || sv_is(domain, "kubernetes.io") || sv_ends(domain, SV(".k8s.io")) ||
	       sv_ends(domain, SV(".kubernetes.io"));
}

void validate_eviction_request(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), target_at = FPATH(&at, F_target), requester_at = FPATH(&at, F_requester);

	if (is_sub(sub, "status")) {
		leave_observed(fe, doc, old);
		return;
	}
	leave_target(fe, val_member(spec, F_target), &target_at);
	declared_prefixed_key(fe, spec, &at, F_requester);
	if (!old && leave_reserved(val_get_str(spec, F_requester)))
		fe_invalid(fe, &requester_at, val_member(spec, F_requester),
			   "domain names *.k8s.io and *.kubernetes.io are reserved");
	leave_intent(fe, spec, &at);
	if (!old)
		return;
	check_immutable(fe, spec, was, &at, F_target);
	check_immutable(fe, spec, was, &at, F_requester);
}

static void leave_requesters(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_requesters);
	const struct val *list = val_get(doc, F_status, F_requesters);
	size_t i = 0;

	if (!declared_list(fe, list, &at, REQUESTERS_MAX))
		return;
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(&at, i++);

		declared_prefixed_key(fe, r, &item, F_name);
		leave_intent(fe, r, &item);
	}
	declared_items_kept(fe, list, val_get(old, F_status, F_requesters), &at, true);
}

static void leave_turns(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_targetResponders);
	const struct val *list = val_get(doc, F_status, F_targetResponders);
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	size_t i = 0, active = 0;

	if (!declared_list(fe, list, &at, RESPONDERS_MAX))
		return;
	index_by_name(&had, val_get(old, F_status, F_targetResponders));
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(&at, i++), turn_at = FPATH(&item, F_priority),
			     state_at = FPATH(&item, F_state);
		const struct val *was = strmap_get(&had, val_get_str(r, F_name)), *turn = val_member(r, F_priority),
				 *state = val_member(r, F_state);

		declared_prefixed_key(fe, r, &item, F_name);
		if (!is_set(turn))
			fe_required(fe, &turn_at);
		declared_range(fe, turn, &turn_at, 0, TURN_MAX);
		if (was)
			declared_update(fe, turn, val_member(was, F_priority), &turn_at,
					DECLARED_NO_MODIFY | DECLARED_NO_UNSET);
		if (!val_str(state).n)
			fe_required(fe, &state_at);
		else
			CHECK_ONE_OF(fe, state, &state_at, "Active", "Canceled", "Completed", "Inactive",
				     "Interrupted");
		active += val_is(state, "Active");
	}
	if (active > 1)
		fe_invalid(fe, &at, list, "at most one responder may be Active");
}

static void leave_responders(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	static const enum sym once[] = { F_startTime, F_completionTime };
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_responders);
	const struct val *list = val_get(doc, F_status, F_responders);
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	size_t i = 0;

	if (!declared_list(fe, list, &at, RESPONDERS_MAX))
		return;
	index_by_name(&had, val_get(old, F_status, F_responders));
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(&at, i++), message_at = FPATH(&item, F_message);
		const struct val *was = strmap_get(&had, val_get_str(r, F_name));

		declared_prefixed_key(fe, r, &item, F_name);
		for (size_t k = 0; was && k < ARRAY_LEN(once); k++) {
			struct fpath here = FPATH(&item, once[k]);

			declared_update(fe, val_member(r, once[k]), val_member(was, once[k]), &here,
					DECLARED_NO_MODIFY | DECLARED_NO_UNSET);
		}
		if (val_get_str(r, F_message).n > MESSAGE_MAX)
			fe_too_long(fe, &message_at, MESSAGE_MAX);
	}
}

void validate_lifecycle_eviction(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec), target_at = FPATH(&at, F_target);

	if (is_sub(sub, "status")) {
		leave_observed(fe, doc, old);
		leave_requesters(fe, doc, old);
		leave_turns(fe, doc, old);
		leave_responders(fe, doc, old);
		return;
	}
	leave_target(fe, val_get(doc, F_spec, F_target), &target_at);
	if (old)
		check_immutable(fe, val_member(doc, F_spec), val_member(old, F_spec), &at, F_target);
}
