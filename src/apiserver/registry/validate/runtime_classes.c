/* runtime_classes.c - RuntimeClass: a name for a way of running pods, what that costs, and where there is one. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "object/list_index.h"

void validate_runtime_class(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath handler_at = FPATH_ROOT(F_handler), overhead_at = FPATH_ROOT(F_overhead),
		     sched_at = FPATH_ROOT(F_scheduling), node_at = FPATH(&sched_at, F_nodeSelector),
		     tol_at = FPATH(&sched_at, F_tolerations), inner_at = FPATH(&tol_at, F_tolerations);
	const struct val *sched = val_member(doc, F_scheduling), *tolerations = val_member(sched, F_tolerations);
	const struct val *fixed = val_get(doc, F_overhead, F_podFixed);
	struct val *limits = val_new_map(fe->a);

	(void)sub;
	if (!val_get_str(doc, F_handler).n)
		fe_required(fe, &handler_at);
	else
		check_text(fe, val_member(doc, F_handler), &handler_at, fmt_dns_label);
	if (old)
		check_immutable(fe, doc, old, NULL, F_handler);
	if (fixed) { /* upstream's path: judged as limits */
		val_set(fe->a, limits, F_limits, fixed);
		validate_requirements(fe, limits, &overhead_at);
	}
	if (!sched)
		return;
	if (val_member(sched, F_nodeSelector))
		validate_labels(fe, val_member(sched, F_nodeSelector), &node_at);
	validate_tolerations(fe, tolerations, &inner_at); /* upstream's path, which names them twice */
	check_unique(fe, tolerations, &tol_at);
}
