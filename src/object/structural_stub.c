/* A placeholder until structural/ is here. */
#include "object/structural.h"
#define WEAK __attribute__((weak))
struct structural { int n; };
WEAK struct structural *structural_new(struct arena *a, const struct val *openapi, struct err *err)
{
	(void)openapi; (void)err;
	return ARENA_NEW(a, struct structural);
}
WEAK void structural_release(struct structural *s) { (void)s; }
WEAK int structural_decode(const struct structural *s, struct arena *a, struct val *doc, struct decode_report *report,
		      struct err *err)
{ (void)s;(void)a;(void)doc;(void)report;(void)err; return 0; }
WEAK void structural_default(const struct structural *s, struct arena *a, struct val *doc)
{ (void)s;(void)a;(void)doc; }
WEAK void structural_from_store(const struct structural *s, struct arena *a, struct val *doc)
{ (void)s;(void)a;(void)doc; }
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
