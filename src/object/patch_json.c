/* patch_json.c - JSON patch (RFC 6902) with JSON pointers (RFC 6901), as upstream's library reads them.
 *
 * The document's nodes are cloned once (strings stay shared) and the operations then change
 * the clone in place, so ten thousand operations on one list do not copy it each time. A large map that
 * is looked into twice running gets an index, so that neither do as many operations search it each time.
 *
 * That library is lenient where the RFC is not, and scripts rely on it: a member that is not there reads as null, so
 * `replace` sets it, `copy` makes a null of it and `test` compares it with null; only `remove` (and the first half of
 * `move`) need it to be there. What stands before the first '/' of a pointer does not count. An index may be
 * negative (from the end) or have leading zeros. The document as a whole, "", is only good for `test`.
 */
#include "object/patch.h"

#include "base/budget.h"
#include "codec/val_index.h"

struct jp {
	struct arena *a;
	struct val *root;
	struct err *err;
	struct budget walked; /* nodes that `copy` and `move` went over so far */
	size_t texts;	      /* bytes of keys and strings in those */
	struct budget copied; /* of them what `copy` went over */
	struct budget passed; /* nodes of maps and lists that operations looked through or shifted so far */
	/* Of a large map. While it is open nothing else reads or changes that map, or moves the node that it is: see
	 * locate(). No map: there is none. */
	struct val_index open;
	const struct val *last; /* the large map that was looked into last; not to be followed */
	bool no_place;		/* the last operation's pointer led nowhere */
};

/* Upstream answers 422 with this generic text whatever went wrong in applying. */
#define REFUSED "the server rejected our request due to an error in our request"

/* `copy` can double a document with every operation; this ends it. */
static const struct budget_limit walk_limit = { 1000000, ERR_INVALID, REFUSED };
/* Texts are shared here, not so where the document is written: upstream's bound, that of a request's body. */
static const struct budget_limit copy_limit = { 3 * 1024 * 1024, ERR_INVALID, REFUSED };

/* Maps by turns, of which only one has an index, and what is put into or taken out of the front of a list: ten thousand
 * operations on some six thousand members. */
static const struct budget_limit pass_limit = {
	128 * 1024 * 1024, ERR_TOO_LARGE,
	"Request entity too large: the operations of the JSON patch pass too many elements of large maps "
	"and lists: use fewer operations, or a merge patch"
};

static int patch_json_refuse(struct jp *j)
{
	return err_set(j->err, ERR_INVALID, REFUSED);
}

static int patch_json_lost(struct jp *j)
{
	j->no_place = true;
	return patch_json_refuse(j);
}

/* One reference token: ~1 is '/', ~0 is '~', any other '~' itself. */
static struct sv token_unescape(struct arena *a, struct sv t)
{
	char *p;
	size_t n = 0;

	if (sv_find(t, '~') < 0)
		return t;
	p = arena_alloc(a, t.n + 1);
	for (size_t i = 0; i < t.n; i++) {
		p[n] = t.p[i];
		if (t.p[i] == '~' && i + 1 < t.n && (t.p[i + 1] == '0' || t.p[i + 1] == '1'))
			p[n] = t.p[++i] == '0' ? '~' : '/';
		n++;
	}
	return sv_make(p, n);
}

/* Index into a list of len elements; for adding, len itself and "-" are places too. */
static bool token_index(struct sv t, size_t len, bool adding, size_t *ret)
{
	int64_t i;

	if (sv_is(t, "-")) {
		*ret = len;
		return adding;
	}
	if (t.n && t.p[0] == '+')
		t = sv_sub(t, 1, t.n);
	if (!t.n || !sv_to_i64(t, &i))
		return false;
	if (i < 0)
		i += (int64_t)len + (adding ? 1 : 0);
	if (i < 0 || (uint64_t)i > len || (!adding && (uint64_t)i == len))
		return false;
	*ret = (size_t)i;
	return true;
}

/* A place in the document: a map or list, and the token of the member in it. */
struct place {
	struct val *parent;
	struct sv token;
};

#define LARGE_NODES 64
#define INDEX_NODES 16 /* so many are passed in the time in which one gets into an index */

static struct val *child(struct jp *j, struct val *v, struct sv token)
{
	size_t i;

	if (v && v == j->open.map)
		return (struct val *)val_index_get(&j->open, token);
	if (val_type(v) == VAL_MAP)
		return val_member_sv_mut(v, token);
	if (val_type(v) == VAL_LIST && token_index(token, val_len(v), false, &i))
		return val_at_mut(v, i);
	return NULL;
}

static int pass(struct jp *j, size_t nodes)
{
	return budget_spend(&j->passed, nodes, j->err);
}

/* Pays for looking into v, which gets the index when it is large and was looked into before. That moves what is below
 * the map that had it, if something was taken out of that: 1 then, and the way to v is to be gone again. */
static int look_into(struct jp *j, struct val *v)
{
	bool moves = j->open.removed;

	if (v->type == VAL_LIST || v == j->open.map)
		return pass(j, 1);
	if (v->n <= LARGE_NODES || v != j->last) {
		j->last = v->n <= LARGE_NODES ? j->last : v;
		return pass(j, v->n);
	}
	if (pass(j, (size_t)v->n * INDEX_NODES) < 0)
		return -1;
	val_index_release(&j->open);
	if (moves)
		return 1;
	j->open = val_index_changing(v);
	return 0;
}

/* Afterwards the index is of the place's parent, or of something above it, or there is none: what is done at the place
 * does not touch the indexed map in another way. */
static int locate(struct jp *j, struct sv pointer, struct place *ret)
{
	ssize_t first = sv_find(pointer, '/');
	struct sv rest, raw;
	struct val *at;
	bool below; /* the indexed map */
	int moved;

	if (first < 0)
		return patch_json_lost(j);
again:
	*ret = (struct place){ 0 };
	at = j->root;
	below = false;
	rest = sv_sub(pointer, (size_t)first + 1, pointer.n);
	if (rest.n == 0)
		rest = SV(""); /* "/" names the member "" */
	while (sv_split(&rest, '/', &raw)) {
		if (ret->parent) {
			at = child(j, ret->parent, ret->token);
			below |= ret->parent == j->open.map;
		}
		if (val_type(at) != VAL_MAP && val_type(at) != VAL_LIST)
			return patch_json_lost(j);
		moved = look_into(j, at);
		if (moved < 0)
			return -1;
		if (moved)
			goto again;
		below &= at != j->open.map;
		ret->parent = at;
		ret->token = token_unescape(j->a, raw);
	}
	if (ret->parent != j->open.map && !below)
		val_index_release(&j->open);
	return 0;
}

/* The value at a place; a null where a map has none, NULL where a list has none. */
static const struct val *place_get(struct jp *j, const struct place *p)
{
	const struct val *v = child(j, p->parent, p->token);

	return !v && p->parent->type == VAL_MAP ? val_new_null(j->a) : v;
}

/* Counts the nodes of v into the budget; false when it is used up or v is deeper than levels. */
static bool patch_json_walk(struct jp *j, const struct val *v, size_t levels)
{
	if (levels == 0 || !budget_take(&j->walked, 1))
		return false;
	j->texts += val_str(v).n + val_raw(v).n;
	VAL_EACH(v, it)
		if (!patch_json_walk(j, it, levels - 1))
			return false;
	if (val_type(v) == VAL_MAP) {
		VAL_EACH_MEMBER(v, m) {
			j->texts += m.key.n;
			if (!patch_json_walk(j, m.value, levels - 1))
				return false;
		}
	}
	return true;
}

/* Would value, put at path, keep the document within PATCH_DEPTH_MAX levels? Recursion over
 * documents, here and in everything after, relies on that bound. */
static bool fits(struct jp *j, struct sv path, const struct val *value)
{
	size_t levels = 0;

	for (size_t i = 0; i < path.n; i++)
		levels += path.p[i] == '/';
	return levels < PATCH_DEPTH_MAX && patch_json_walk(j, value, PATCH_DEPTH_MAX - levels);
}

static void set_member(struct jp *j, const struct place *p, const struct val *value)
{
	if (p->parent == j->open.map)
		(void)val_index_set(&j->open, j->a, p->token, value);
	else
		(void)val_set_sv(j->a, p->parent, p->token, value);
}

static bool del_member(struct jp *j, const struct place *p)
{
	return p->parent == j->open.map ? val_index_del(&j->open, p->token) : val_del_sv(p->parent, p->token);
}

static int op_add(struct jp *j, struct sv path, const struct val *value)
{
	struct place p;
	size_t i;

	if (locate(j, path, &p) < 0)
		return -1;
	if (p.parent->type == VAL_MAP) {
		set_member(j, &p, value);
		return 0;
	}
	if (!token_index(p.token, val_len(p.parent), true, &i))
		return patch_json_refuse(j);
	if (pass(j, val_len(p.parent) - i) < 0)
		return -1;
	val_list_insert(j->a, p.parent, i, value);
	return 0;
}

static int op_remove(struct jp *j, struct sv path)
{
	struct place p;
	size_t i;

	if (locate(j, path, &p) < 0)
		return -1;
	if (p.parent->type == VAL_MAP)
		return del_member(j, &p) ? 0 : patch_json_refuse(j);
	if (!token_index(p.token, val_len(p.parent), false, &i))
		return patch_json_refuse(j);
	if (pass(j, val_len(p.parent) - i) < 0)
		return -1;
	val_list_remove(p.parent, i);
	return 0;
}

static int op_replace(struct jp *j, struct sv path, const struct val *value)
{
	struct place p;
	struct val *at;
	uint32_t sym;

	if (locate(j, path, &p) < 0)
		return -1;
	if (p.parent->type == VAL_MAP) {
		set_member(j, &p, value);
		return 0;
	}
	at = child(j, p.parent, p.token);
	if (!at)
		return patch_json_refuse(j);
	sym = at->sym;
	*at = *value;
	at->sym = sym;
	return 0;
}

static int op_test(struct jp *j, struct sv path, const struct val *value)
{
	const struct val *at = j->root;
	struct place p;

	if (path.n) {
		if (locate(j, path, &p) < 0)
			return -1;
		at = place_get(j, &p);
	} else {
		val_index_release(&j->open);
	}
	/* An element that a list has not is null, too, here alone. */
	return (at ? val_equal(at, value) : value->type == VAL_NULL) ? 0 : patch_json_refuse(j);
}

static int op_from(struct jp *j, struct sv from, struct sv path, bool move)
{
	size_t before = j->texts;
	struct place p;
	const struct val *at;
	struct val *held;

	if (locate(j, from, &p) < 0)
		return -1;
	at = place_get(j, &p);
	if (!at || !fits(j, path, at))
		return patch_json_refuse(j);
	if (!move && budget_spend(&j->copied, j->texts - before, j->err) < 0)
		return -1;
	if (!move)
		return op_add(j, path, val_clone_nodes(j->a, at));
	/* Into itself fails by itself: after the removal there is no such place. */
	held = val_new_null(j->a); /* removing shifts the place it lies in */
	*held = *at;
	return op_remove(j, from) < 0 ? -1 : op_add(j, path, held);
}

/* Values are cloned: a later operation may change what an earlier one put in, and the patch
 * itself is not ours to change. */
static int apply_op(struct jp *j, const struct val *op)
{
	const struct val *value = val_member_sv(op, SV("value"));
	const struct val *path = val_member_sv(op, SV("path"));
	const struct val *from = val_member_sv(op, SV("from"));
	struct sv kind = val_str(val_member_sv(op, SV("op")));

	if (val_type(path) != VAL_STR)
		return patch_json_refuse(j);
	if (sv_is(kind, "remove"))
		return op_remove(j, val_str(path));
	if (sv_is(kind, "move") || sv_is(kind, "copy"))
		return val_type(from) == VAL_STR ? op_from(j, val_str(from), val_str(path), sv_is(kind, "move"))
						 : patch_json_refuse(j);
	if (!value) /* not given is null */
		value = val_new_null(j->a);
	if (sv_is(kind, "test"))
		return op_test(j, val_str(path), value);
	if ((!sv_is(kind, "add") && !sv_is(kind, "replace")) || !fits(j, val_str(path), value))
		return patch_json_refuse(j);
	value = val_clone_nodes(j->a, value);
	return sv_is(kind, "add") ? op_add(j, val_str(path), value) : op_replace(j, val_str(path), value);
}

static const char *json_type(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_INT:
	case VAL_FLOAT:
		return "number";
	case VAL_BOOL:
		return "bool";
	default:
		return val_type_name(val_type(v));
	}
}

/* What upstream's library says of an operation that does not apply. */
static struct sv patch_json_words(struct jp *j, const struct val *op)
{
	struct sv path = val_str(val_member_sv(op, SV("path"))), kind = val_str(val_member_sv(op, SV("op"))),
		  key = path;
	bool removes = sv_is(kind, "remove");
	ssize_t slash;

	while ((slash = sv_find(key, '/')) >= 0)
		key = sv_sub(key, (size_t)slash + 1, key.n);
	if (!removes && !sv_is(kind, "add") && !sv_is(kind, "replace") && !sv_is(kind, "test") &&
	    !sv_is(kind, "move") && !sv_is(kind, "copy"))
		return arena_svf(j->a, "Unexpected kind: %.*s", SV_ARG(kind));
	if (j->no_place)
		return arena_svf(j->a, "%.*s operation does not apply: doc is missing path: \"%.*s\": missing value",
				 SV_ARG(kind), SV_ARG(path));
	if (sv_is(kind, "test"))
		return arena_svf(j->a, "testing value %.*s failed: test failed", SV_ARG(path));
	if (sv_is(kind, "replace"))
		return arena_svf(j->a, "replace operation does not apply: doc is missing key: %.*s: missing value",
				 SV_ARG(path));
	return arena_svf(j->a,
			 removes
			     ? "error in %.*s for path: '%.*s': Unable to remove nonexistent key: %.*s: missing value"
			     : "error in %.*s for path: '%.*s': Unable to access invalid index: %.*s: invalid index "
			       "referenced",
			 SV_ARG(kind), SV_ARG(path), SV_ARG(key));
}

struct val *patch_json(struct arena *a, const struct val *doc, const struct val *patch, struct err *err)
{
	return patch_json_why(a, doc, patch, NULL, err);
}

struct val *patch_json_why(struct arena *a, const struct val *doc, const struct val *patch, struct sv *ret_why,
			   struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	struct jp j = { .a = a,
			.err = err,
			.walked = BUDGET(walk_limit),
			.copied = BUDGET(copy_limit),
			.passed = BUDGET(pass_limit) };

	if (val_type(patch) == VAL_NULL) /* no operations */
		return val_clone_nodes(a, doc);
	if (val_type(patch) != VAL_LIST) {
		err_set(err, ERR_BAD_REQUEST,
			"error decoding patch: json: cannot unmarshal %s into Go value of type []handlers.jsonPatchOp",
			json_type(patch));
		return NULL;
	}
	if (val_len(patch) > JSON_PATCH_MAX_OPS) {
		err_set(err, ERR_TOO_LARGE,
			"Request entity too large: The allowed maximum operations in a JSON patch is %d, got %zu",
			JSON_PATCH_MAX_OPS, val_len(patch));
		return NULL;
	}
	VAL_EACH(patch, op) {
		if (op->type != VAL_MAP && op->type != VAL_NULL) {
			err_set(err, ERR_BAD_REQUEST,
				"error decoding patch: json: cannot unmarshal %s into Go value of type "
				"handlers.jsonPatchOp",
				json_type(op));
			return NULL;
		}
	}
	if (val_deeper_than(patch, PATCH_DEPTH_MAX)) {
		err_set(err, ERR_BAD_REQUEST, "error decoding patch: nested deeper than %d levels", PATCH_DEPTH_MAX);
		return NULL;
	}
	j.root = val_clone_nodes(a, doc);
	VAL_EACH(patch, op) {
		if (apply_op(&j, op) < 0) {
			if (ret_why)
				*ret_why = patch_json_words(&j, op);
			j.root = NULL;
			break;
		}
	}
	val_index_release(&j.open);
	return j.root && val_count(&values, j.root, err) == 0 ? j.root : NULL;
}
