/* Who may do what, as a table: authz.matrix, asked of the whole pipeline. Its head says how it is written.
 *
 * A row that should be refused is one that must fail with these words; a row that should be allowed may fail in no way.
 * Writes are dry runs, so that rows do not depend on each other. */
#include "harness.h"

#include "base/strmap.h"
#include "codec/yaml.h"

#include <ctype.h>
#include <stdio.h>

#define REFUSALS_MIN 150 /* the file is about these */
#define ROWS_MIN 250

struct subject {
	struct sv user;
	struct sv groups[8];
	size_t n_groups;
};

struct matrix {
	struct rig *r;
	struct arena arena;
	struct strmap lets, subjects;
	const struct subject *as;
	int line, rows, refusals, failed;
};

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct buf b = BUF_INIT;
	char part[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&b, part, n);
	fclose(f);
	char *text = xstrndup(b.p, b.n);

	buf_release(&b);
	return text;
}

static struct sv word(struct sv *rest)
{
	struct sv w;

	*rest = sv_trim(*rest);
	for (size_t i = 0; i <= rest->n; i++)
		if (i == rest->n || rest->p[i] == ' ' || rest->p[i] == '\t') {
			w = sv_sub(*rest, 0, i);
			*rest = sv_trim(sv_sub(*rest, i, rest->n));
			return w;
		}
	return SV_NULL;
}

/* $NAME becomes what was let or looked up under it. */
static struct sv expand(struct matrix *m, struct sv line)
{
	struct buf b = BUF_INIT;
	struct sv out;

	for (size_t i = 0; i < line.n; i++) {
		size_t end = i + 1;
		const char *value;

		if (line.p[i] != '$') {
			buf_addc(&b, line.p[i]);
			continue;
		}
		while (end < line.n && (isalnum((unsigned char)line.p[end]) || line.p[end] == '_'))
			end++;
		value = strmap_get(&m->lets, sv_sub(line, i + 1, end - i - 1));
		if (!value)
			fail_msg("line %d: nothing is called %.*s", m->line, SV_ARG(sv_sub(line, i, end - i)));
		buf_addsv(&b, sv_from(value));
		i = end - 1;
	}
	out = arena_sv(&m->arena, buf_sv(&b));
	buf_release(&b);
	return out;
}

static void let(struct matrix *m, struct sv name, struct sv value)
{
	strmap_set(&m->lets, name, arena_cstr(&m->arena, value));
}

/* Bodies are written as YAML in one line; the server gets JSON. */
static const char *body_of(struct matrix *m, struct sv text)
{
	struct err err = ERR_INIT;
	struct buf b = BUF_INIT;
	const struct val *doc;
	const char *json;

	if (!text.n)
		return NULL;
	doc = yaml_decode(&m->arena, text, &err);
	if (!doc)
		fail_msg("line %d: %s", m->line, err_msg(&err));
	json_encode(&b, doc);
	json = arena_cstr(&m->arena, buf_sv(&b));
	buf_release(&b);
	return json;
}

static struct answer *ask_as(struct matrix *m, const struct subject *as, struct sv method, struct sv path,
			     const char *body)
{
	bool apply = sv_is(method, "APPLY"), patch = sv_is(method, "PATCH");
	struct ask a = {
		.method = apply ? "PATCH" : arena_cstr(&m->arena, method),
		.path = arena_cstr(&m->arena, path),
		.body = body,
		.type = apply	? "application/apply-patch+yaml"
			: patch ? "application/merge-patch+json"
				: NULL,
	};

	if (as) {
		a.user = arena_cstr(&m->arena, as->user);
		a.groups = as->groups;
		a.n_groups = as->n_groups;
	}
	return api_ask(m->r, &a);
}

static void done_with(struct answer *a)
{
	if (a->streaming)
		answer_gone(a);
	else
		answer_free(a);
}

static void judge(struct matrix *m, struct sv row, struct answer *a, int code, struct sv words)
{
	struct sv said = val_get_str(a->json, F_message);

	m->rows++;
	m->refusals += code >= 300;
	if (a->code == code && (!words.n || sv_find_sv(said, words) >= 0))
		return;
	m->failed++;
	print_error("line %d: %.*s\n  answered %d %.*s\n", m->line, SV_ARG(row), a->code, SV_ARG(said));
}

static bool keeps_nothing(struct sv path)
{
	return sv_find_sv(path, SV("/token")) >= 0 || sv_find_sv(path, SV("reviews")) >= 0;
}

/* CODE METHOD PATH [BODY] */
static void row_request(struct matrix *m, struct sv row, struct sv words)
{
	struct sv rest = row, code_word = word(&rest), method = word(&rest), path = word(&rest);
	bool write = !sv_is(method, "GET") && !keeps_nothing(path) && !sv_starts(code_word, SV("!"));
	int64_t code = 0;
	struct answer *a;

	if (sv_starts(code_word, SV("!")))
		code_word = sv_sub(code_word, 1, code_word.n);
	assert_true(sv_to_i64(code_word, &code));
	if (write)
		path = arena_svf(&m->arena, "%.*s%sdryRun=All", SV_ARG(path), sv_find(path, '?') < 0 ? "?" : "&");
	a = ask_as(m, m->as, method, path, body_of(m, rest));
	judge(m, row, a, (int)code, words);
	done_with(a);
}

/* yes|no VERB RESOURCE[.GROUP][/SUB] NAMESPACE NAME [FIELD=VALUE]: asked with a SubjectAccessReview */
static void row_review(struct matrix *m, struct sv row, struct sv words)
{
	struct sv rest = row, yes = word(&rest), verb = word(&rest), what = word(&rest), ns = word(&rest),
		  name = word(&rest), res, group = SV(""), sub = SV("");
	struct arena *arena = &m->arena;
	struct val *doc = val_new_map(arena), *spec = val_set_map(arena, doc, F_spec), *attrs, *groups;
	ssize_t slash = sv_find(what, '/'), dot;
	struct buf b = BUF_INIT;
	struct answer *a;
	bool allowed;

	if (sv_starts(what, SV("/"))) {
		attrs = val_set_map(arena, spec, F_nonResourceAttributes);
		val_set_str(arena, attrs, F_path, what);
	} else {
		if (slash >= 0) {
			sub = sv_sub(what, (size_t)slash + 1, what.n);
			what = sv_sub(what, 0, (size_t)slash);
		}
		dot = sv_find(what, '.');
		res = dot < 0 ? what : sv_sub(what, 0, (size_t)dot);
		group = dot < 0 ? SV("") : sv_sub(what, (size_t)dot + 1, what.n);
		attrs = val_set_map(arena, spec, F_resourceAttributes);
		val_set_str(arena, attrs, F_resource, res);
		val_set_str(arena, attrs, F_group, group);
		val_set_str(arena, attrs, F_subresource, sub);
		val_set_str(arena, attrs, F_namespace, sv_is(ns, "-") ? SV("") : ns);
		val_set_str(arena, attrs, F_name, sv_is(name, "-") ? SV("") : name);
		if (rest.n)
			val_set_str(arena, val_set_map(arena, attrs, F_fieldSelector), F_rawSelector, rest);
	}
	val_set_str(arena, attrs, F_verb, verb);
	val_set_str(arena, spec, F_user, m->as->user);
	groups = val_set_list(arena, spec, F_groups);
	for (size_t i = 0; i < m->as->n_groups; i++)
		val_push(arena, groups, val_new_str(arena, m->as->groups[i]));
	json_encode(&b, doc);
	a = ask_as(m, NULL, SV("POST"), SV("/apis/authorization.k8s.io/v1/subjectaccessreviews"), buf_cstr(&b));
	buf_release(&b);
	assert_int_equal(a->code, 201);
	allowed = val_get_bool(a->json, F_status, F_allowed);
	m->rows++;
	m->refusals += sv_is(yes, "no");
	if (allowed != sv_is(yes, "yes") ||
	    (words.n && sv_find_sv(val_get_str(a->json, F_status, F_reason), words) < 0)) {
		m->failed++;
		print_error("line %d: %.*s\n  allowed: %d %.*s\n", m->line, SV_ARG(row), allowed,
			    SV_ARG(val_get_str(a->json, F_status, F_reason)));
	}
	answer_free(a);
}

static void command(struct matrix *m, struct sv line)
{
	struct sv rest = line, first = word(&rest), words = SV("");
	ssize_t bar = sv_find_sv(line, SV(" | "));

	if (sv_is(first, "let")) {
		struct sv name = word(&rest);

		let(m, name, expand(m, rest));
		return;
	}
	if (sv_is(first, "subject")) {
		struct sv name = word(&rest), group;
		struct subject *s = ARENA_NEW(&m->arena, struct subject);

		s->user = word(&rest);
		while (rest.n && (group = word(&rest)).n)
			s->groups[s->n_groups++] = group;
		strmap_set(&m->subjects, name, s);
		return;
	}
	if (sv_is(first, "restart")) {
		rig_restart(m->r);
		return;
	}
	if (sv_is(first, "as")) {
		m->as = strmap_get(&m->subjects, rest);
		if (!m->as)
			fail_msg("line %d: no subject %.*s", m->line, SV_ARG(rest));
		return;
	}
	if (bar >= 0) {
		words = expand(m, sv_trim(sv_sub(line, (size_t)bar + 3, line.n)));
		line = sv_trim(sv_sub(line, 0, (size_t)bar));
	}
	line = expand(m, line);
	rest = line;
	first = word(&rest);
	if (sv_is(first, "given")) {
		struct sv method = word(&rest), path = word(&rest);
		struct answer *a = ask_as(m, NULL, method, path, body_of(m, rest));

		if (a->code >= 300)
			fail_msg("line %d: %d %s", m->line, a->code, buf_cstr(&a->body));
		answer_free(a);
	} else if (sv_is(first, "uid")) {
		struct sv name = word(&rest);
		struct answer *a = ask_as(m, NULL, SV("GET"), rest, NULL);

		assert_int_equal(a->code, 200);
		let(m, name, val_get_str(a->json, F_metadata, F_uid));
		answer_free(a);
	} else if (sv_is(first, "yes") || sv_is(first, "no")) {
		row_review(m, line, words);
	} else {
		row_request(m, line, words);
	}
}

static void test_matrix(void **state)
{
	struct matrix m = { .r = *state };
	char *text = read_file(MATRIX_FILE);
	struct sv rest = sv_from(text), line, whole = SV("");

	while (sv_split(&rest, '\n', &line)) {
		m.line++;
		/* A line that ends with a backslash goes on in the next. */
		whole =
		    whole.n ? arena_svf(&m.arena, "%.*s %.*s", SV_ARG(whole), SV_ARG(sv_trim(line))) : sv_trim(line);
		if (sv_ends(whole, SV("\\"))) {
			whole = sv_trim(sv_sub(whole, 0, whole.n - 1));
			continue;
		}
		if (whole.n && whole.p[0] != '#')
			command(&m, arena_sv(&m.arena, whole));
		whole = SV("");
	}
	print_message("%d rows, %d of them refusals\n", m.rows, m.refusals);
	assert_int_equal(m.failed, 0);
	assert_true(m.rows >= ROWS_MIN && m.refusals >= REFUSALS_MIN);
	strmap_release(&m.lets);
	strmap_release(&m.subjects);
	arena_release(&m.arena);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_matrix, rig_setup_with_keys,
									    rig_teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
