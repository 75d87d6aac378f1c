/* Any text as an expression: parsed, checked, estimated, and run over a small object within a small budget. What
 * compiles, compiles again to the same; what it comes to is a document or none, equal to itself and with one hash. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/yaml.h"
#include "object/cel/cel.h"

static const char schema[] =
    "{type: object, properties: {a: {type: string}, n: {type: integer}, d: {type: number}, l: {type: array, items: "
    "{type: string}},"
    " s: {type: array, x-kubernetes-list-type: set, items: {type: integer}}, m: {type: object, additionalProperties: "
    "{type: integer}},"
    " o: {type: object, properties: {b: {type: boolean}}}, i: {x-kubernetes-int-or-string: true},"
    " t: {type: string, format: date-time}, u: {type: string, format: duration}, y: {type: string, format: byte}}}";
static const char object[] =
    "{a: text, n: 3, d: 1.5, l: [x, yy, zzz], s: [1, 2, 3], m: {k: 1, j: 2}, o: {b: true}, i: 5%,"
    " t: '2026-01-02T03:04:05Z', u: 1h, y: aGk=}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = sv_make((const char *)data, size);
	const struct cel_type *self = cel_type_openapi(&a, yaml_decode(&a, sv_from(schema), NULL), CEL_OAS_ROOT);
	struct cel_var vars[] = { { SV("self"), self }, { SV("any"), &cel_t_dyn } };
	struct cel_env env = { .release = CEL_V(1, 37), .vars = vars, .n_vars = ARRAY_LEN(vars) };
	struct cel_issues issues = CEL_ISSUES(&a);
	_cleanup_(cel_program_unrefp) struct cel_program *p = NULL, *again = NULL;
	const struct val *doc = yaml_decode(&a, sv_from(object), NULL);
	struct cel_value in[] = { cel_from_doc(&a, doc, self), cel_from_doc(&a, doc, NULL) }, out;
	uint64_t budget = 20000;
	struct cel_run run = { .arena = &a, .vars = in, .limit = 10000, .budget = &budget };

	p = cel_compile(&env, text, &issues);
	BUG_ON(!p != (issues.n > 0));
	if (!p) {
		BUG_ON(cel_issues_text(&a, &issues, text).n == 0);
		return 0;
	}
	again = cel_compile(&env, text, &issues);
	BUG_ON(!again || cel_program_bytes(p) != cel_program_bytes(again));
	BUG_ON(cel_program_cost(p).min > cel_program_cost(p).max);
	if (cel_eval(p, &run, &out) == CEL_DONE) {
		BUG_ON(cel_hash(&a, &out) != cel_hash(&a, &out));
		cel_equal(&a, &out, &out);
		cel_to_doc(&a, &out);
	}
	return 0;
}
