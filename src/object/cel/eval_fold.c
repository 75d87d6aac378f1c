/* Comprehensions: a loop over elements or keys that gathers in one value.
 *
 * A list or map that the step only adds to grows in place. Its value is made anew after each addition, over the same
 * memory: nobody else has seen what was before. An error that the step has stays the gathered value, until the
 * condition or the next step makes something else of it.
 */
#include "object/cel/eval.h"

struct fold_range {
	const struct cel_value *of;
	struct val_iter doc;
	uint32_t i;
};

#define EVAL_ASK_EVERY 100

/* The next key and value; keys of lists are places. False: there are no more. */
static bool fold_next(struct cel_eval *e, struct fold_range *r, bool two, struct cel_value *key,
		      struct cel_value *value)
{
	const struct cel_value *v = r->of;

	if (v->kind == CEL_LIST) {
		if (r->i >= v->n)
			return false;
		*key = cel_int(r->i);
		*value = cel_at(e->arena, v, r->i++);
		return true;
	}
	if (v->flags & CEL_V_DOC) {
		if (!val_iter_next(&r->doc))
			return false;
		*key = cel_string(r->doc.key);
		if (two)
			*value = cel_from_doc(e->arena, r->doc.value,
					      v->kind == CEL_MAP && v->type ? v->type->params[1] : NULL);
		return true;
	}
	if ((v->flags & CEL_V_LAZY) || r->i >= v->map->n)
		return false;
	*key = v->map->entries[r->i].key;
	*value = v->map->entries[r->i++].value;
	return true;
}

static void fold_ask(struct cel_eval *e)
{
	if (++e->rounds % EVAL_ASK_EVERY == 0 && e->run->interrupted && e->run->interrupted(e->run->interrupted_ctx))
		eval_stop(e, CEL_INTERRUPTED, SV("operation interrupted"));
}

static const char *fold_go_type(const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_NULL:
		return "types.Null";
	case CEL_BOOL:
		return "types.Bool";
	case CEL_INT:
		return "types.Int";
	case CEL_UINT:
		return "types.Uint";
	case CEL_DOUBLE:
		return "types.Double";
	case CEL_STRING:
		return "types.String";
	case CEL_BYTES:
		return "types.Bytes";
	case CEL_TIMESTAMP:
		return "types.Timestamp";
	case CEL_DURATION:
		return "types.Duration";
	case CEL_OPTIONAL:
		return "*types.Optional";
	default:
		return "*types.Type";
	}
}

void eval_fold(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value range, cond, *vars = &e->locals[n->b - e->p->n_vars], key, value;
	struct fold_range r = { .of = &range };
	bool two = n->flags & NODE_TWO;

	eval_part(e, n, 0, &range);
	if (eval_bad(&range)) {
		*ret = range;
		return;
	}
	if (range.kind != CEL_LIST && range.kind != CEL_MAP && range.kind != CEL_OBJECT) {
		*ret = eval_error(e, "got '%s', expected iterable type", fold_go_type(&range));
		return;
	}
	if (range.kind != CEL_LIST && (range.flags & CEL_V_DOC))
		r.doc = val_iter(range.doc);
	eval_part(e, n, 1, &vars[0]);
	e->gathers[n->b - e->p->n_vars] = (struct eval_gather){ 0 };
	while (!e->stop && fold_next(e, &r, two, &key, &value)) {
		fold_ask(e);
		vars[1] = two || range.kind != CEL_LIST ? key : value;
		if (two)
			vars[2] = value;
		eval_part(e, n, 2, &cond);
		if (cond.kind == CEL_BOOL && !cond.b)
			break;
		eval_part(e, n, 3, &value);
		vars[0] = value;
	}
	eval_part(e, n, 4, ret);
}

void eval_append(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	uint32_t slot = n->b - e->p->n_vars;
	struct eval_gather *g = &e->gathers[slot];
	struct cel_value v;

	eval_part(e, n, 0, &v);
	eval_pay(e, 1 + (n->flags & NODE_FREE ? 0 : 10) + 1); /* the list so far, a list of one, their sum */
	if (eval_bad(&e->locals[slot]) || eval_bad(&v)) {
		*ret = eval_bad(&e->locals[slot]) ? e->locals[slot] : v;
		return;
	}
	if (g->n == g->cap) {
		uint32_t cap = g->cap ? 2 * g->cap : 8;
		struct cel_value *p = arena_alloc(e->arena, cap * sizeof(*p));

		if (g->n)
			memcpy(p, g->p, g->n * sizeof(*p));
		g->p = p;
		g->cap = cap;
	}
	g->p[g->n++] = v;
	*ret = cel_list(g->p, g->n);
}

/* --- maps --- */

static void insert_grow(struct cel_eval *e, struct eval_gather *g)
{
	uint32_t cap = g->cap ? 2 * g->cap : 8, *slots;
	struct cel_entry *p = arena_alloc(e->arena, cap * sizeof(*p)), *old = (struct cel_entry *)(void *)g->p;

	if (g->n)
		memcpy(p, old, g->n * sizeof(*p));
	g->p = (struct cel_value *)(void *)p;
	g->cap = cap;
	g->n_slots = 2 * cap;
	g->slots = slots = ARENA_ARRAY(e->arena, uint32_t, g->n_slots);
	for (uint32_t i = 0; i < g->n; i++) {
		size_t at = cel_hash(e->arena, &p[i].key) & (g->n_slots - 1);

		while (slots[at])
			at = (at + 1) & (g->n_slots - 1);
		slots[at] = i + 1;
	}
}

/* False: the key is there already. */
static bool insert_entry(struct cel_eval *e, struct eval_gather *g, const struct cel_value *key,
			 const struct cel_value *value)
{
	struct cel_entry *p;
	size_t at;

	if (g->n == g->cap)
		insert_grow(e, g);
	p = (struct cel_entry *)(void *)g->p;
	for (at = cel_hash(e->arena, key) & (g->n_slots - 1); g->slots[at]; at = (at + 1) & (g->n_slots - 1))
		if (cel_equal(e->arena, &p[g->slots[at] - 1].key, key))
			return false;
	p[g->n] = (struct cel_entry){ *key, *value };
	g->slots[at] = ++g->n;
	return true;
}

static void insert_key_text(struct buf *b, const struct cel_value *key)
{
	if (key->kind == CEL_STRING)
		buf_addsv(b, cel_text(key));
	else if (key->kind == CEL_UINT)
		buf_addu64(b, key->u);
	else if (key->kind == CEL_BOOL)
		buf_adds(b, key->b ? "true" : "false");
	else
		buf_addi64(b, key->i);
}

static bool insert_one(struct cel_eval *e, struct eval_gather *g, const struct cel_value *key,
		       const struct cel_value *value, struct cel_value *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (insert_entry(e, g, key, value))
		return true;
	insert_key_text(&b, key);
	*ret = eval_error(e, "insert failed: key %s already exists", buf_cstr(&b));
	return false;
}

void eval_insert(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	uint32_t slot = n->b - e->p->n_vars;
	struct eval_gather *g = &e->gathers[slot];
	struct cel_value v[2];
	struct cel_map *m;

	for (uint32_t i = 0; i < n->n; i++)
		eval_part(e, n, i, &v[i]);
	eval_pay(e, 2); /* the map so far, and the insertion */
	for (uint32_t i = 0; i < n->n; i++)
		if (eval_bad(&v[i])) {
			*ret = v[i];
			return;
		}
	if (eval_bad(&e->locals[slot])) {
		*ret = e->locals[slot];
		return;
	}
	if (n->n == 2) {
		if (!insert_one(e, g, &v[0], &v[1], ret))
			return;
	} else if (v[0].kind == CEL_MAP || v[0].kind == CEL_OBJECT) {
		struct fold_range r = { .of = &v[0],
					.doc = v[0].flags & CEL_V_DOC ? val_iter(v[0].doc) : (struct val_iter){ 0 } };
		struct cel_value key, value;

		while (fold_next(e, &r, true, &key, &value)) {
			eval_work(e, 1);
			if (e->stop || !insert_one(e, g, &key, &value, ret))
				return;
		}
	} else {
		*ret = eval_error(e, "no such overload");
		return;
	}
	m = ARENA_NEW(e->arena, struct cel_map);
	m->n = g->n;
	m->n_slots = g->n ? g->n_slots : 0;
	m->entries = (const struct cel_entry *)(const void *)g->p;
	m->slots = g->slots;
	*ret = (struct cel_value){ .kind = CEL_MAP, .n = g->n, .map = m };
}
