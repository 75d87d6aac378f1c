/* In place of rules.c, rules_compile.c, rules_path.c and check_rules.c until the engine of object/cel is linked: no rule
 * is run. */
#include "object/structural/rules.h"

void rules_check(const struct structural *s, struct field_errs *fe, const struct val *doc, const struct val *old,
		 const struct structural_run *run, const struct fpath *at)
{
	(void)s;
	(void)fe;
	(void)doc;
	(void)old;
	(void)run;
	(void)at;
}

void structural_check_rules(struct field_errs *fe, const struct val *openapi, const struct val *old,
			    const struct fpath *at)
{
	(void)fe;
	(void)openapi;
	(void)old;
	(void)at;
}

void structural_release(struct structural *s)
{
	(void)s;
}
