/* Checks of a definition's defaults and rules, until structural/ has them. */
#include "object/structural.h"

__attribute__((weak)) void structural_check_rules(struct field_errs *fe, const struct val *openapi,
						  const struct val *old, const struct fpath *at)
{
	(void)fe;
	(void)openapi;
	(void)old;
	(void)at;
}

__attribute__((weak)) void structural_check_defaults(struct field_errs *fe, const struct val *openapi,
						     const struct fpath *at)
{
	(void)fe;
	(void)openapi;
	(void)at;
}
