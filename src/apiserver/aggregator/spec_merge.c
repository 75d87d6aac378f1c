/* One OpenAPI document of version 2 out of ours and what is kept of others.
 *
 * Ours is megabytes, and is not parsed: its text is walked for the names in it, and only a definition that another one
 * has the name of is looked into. */
#include "apiserver/aggregator/spec.h"
#include "base/strmap.h"
#include "codec/json.h"
#include "codec/symbol.h"

#define NAMES_MAX 16 /* that one name is made into; then who comes last is taken for the first */
#define GVK "x-kubernetes-group-version-kind"

/* --- our text --- */

/* Behind the string that begins at i. */
static size_t text_string(struct sv t, size_t i)
{
	for (i++; i < t.n && t.p[i] != '"'; i++)
		i += t.p[i] == '\\';
	return i < t.n ? i + 1 : t.n;
}

/* Behind the value that begins at i. */
static size_t text_value(struct sv t, size_t i)
{
	size_t depth = 0;

	while (i < t.n) {
		char c = t.p[i];

		if (c == '"') {
			i = text_string(t, i);
		} else if (c == '{' || c == '[') {
			depth++;
			i++;
		} else if ((c == '}' || c == ']' || c == ',') && depth == 0) {
			return i;
		} else {
			depth -= c == '}' || c == ']';
			i++;
		}
		if (depth == 0 && (c == '"' || c == '}' || c == ']'))
			return i;
	}
	return i;
}

/* The next member of the object that t is, from *at (0: the first) on. Our texts have no white space, and no name in
 * them has an escape. */
static bool text_member(struct sv t, size_t *at, struct sv *ret_key, struct sv *ret_value)
{
	size_t i = *at ? *at : 1, end;

	if (i < t.n && t.p[i] == ',')
		i++;
	if (i >= t.n || t.p[i] != '"')
		return false;
	end = text_string(t, i);
	*ret_key = sv_sub(t, i + 1, end - i - 2);
	if (end >= t.n || t.p[end] != ':')
		return false;
	i = end + 1;
	end = text_value(t, i);
	*ret_value = sv_sub(t, i, end - i);
	*at = end;
	return true;
}

static struct sv text_find(struct sv t, struct sv key)
{
	struct sv k, v;

	for (size_t at = 0; text_member(t, &at, &k, &v);)
		if (sv_eq(k, key))
			return v;
	return SV_NULL;
}

/* --- names --- */

/* Something that has a name already. */
struct taken {
	struct sv text; /* ours, not looked into yet */
	const struct val *v;
};

struct merging {
	struct arena a;
	struct spec_merged *out;
	struct strmap paths, taken[SPEC_SECTIONS]; /* name -> struct taken */
	struct strmap renamed[SPEC_SECTIONS];	   /* of the one at hand: name -> const char *, where it has another */
};

static void merging_own(struct merging *m, struct sv own)
{
	struct sv paths = text_find(own, SV("paths")), k, v;

	for (size_t at = 0; text_member(paths, &at, &k, &v);)
		strmap_set(&m->paths, k, m);
	for (size_t i = 0; i < SPEC_SECTIONS; i++) {
		struct sv section = text_find(own, sv_from(agg_spec_sections[i]));

		for (size_t at = 0; text_member(section, &at, &k, &v);) {
			struct taken *t = ARENA_NEW(&m->a, struct taken);

			t->text = v;
			strmap_set(&m->taken[i], k, t);
		}
	}
}

/* But for the kinds that it is used for. */
static const struct val *without_kinds(struct arena *a, const struct val *v)
{
	struct val *w;

	if (!val_member_sv(v, SV(GVK)))
		return v;
	w = val_new_map(a);
	VAL_EACH_MEMBER(v, m)
		if (!sv_is(m.key, GVK))
			(void)val_set_sv(a, w, m.key, m.value);
	return w;
}

static bool taken_same(struct merging *m, struct taken *t, const struct val *v)
{
	if (!t->v)
		t->v = json_decode(&m->a, t->text, &(struct json_opts){ .borrow_text = true }, NULL);
	return val_equal(without_kinds(&m->a, t->v), without_kinds(&m->a, v));
}

/* The name that v has from now on; NULL: another one that says the same has it already, as *ret. */
static const char *name_take(struct merging *m, enum spec_section s, struct sv name, const struct val *v,
			     const char **ret)
{
	const char *as = arena_cstr(&m->a, name);
	struct taken *t;

	for (int i = 2; (t = strmap_get(&m->taken[s], sv_from(as))) != NULL; i++) {
		if (taken_same(m, t, v) || i > NAMES_MAX) {
			*ret = as;
			return NULL;
		}
		as = arena_printf(&m->a, "%.*s_v%d", SV_ARG(name), i);
	}
	t = ARENA_NEW(&m->a, struct taken);
	t->v = v;
	strmap_set(&m->taken[s], sv_from(as), t);
	return *ret = as;
}

/* --- theirs --- */

/* As deep as the document is. */
static void spec_refer(struct merging *m, struct val *v)
{
	for (size_t i = 0; val_type(v) == VAL_LIST && i < v->n; i++)
		spec_refer(m, val_at_mut(v, i));
	VAL_EACH_MEMBER(v, e) {
		enum spec_section s;
		struct sv name, ref = val_str(e.value);
		const char *as;

		if (!sv_is(e.key, "$ref") || val_type(e.value) != VAL_STR) {
			spec_refer(m, e.value);
			continue;
		}
		if (!agg_spec_ref(ref, &s, &name) || !(as = strmap_get(&m->renamed[s], name)))
			continue;
		ref = arena_svf(&m->a, "#/%s/%s", agg_spec_sections[s], as);
		e.value->s = ref.p;
		e.value->n = (uint32_t)ref.n & ((1u << 28) - 1);
	}
}

static void spec_write_member(struct merging *m, struct buf *b, struct sv key, const struct val *v)
{
	struct val *w = val_clone_nodes(&m->a, v);

	spec_refer(m, w);
	if (b->n)
		buf_addc(b, ',');
	json_encode_str(b, key);
	buf_addc(b, ':');
	json_encode(b, w);
}

static void spec_merge_one(struct merging *m, struct sv text)
{
	const struct val *doc = json_decode(&m->a, text, &(struct json_opts){ .borrow_text = true }, NULL);
	struct strmap fresh[SPEC_SECTIONS] = { 0 };

	/* All names first: what is written refers to them. */
	for (size_t s = 0; s < SPEC_SECTIONS; s++) {
		VAL_EACH_MEMBER(val_member_sv(doc, sv_from(agg_spec_sections[s])), d) {
			const char *as;

			if (name_take(m, (enum spec_section)s, d.key, d.value, &as))
				strmap_set(&fresh[s], sv_from(as), d.value);
			if (!sv_is(d.key, as))
				strmap_set(&m->renamed[s], d.key, (void *)(uintptr_t)as);
		}
	}
	VAL_EACH_MEMBER(val_member(doc, F_paths), p)
		if (!strmap_set(&m->paths, p.key, m))
			spec_write_member(m, &m->out->paths, p.key, p.value);
	for (size_t s = 0; s < SPEC_SECTIONS; s++) {
		STRMAP_EACH(&fresh[s], e)
			spec_write_member(m, &m->out->sections[s], sv_make(e->key, e->key_n), e->value);
		strmap_release(&fresh[s]);
		strmap_release(&m->renamed[s]);
		m->renamed[s] = STRMAP_INIT;
	}
}

void agg_spec_merged_release(struct spec_merged *m)
{
	buf_release(&m->paths);
	for (size_t i = 0; i < SPEC_SECTIONS; i++)
		buf_release(&m->sections[i]);
}

void agg_specs_merge(struct sv own, const struct sv *theirs, size_t n, struct spec_merged *ret)
{
	struct merging m = { .out = ret };

	*ret = (struct spec_merged){ 0 };
	merging_own(&m, own);
	for (size_t i = 0; i < n; i++)
		spec_merge_one(&m, theirs[i]);
	strmap_release(&m.paths);
	for (size_t i = 0; i < SPEC_SECTIONS; i++)
		strmap_release(&m.taken[i]);
	arena_release(&m.a);
}

/* --- together --- */

/* Behind the last member of an object's text, with what is added to it. */
static void join_object(struct buf *out, struct sv object, const struct buf *more)
{
	buf_addsv(out, sv_sub(object, 0, object.n - 1));
	if (more->n && object.n > 2)
		buf_addc(out, ',');
	buf_addsv(out, buf_sv(more));
	buf_addc(out, '}');
}

void agg_specs_join(struct sv own, const struct spec_merged *m, struct buf *out)
{
	bool there[SPEC_SECTIONS] = { false };
	struct sv k, v;
	size_t n = 0;

	buf_addc(out, '{');
	for (size_t at = 0; text_member(own, &at, &k, &v);) {
		const struct buf *more = sv_is(k, "paths") ? &m->paths : NULL;

		for (size_t i = 0; i < SPEC_SECTIONS; i++) {
			if (!sv_is(k, agg_spec_sections[i]))
				continue;
			more = &m->sections[i];
			there[i] = true;
		}
		buf_printf(out, "%s\"%.*s\":", n++ ? "," : "", SV_ARG(k));
		if (more && v.n >= 2)
			join_object(out, v, more);
		else
			buf_addsv(out, v);
	}
	for (size_t i = 0; i < SPEC_SECTIONS; i++) {
		if (there[i] || !m->sections[i].n)
			continue;
		buf_printf(out, "%s\"%s\":{", n++ ? "," : "", agg_spec_sections[i]);
		buf_addsv(out, buf_sv(&m->sections[i]));
		buf_addc(out, '}');
	}
	buf_addc(out, '}');
}
