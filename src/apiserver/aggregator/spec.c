/* What is kept of another server's OpenAPI document of version 2: the paths of one group version, and what these refer
 * to. Its other paths, and what it says of itself, are nobody's here. */
#include "apiserver/aggregator/spec.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/json.h"

#include <stdlib.h>

const char *const agg_spec_sections[SPEC_SECTIONS] = { "definitions", "parameters", "responses" };

struct agg_spec *agg_spec_hold(struct agg_spec *s)
{
	if (s)
		atomic_fetch_add(&s->refs, 1);
	return s;
}

struct agg_spec *agg_spec_unref(struct agg_spec *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return NULL;
	buf_release(&s->text);
	free(s);
	return NULL;
}

bool agg_spec_ref(struct sv ref, enum spec_section *ret, struct sv *ret_name)
{
	if (!sv_starts(ref, SV("#/")))
		return false;
	ref = sv_sub(ref, 2, ref.n);
	for (size_t i = 0; i < SPEC_SECTIONS; i++) {
		size_t n = strlen(agg_spec_sections[i]);

		if (!sv_starts(ref, sv_from(agg_spec_sections[i])) || ref.n <= n + 1 || ref.p[n] != '/')
			continue;
		*ret = (enum spec_section)i;
		*ret_name = sv_sub(ref, n + 1, ref.n);
		return true;
	}
	return false;
}

struct wanted {
	struct sv name;
	const struct val *v;
};

struct cut {
	struct strmap has[SPEC_SECTIONS], seen[SPEC_SECTIONS];
	VEC(struct wanted) wanted[SPEC_SECTIONS];
};

static void cut_want(struct cut *c, struct sv ref)
{
	enum spec_section s;
	struct sv name;
	const struct val *v;

	if (!agg_spec_ref(ref, &s, &name) || strmap_has(&c->seen[s], name))
		return;
	v = strmap_get(&c->has[s], name);
	if (!v)
		return;
	strmap_set(&c->seen[s], name, c);
	vec_push(&c->wanted[s], ((struct wanted){ name, v }));
}

/* As deep as the document is. */
static void cut_refs(struct cut *c, const struct val *v)
{
	VAL_EACH(v, e)
		cut_refs(c, e);
	VAL_EACH_MEMBER(v, m) {
		if (sv_is(m.key, "$ref") && val_type(m.value) == VAL_STR) /* there are properties of that name */
			cut_want(c, val_str(m.value));
		else
			cut_refs(c, m.value);
	}
}

static int cut_member(struct buf *out, size_t *n, struct sv key, const struct val *v, struct err *err)
{
	if ((*n)++)
		buf_addc(out, ',');
	json_encode_str(out, key);
	buf_addc(out, ':');
	json_encode(out, v);
	if (out->n > AGG_SPEC_MAX)
		return err_set(err, ERR_TOO_LARGE, "what it says of the group is longer than %zu bytes", AGG_SPEC_MAX);
	return 0;
}

static int cut_paths(struct cut *c, const struct val *paths, struct sv group, struct sv version, struct buf *out,
		     size_t *n, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv root = arena_svf(&a, "/apis/%.*s/%.*s", SV_ARG(group), SV_ARG(version));

	VAL_EACH_MEMBER(paths, m) {
		if (val_type(m.value) != VAL_MAP || !sv_starts(m.key, root) ||
		    (m.key.n > root.n && m.key.p[root.n] != '/'))
			continue;
		cut_refs(c, m.value);
		if (cut_member(out, n, m.key, m.value, err) < 0)
			return -1;
	}
	return 0;
}

/* All that is wanted, and what that wants in turn. */
static void cut_follow(struct cut *c)
{
	size_t at[SPEC_SECTIONS] = { 0 };
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < SPEC_SECTIONS; i++) {
			for (; at[i] < c->wanted[i].n; at[i]++) {
				cut_refs(c, c->wanted[i].p[at[i]].v);
				more = true;
			}
		}
	}
}

static void cut_release(struct cut *c)
{
	for (size_t i = 0; i < SPEC_SECTIONS; i++) {
		strmap_release(&c->has[i]);
		strmap_release(&c->seen[i]);
		vec_release(&c->wanted[i]);
	}
}

int agg_spec_cut(struct sv text, struct sv group, struct sv version, struct buf *out, struct err *err)
{
	static const struct budget_limit limit = { AGG_SPEC_VALUES_MAX, ERR_TOO_LARGE,
						   "its OpenAPI document has too many values" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(cut_release) struct cut c = { 0 };
	struct budget values = BUDGET(limit);
	const struct val *doc =
	    json_decode(&a, text, &(struct json_opts){ .borrow_text = true, .values = &values }, err);
	size_t n = 0;

	if (!doc)
		return -1;
	for (size_t i = 0; i < SPEC_SECTIONS; i++)
		VAL_EACH_MEMBER(val_member_sv(doc, sv_from(agg_spec_sections[i])), m)
			if (val_type(m.value) == VAL_MAP)
				strmap_set(&c.has[i], m.key, m.value);
	buf_adds(out, "{\"paths\":{");
	if (cut_paths(&c, val_member(doc, F_paths), group, version, out, &n, err) < 0)
		return -1;
	if (!n) {
		buf_clear(out);
		return 0;
	}
	cut_follow(&c);
	for (size_t i = 0; i < SPEC_SECTIONS; i++) {
		buf_printf(out, "},\"%s\":{", agg_spec_sections[i]);
		n = 0;
		for (size_t k = 0; k < c.wanted[i].n; k++)
			if (cut_member(out, &n, c.wanted[i].p[k].name, c.wanted[i].p[k].v, err) < 0)
				return -1;
	}
	buf_adds(out, "}}");
	return 0;
}
