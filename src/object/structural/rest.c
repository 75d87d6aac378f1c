/* What is judged after the values. */
#include "object/structural/lists.h"
#include "object/structural/meta.h"
#include "object/structural/rules.h"

static bool lists_were_wrong(const struct snode *n, struct arena *a, const struct val *old)
{
	struct field_errs fe;

	if (!old || !(n->flags & SN_LISTS))
		return false;
	field_errs_init(&fe, a);
	lists_check(n, &fe, old, NULL);
	return fe.list.n > 0;
}

/* Rules count on what the schema promises of values. */
static bool rules_may_run(struct field_errs *fe)
{
	for (size_t i = 0; i < fe->list.n; i++) {
		switch (fe->list.p[i].type) {
		case FE_REQUIRED:
		case FE_TOO_LONG:
		case FE_TOO_MANY:
		case FE_TYPE_INVALID:
			fe_invalid(fe, &snode_nowhere, &fe_null,
				   "some validation rules were not checked because the object was invalid; correct the "
				   "existing errors to complete validation");
			return false;
		default:
			break;
		}
	}
	return true;
}

void structural_validate_rest(const struct structural *s, struct field_errs *fe, const struct val *doc,
			      const struct val *old, const struct structural_run *run)
{
	const struct snode *root = structural_tree(s)->root;

	meta_check(root, fe, doc, NULL);
	if (!lists_were_wrong(root, fe->a, old))
		lists_check(root, fe, doc, NULL);
	if (root->flags & SN_RULES && rules_may_run(fe))
		rules_check(s, fe, doc, old, run, NULL);
}
