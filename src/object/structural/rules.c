/* Rules in CEL. */
#include "object/structural/rules.h"

void rules_check(const struct structural *s, struct field_errs *fe, const struct val *doc, const struct val *old,
		 const struct structural_run *run)
{
	(void)s;
	(void)fe;
	(void)doc;
	(void)old;
	(void)run;
}

void rules_release(struct structural *s)
{
	(void)s;
}

void structural_release(struct structural *s)
{
	if (s)
		rules_release(s);
}
