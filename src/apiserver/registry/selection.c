#include "apiserver/registry/selection.h"
#include "apiserver/versions.h"
#include "apiserver/api_req.h"
#include "apiserver/watchcache.h"
#include "object/feature.h"

#include <stdlib.h>

/* Names that select another field than they spell. */
static const struct {
	const char *kind, *label;
	enum sym path[3];
} aliases[] = {
	{ "Pod", "spec.host", { F_spec, F_nodeName, SYM_NONE } },
	{ "Job", "status.successful", { F_status, F_succeeded, SYM_NONE } },
};

static int resolve(struct selection_term *t, const struct resource *r, struct err *err)
{
	const struct schema *s = resource_storage(r)->schema;
	struct sv rest, part;
	size_t n = 0;
	bool own = r->selectable_fields && *r->selectable_fields;
	/* Kinds without labels of their own know both, even where no object has a namespace. */
	bool known =
	    sv_is(t->label, "metadata.name") || ((r->namespaced || !own) && sv_is(t->label, "metadata.namespace"));

	for (const char *const *f = r->selectable_fields; !known && f && *f; f++)
		known = sv_is(t->label, *f);
	if (!known && !own)
		return err_set(err, ERR_BAD_REQUEST,
			       "\"%.*s\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
			       SV_ARG(t->label));
	if (!known)
		return err_set(err, ERR_BAD_REQUEST, "field label not supported: %.*s", SV_ARG(t->label));
	rest = t->label = version_stored_label(r, t->label);
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		if (sv_is(sv_from(r->kind), aliases[i].kind) && sv_is(t->label, aliases[i].label)) {
			memcpy(t->path, aliases[i].path, sizeof(aliases[i].path));
			t->kind = FIELD_STRING;
			return 0;
		}
	}
	t->kind = FIELD_STRING;
	while (sv_split(&rest, '.', &part)) {
		const struct field *f = NULL;
		if (s)
			f = schema_field_named(s, part);
		if (!f || n + 1 >= ARRAY_LEN(t->path)) {
			t->path[0] = SYM_NONE; /* only a strategy can say */
			return 0;
		}
		t->path[n++] = f->sym;
		t->kind = f->kind;
		s = f->kind == FIELD_STRUCT ? f->type : NULL;
	}
	t->path[n] = SYM_NONE;
	return 0;
}

static int term_cmp(const void *a, const void *b)
{
	const struct selection_term *x = a, *y = b;
	int c = sv_order(&x->label, &y->label);

	if (c == 0)
		c = (int)x->negated - (int)y->negated;
	return c ? c : sv_order(x->values, y->values);
}

/* How many terms there are is the client's to say, and each object is matched with them: those of one field become one.
 */
static void terms_join(struct arena *a, struct selection *s)
{
	size_t n = 0, from = 0, end;

	if (s->n_terms < 2)
		return;
	qsort(s->terms, s->n_terms, sizeof(*s->terms), term_cmp);
	for (; from < s->n_terms; from = end) {
		struct selection_term t = s->terms[from];
		struct sv *values = ARENA_ARRAY(a, struct sv, s->n_terms - from);

		t.n_values = 0;
		for (end = from;
		     end < s->n_terms && sv_eq(s->terms[end].label, t.label) && s->terms[end].negated == t.negated;
		     end++)
			if (!t.n_values || !sv_eq(values[t.n_values - 1], *s->terms[end].values))
				values[t.n_values++] = *s->terms[end].values;
		s->nothing = s->nothing || (!t.negated && t.n_values > 1);
		t.values = values;
		s->terms[n++] = t;
	}
	s->n_terms = n;
}

static int selection_fields(struct arena *a, struct selection *s, const struct resource *r,
			    const struct selection_words *w, struct err *err)
{
	const struct field_selector *fs = w->parsed ? w->parsed : field_selector_parse(a, w->fields, err);

	if (!fs)
		return err->reason != ERR_NONE ? -1 : 0;
	s->terms = ARENA_ARRAY(a, struct selection_term, fs->n);
	for (size_t i = 0; i < fs->n; i++) {
		struct selection_term *t = &s->terms[s->n_terms++];

		t->label = fs->terms[i].label;
		t->values = &fs->terms[i].value;
		t->n_values = 1;
		t->negated = fs->terms[i].negated;
		if (resolve(t, r, err) < 0)
			return -1;
		if (!t->negated && sv_is(t->label, "metadata.name"))
			s->pinned_name = *t->values;
		if (!t->negated && t->path[0] == F_spec && t->path[1] == F_nodeName && t->values->n)
			s->pinned_node = *t->values;
		if (!t->negated && sv_is(t->label, "metadata.namespace"))
			s->pinned_ns = *t->values;
	}
	terms_join(a, s);
	return 0;
}

int selection_make(struct arena *a, const struct resource *r, const struct selection_words *w,
		   const struct selection **ret, struct err *err)
{
	struct selection *s;

	*ret = NULL;
	if (!w->labels.n && !w->fields.n && !w->shard.n)
		return 0;
	s = ARENA_NEW(a, struct selection);
	s->res = resource_storage(r);
	if (w->labels.n) {
		s->labels = selector_parse(a, w->labels, err);
		if (!s->labels && err->reason != ERR_NONE)
			return -1;
	}
	if (w->fields.n && selection_fields(a, s, r, w, err) < 0)
		return -1;
	if (w->shard.n && !(s->shards = shards_parse(a, w->shard, err)))
		return -1;
	if (s->labels || s->n_terms || s->shards)
		*ret = s;
	return 0;
}

struct selection_words selection_words(const struct api_req *q)
{
	struct selection_words w = { 0 };

	(void)api_req_param(q, "labelSelector", &w.labels);
	(void)api_req_param(q, "fieldSelector", &w.fields);
	w.parsed = q->fields;
	if (feature_on(FG_ShardedListAndWatch))
		(void)api_req_param(q, "shardSelector", &w.shard);
	return w;
}

static bool term_has(const struct selection_term *t, struct sv text)
{
	if (t->n_values == 1)
		return sv_eq(text, *t->values);
	return bsearch(&text, t->values, t->n_values, sizeof(text), sv_order) != NULL;
}

static bool term_matches(const struct selection *s, const struct selection_term *t, const struct obj *o)
{
	const struct strategy *st = strategy_for(s->res);
	const struct val *v;
	struct sv text = SV("");
	char number[24];
	bool equal;

	if (st->field_label && st->field_label(obj_root(o), t->label, &text)) {
		equal = term_has(t, text);
	} else if (t->path[0] == SYM_NONE) {
		equal = false;
	} else {
		v = val_path(obj_root(o), t->path);
		if (t->kind == FIELD_BOOL) {
			text = val_bool(v) ? SV("true") : SV("false");
		} else if (t->kind == FIELD_INT32 || t->kind == FIELD_INT64) {
			struct buf b = { .p = number, .cap = sizeof(number), .limit = sizeof(number) - 1 };

			buf_addi64(&b, val_int_or(v, 0));
			text = buf_sv(&b);
		} else {
			text = val_str(v);
		}
		equal = term_has(t, text);
	}
	return equal != t->negated;
}

bool selection_matches(const struct selection *s, const struct obj *o)
{
	if (!s)
		return true;
	if (s->nothing)
		return false;
	if (s->pinned_name.p && !sv_eq(s->pinned_name, obj_name(o)))
		return false;
	if (s->shards && !shards_have(s->shards, s->shards->field == SHARD_UID ? obj_uid(o) : obj_ns(o)))
		return false;
	if (s->labels && !selector_matches(s->labels, obj_labels(o)))
		return false;
	for (size_t i = 0; i < s->n_terms; i++)
		if (!term_matches(s, &s->terms[i], o))
			return false;
	return true;
}
