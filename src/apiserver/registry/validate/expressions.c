/* expressions.c - expressions of policies and webhooks: what does not compile is refused, in upstream's words. One that
 * was there before may use all functions, also those that the release before ours did not have. */
#include "apiserver/registry/validate/kinds-internal.h"

void validate_expression(struct field_errs *fe, struct expressions *x, enum policy_use use, const struct val *v,
			 const struct fpath *at, struct cel_program **ret)
{
	struct sv text = val_str(v), why = SV_NULL;
	struct cel_program *p = policy_compile(&x->compiler, use, strmap_has(&x->stored, text), text, &why);

	if (!p)
		fe_invalid(fe, at, v, arena_cstr(fe->a, why));
	if (ret)
		*ret = p;
	else
		cel_program_unref(p);
}

void expressions_release(struct expressions *x)
{
	policy_compiler_release(&x->compiler);
	strmap_release(&x->stored);
}

void expressions_stored(struct expressions *x, const struct val *list, enum sym member)
{
	VAL_EACH(list, v)
		(void)strmap_set(&x->stored, val_get_str(v, member), x);
}
