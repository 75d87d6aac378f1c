/* A custom object and its schema: input is {"schema": ..., "doc": ..., "old": ...}. What is pruned stays so, what is
 * defaulted stays so, and nothing that validation does depends on whether it was asked before. */
#include "codec/json.h"
#include "object/structural.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sv text_of(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_sv(a, buf_sv(&b));
}

static size_t wrong(const struct structural *s, const struct val *doc, const struct val *old)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	static const struct resource r = { .kind = "T", .group = "" };
	struct field_errs fe;

	field_errs_init(&fe, &a);
	structural_validate(s, &fe, doc, old);
	structural_validate_rest(s, &fe, doc, old, NULL);
	if ((fe.list.n > 0) != (field_errs_to_err(&fe, &r, SV("x"), &err) < 0))
		abort();
	return fe.list.n;
}

static void try(struct arena *a, const struct structural *s, const struct val *in, const struct val *old)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct decode_report report = { 0 };
	struct val *doc = val_clone(a, in);
	struct sv before;

	if (structural_decode(s, a, doc, &report, &err) == 0) {
		before = text_of(a, doc);
		if (structural_decode(s, a, doc, NULL, NULL) < 0 || !sv_eq(before, text_of(a, doc)))
			abort();
	}
	free(report.strict.p);
	err_release(&err);
	if (structural_default(s, a, doc, &err) < 0)
		return;
	before = text_of(a, doc);
	if (structural_default(s, a, doc, NULL) < 0 || !sv_eq(before, text_of(a, doc)))
		abort();
	if (wrong(s, doc, old) != wrong(s, doc, old))
		abort();
	structural_from_store(s, a, doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *in, *schema;
	struct structural *s;
	struct field_errs fe;

	if (size > 65536)
		return 0;
	in = json_decode(&a, sv_make((const char *)data, size), NULL, NULL);
	schema = val_member_sv(in, SV("schema"));
	s = structural_new(&a, val_type(schema) == VAL_MAP ? schema : NULL, &err);
	if ((s == NULL) != (err.reason != ERR_NONE))
		abort();
	if (!s)
		return 0;
	if (val_member_sv(in, SV("doc")))
		try(&a, s, val_member_sv(in, SV("doc")), val_member_sv(in, SV("old")));
	field_errs_init(&fe, &a);
	if (val_type(schema) == VAL_MAP) {
		structural_check_defaults(&fe, schema, NULL);
		structural_check_rules(&fe, schema, NULL, NULL);
	}
	structural_release(s);
	return 0;
}
