/* cel_bench - the rules of CustomResourceDefinitions and admission policies: which compile, what they weigh, and how
 * fast they are made and run.
 *
 * usage: cel_bench FILE...
 *
 * Files are YAML. A refused rule is printed with what is wrong, its place, and its estimate when that is beyond what a
 * rule may cost. Asserts nothing. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "object/cel/cel.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 200000

static struct {
	size_t rules, refused, costly, bytes, files;
	double seconds;
} total;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const struct val *member(const struct val *v, const char *key)
{
	return val_member_sv(v, sv_from(key));
}

static void compile(const struct cel_env *env, struct sv text, const char *where)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct cel_issues issues = CEL_ISSUES(&a);
	double start = now();
	_cleanup_(cel_program_unrefp) struct cel_program *p = cel_compile(env, text, &issues);

	total.seconds += now() - start;
	total.rules++;
	if (!p) {
		total.refused++;
		printf("refused in %s\n%.*s\n", where, SV_ARG(cel_issues_text(&a, &issues, text)));
		return;
	}
	total.bytes += cel_program_bytes(p);
	if (cel_program_cost(p).max > CEL_ESTIMATE_RULE) {
		total.costly++;
		printf("costs up to %" PRIu64 " in %s\n | %.*s\n", cel_program_cost(p).max, where, SV_ARG(text));
	}
}

static void walk(struct arena *a, const struct val *s, const char *where, unsigned flags)
{
	const struct val *rules = member(s, "x-kubernetes-validations");

	if (val_bool(member(s, "x-kubernetes-embedded-resource")))
		flags |= CEL_OAS_ROOT;
	if (val_len(rules)) {
		const struct cel_type *t = cel_type_openapi(a, s, flags);

		VAL_EACH(rules, r) {
			bool opt = val_bool(member(r, "optionalOldSelf"));
			struct cel_var vars[] = { { SV("self"), t },
						  { SV("oldSelf"), opt && t ? cel_type_optional(a, t) : t } };
			struct cel_env env = { .release = CEL_V(1, 37), .vars = vars, .n_vars = 2 };

			if (!t)
				printf("no type in %s\n", where);
			if (!t)
				continue;
			compile(&env, val_str(member(r, "rule")), where);
			if (member(r, "messageExpression"))
				compile(&env, val_str(member(r, "messageExpression")), where);
		}
	}
	VAL_EACH_MEMBER(member(s, "properties"), m)
		walk(a, m.value, arena_printf(a, "%s.%.*s", where, SV_ARG(m.key)), 0);
	if (val_type(member(s, "items")) == VAL_MAP)
		walk(a, member(s, "items"), arena_printf(a, "%s[]", where), 0);
	if (val_type(member(s, "additionalProperties")) == VAL_MAP)
		walk(a, member(s, "additionalProperties"), arena_printf(a, "%s{}", where), 0);
}

/* Any Object of mutating policies, and their patches. */
static const struct cel_type *find_any(void *ctx, struct sv name)
{
	struct cel_type *t;

	if (!sv_starts(name, SV("Object")) && !sv_is(name, "JSONPatch"))
		return NULL;
	t = ARENA_NEW((struct arena *)ctx, struct cel_type);
	*t = (struct cel_type){ .kind = CEL_OBJECT, .name = name, .preserve = true, .weight = 1 };
	return t;
}

/* Every expression of an admission policy, over variables of any type. */
static void policy(struct arena *a, const struct val *v, const char *where)
{
	const struct cel_var vars[] = {
		{ SV("object"), &cel_t_dyn },	       { SV("oldObject"), &cel_t_dyn },
		{ SV("request"), &cel_t_dyn },	       { SV("params"), &cel_t_dyn },
		{ SV("namespaceObject"), &cel_t_dyn }, { SV("variables"), &cel_t_dyn },
		{ SV("authorizer"), &cel_t_dyn },      { SV("authorizer.requestResource"), &cel_t_dyn },
	};
	struct cel_env env = { .release = CEL_V(1, 37),
			       .vars = vars,
			       .n_vars = ARRAY_LEN(vars),
			       .find_type = find_any,
			       .find_ctx = a,
			       .extra_lib = "!kubernetes.jsonpatch" };

	VAL_EACH(v, e)
		policy(a, e, where);
	VAL_EACH_MEMBER(v, m) {
		if (val_type(m.value) == VAL_STR && (sv_is(m.key, "expression") || sv_is(m.key, "messageExpression") ||
						     sv_is(m.key, "valueExpression")))
			compile(&env, val_str(m.value), where);
		else
			policy(a, m.value, where);
	}
}

static void read_one(const char *path)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv rest, doc;

	if (file_read(&a, path, 64 << 20, &rest, &err) < 0) {
		fprintf(stderr, "%s\n", err_msg(&err));
		exit(1);
	}
	total.files++;
	while (yaml_next_document(&rest, &doc)) {
		const struct val *v = yaml_decode(&a, doc, &err);

		if (!v)
			continue;
		if (sv_ends(val_str(member(v, "kind")), SV("AdmissionPolicy")))
			policy(&a, member(v, "spec"), path);
		VAL_EACH(member(member(v, "spec"), "versions"), version)
			walk(&a, member(member(version, "schema"), "openAPIV3Schema"), path, CEL_OAS_ROOT);
	}
}

static void run_some(void)
{
	static const char *const exprs[] = {
		"self.min <= self.max",
		"self.list.all(x, x.startsWith('a') && x.size() < 20)",
		"!has(self.name) || self.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
	};
	_cleanup_(arena_release) struct arena keep = ARENA_INIT, a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *schema = yaml_decode(
	    &keep,
	    SV("{type: object, properties: {min: {type: integer}, max: {type: integer}, name: {type: string}, "
	       "list: {type: array, items: {type: string}}}}"),
	    &err);
	const struct val *doc = yaml_decode(
	    &keep, SV("{min: 1, max: 2, name: some-name, list: [a, ab, abc, abcd, abcde, a1, a2, a3, a4, a5]}"), &err);
	const struct cel_type *t = cel_type_openapi(&keep, schema, 0);
	struct cel_var var = { SV("self"), t };
	struct cel_env env = { .release = CEL_V(1, 37), .vars = &var, .n_vars = 1 };

	for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
		struct cel_issues issues = CEL_ISSUES(&keep);
		_cleanup_(cel_program_unrefp) struct cel_program *p = cel_compile(&env, sv_from(exprs[i]), &issues);
		uint64_t cost = 0;
		double start = now(), s;

		BUG_ON(!p);
		for (int j = 0; j < ROUNDS; j++) {
			struct cel_value self, out;
			struct cel_run run = { .arena = &a, .vars = &self, .limit = CEL_LIMIT_CALL };

			arena_reset(&a);
			self = cel_from_doc(&a, doc, t);
			BUG_ON(cel_eval(p, &run, &out) != CEL_DONE);
			cost += run.cost;
		}
		s = now() - start;
		printf("%8.0f runs/s  %6.1f M cost/s  %s\n", ROUNDS / s, (double)cost / s / 1e6, exprs[i]);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		read_one(argv[i]);
	if (total.rules)
		printf(
		    "%zu files, %zu expressions, %zu refused, %zu beyond the limit, %zu bytes each, %.0f compiled/s\n",
		    total.files, total.rules, total.refused, total.costly,
		    total.bytes / MAX(total.rules - total.refused, (size_t)1), (double)total.rules / total.seconds);
	run_some();
	return 0;
}
