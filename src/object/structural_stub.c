/* A placeholder until structural/ is here. */
#include "object/structural.h"
#define WEAK __attribute__((weak))
WEAK void structural_validate(const struct structural *s, struct field_errs *fe, const struct val *doc,
			 const struct val *old)
{ (void)s;(void)fe;(void)doc;(void)old; }
WEAK void structural_validate_rest(const struct structural *s, struct field_errs *fe, const struct val *doc,
			      const struct val *old, const struct structural_run *run)
{ (void)s;(void)fe;(void)doc;(void)old;(void)run; }
WEAK void structural_check_rules(struct field_errs *fe, const struct val *openapi, const struct val *old,
			    const struct fpath *at)
{ (void)fe;(void)openapi;(void)old;(void)at; }
WEAK void structural_check_defaults(struct field_errs *fe, const struct val *openapi, const struct fpath *at)
{ (void)fe;(void)openapi;(void)at; }
#include "object/oas_format.h"
WEAK void structural_release(struct structural *s) { (void)s; }
WEAK const struct oas_format *oas_format_find(struct sv name) { (void)name; return NULL; }
