/* patch_json.c - JSON patch (RFC 6902) with JSON pointers (RFC 6901).
 *
 * The document's nodes are cloned once (strings stay shared) and the operations then change
 * the clone in place, so ten thousand operations on one list do not copy it each time.
 *
 * As upstream's implementation, an array index may be negative (counted from the end), and
 * `test` of an absent member succeeds for null.
 */
#include "object/patch.h"

struct jp {
	struct arena *a;
	struct val *root;
	struct err *err;
	size_t walked; /* nodes that `copy` and `move` went over so far */
};

/* `copy` can double a document with every operation; this ends it. */
#define WALK_MAX_NODES 1000000

/* Upstream answers 422 with this generic text whatever went wrong in applying. The detail
 * goes into a cause, where it can be read without changing what clients compare. */
static int refuse(struct jp *j, const char *what, struct sv path)
{
	err_set(j->err, ERR_INVALID, "the server rejected our request due to an error in our request");
	return err_add_cause(j->err, "JSONPatch", SV("patch"), "%s: %.*s", what, SV_ARG(path));
}

/* One reference token: ~1 is '/', ~0 is '~'. False on any other use of '~'. */
static bool token_unescape(struct arena *a, struct sv t, struct sv *ret)
{
	char *p;
	size_t n = 0;

	*ret = t;
	if (sv_find(t, '~') < 0)
		return true;
	p = arena_alloc(a, t.n + 1);
	for (size_t i = 0; i < t.n; i++) {
		p[n] = t.p[i];
		if (t.p[i] == '~') {
			if (i + 1 >= t.n || (t.p[i + 1] != '0' && t.p[i + 1] != '1'))
				return false;
			p[n] = t.p[++i] == '0' ? '~' : '/';
		}
		n++;
	}
	*ret = sv_make(p, n);
	return true;
}

/* Index into a list of len elements; for adding, len itself and "-" are places too. */
static bool token_index(struct sv t, size_t len, bool adding, size_t *ret)
{
	int64_t i;

	if (sv_is(t, "-")) {
		*ret = len;
		return adding;
	}
	if (t.n == 0 || (t.n > 1 && t.p[0] == '0') || !sv_to_i64(t, &i)) /* RFC 6901: no leading zeros */
		return false;
	if (i < 0)
		i += (int64_t)len + (adding ? 1 : 0);
	if (i < 0 || (uint64_t)i > len || (!adding && (uint64_t)i == len))
		return false;
	*ret = (size_t)i;
	return true;
}

/* A place in the document: a container and the token of the member in it; root has no parent. */
struct place {
	struct val *parent;
	struct sv token;
};

static struct val *child(struct val *v, struct sv token)
{
	size_t i;

	if (val_type(v) == VAL_MAP)
		return val_member_sv_mut(v, token);
	if (val_type(v) == VAL_LIST && token_index(token, val_len(v), false, &i))
		return val_at_mut(v, i);
	return NULL;
}

static int locate(struct jp *j, struct sv pointer, struct place *ret)
{
	struct sv rest = pointer, raw;
	struct val *at = j->root;

	*ret = (struct place){ 0 };
	if (pointer.n == 0)
		return 0;
	if (pointer.p[0] != '/')
		return refuse(j, "path does not start with '/'", pointer);
	rest = sv_sub(pointer, 1, pointer.n);
	if (rest.n == 0)
		rest = SV(""); /* "/" names the member "" */
	while (sv_split(&rest, '/', &raw)) {
		if (ret->parent) {
			at = child(ret->parent, ret->token);
			if (!at)
				return refuse(j, "doc is missing path", pointer);
		}
		if (at->type != VAL_MAP && at->type != VAL_LIST)
			return refuse(j, "path leads through a value that has no members", pointer);
		ret->parent = at;
		if (!token_unescape(j->a, raw, &ret->token))
			return refuse(j, "path has a malformed escape", pointer);
	}
	return 0;
}

static struct val *place_get(struct jp *j, const struct place *p)
{
	return p->parent ? child(p->parent, p->token) : j->root;
}

/* Counts the nodes of v into the budget; false when it is used up or v is deeper than levels. */
static bool walk(struct jp *j, const struct val *v, size_t levels)
{
	if (levels == 0 || ++j->walked > WALK_MAX_NODES)
		return false;
	VAL_EACH(v, it)
		if (!walk(j, it, levels - 1))
			return false;
	if (val_type(v) == VAL_MAP) {
		VAL_EACH_MEMBER(v, m) {
			if (!walk(j, m.value, levels - 1))
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
	return levels < PATCH_DEPTH_MAX && walk(j, value, PATCH_DEPTH_MAX - levels);
}

static int op_add(struct jp *j, struct sv path, const struct val *value)
{
	struct place p;
	size_t i;

	if (locate(j, path, &p) < 0)
		return -1;
	if (!p.parent) {
		*j->root = *value;
		j->root->sym = 0;
	} else if (p.parent->type == VAL_MAP) {
		val_set_sv(j->a, p.parent, p.token, value);
	} else if (token_index(p.token, val_len(p.parent), true, &i)) {
		val_list_insert(j->a, p.parent, i, value);
	} else {
		return refuse(j, "add operation does not apply: index out of bounds", path);
	}
	return 0;
}

static int op_remove(struct jp *j, struct sv path)
{
	struct place p;
	size_t i;

	if (locate(j, path, &p) < 0)
		return -1;
	if (!p.parent)
		return refuse(j, "remove operation does not apply: the document itself", path);
	if (p.parent->type == VAL_MAP) {
		if (!val_del_sv(p.parent, p.token))
			return refuse(j, "remove operation does not apply: doc is missing key", path);
		return 0;
	}
	if (!token_index(p.token, val_len(p.parent), false, &i))
		return refuse(j, "remove operation does not apply: index out of bounds", path);
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
	at = place_get(j, &p);
	if (!at)
		return refuse(j, "replace operation does not apply: doc is missing key", path);
	sym = at->sym;
	*at = *value;
	at->sym = sym;
	return 0;
}

static int op_test(struct jp *j, struct sv path, const struct val *value)
{
	struct place p;
	const struct val *at;

	if (locate(j, path, &p) < 0)
		return -1;
	at = place_get(j, &p);
	if (at ? val_equal(at, value) : value->type == VAL_NULL)
		return 0;
	return refuse(j, "testing value failed", path);
}

static int op_from(struct jp *j, struct sv from, struct sv path, bool move)
{
	struct place p;
	const struct val *at;
	struct val *held;

	if (locate(j, from, &p) < 0)
		return -1;
	at = place_get(j, &p);
	if (!at)
		return refuse(j,
			      move ? "move operation does not apply: doc is missing from path"
				   : "copy operation does not apply: doc is missing from path",
			      from);
	if (!fits(j, path, at))
		return refuse(j, "document becomes too large or too deep", path);
	if (!move)
		return op_add(j, path, val_clone_nodes(j->a, at));
	if (sv_eq(from, path))
		return 0;
	if (from.n == 0 || (sv_starts(path, from) && path.p[from.n] == '/'))
		return refuse(j, "move operation does not apply: cannot move a value into itself", path);
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
		return refuse(j, "operation has no path", SV(""));
	if (sv_is(kind, "remove"))
		return op_remove(j, val_str(path));
	if (sv_is(kind, "move") || sv_is(kind, "copy")) {
		if (val_type(from) != VAL_STR)
			return refuse(j, "operation has no from", val_str(path));
		return op_from(j, val_str(from), val_str(path), sv_is(kind, "move"));
	}
	if (!sv_is(kind, "add") && !sv_is(kind, "replace") && !sv_is(kind, "test"))
		return refuse(j, "unexpected kind of operation", kind);
	if (!value)
		return refuse(j, "operation has no value", val_str(path));
	if (sv_is(kind, "test"))
		return op_test(j, val_str(path), value);
	if (!fits(j, val_str(path), value))
		return refuse(j, "document becomes too large or too deep", val_str(path));
	value = val_clone_nodes(j->a, value);
	return sv_is(kind, "add") ? op_add(j, val_str(path), value) : op_replace(j, val_str(path), value);
}

struct val *patch_json(struct arena *a, const struct val *doc, const struct val *patch, struct err *err)
{
	struct jp j = { .a = a, .err = err };

	if (val_type(patch) != VAL_LIST) {
		err_set(err, ERR_BAD_REQUEST,
			"error decoding patch: json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
			val_type_name(val_type(patch)));
		return NULL;
	}
	if (val_len(patch) > JSON_PATCH_MAX_OPS) {
		err_set(err, ERR_TOO_LARGE, "The allowed maximum operations in a JSON patch is %d, got %zu",
			JSON_PATCH_MAX_OPS, val_len(patch));
		return NULL;
	}
	VAL_EACH(patch, op) {
		if (op->type != VAL_MAP) {
			err_set(
			    err, ERR_BAD_REQUEST,
			    "error decoding patch: json: cannot unmarshal %s into Go value of type jsonpatch.Operation",
			    val_type_name(val_type(op)));
			return NULL;
		}
	}
	if (val_deeper_than(patch, PATCH_DEPTH_MAX)) {
		err_set(err, ERR_BAD_REQUEST, "error decoding patch: nested deeper than %d levels", PATCH_DEPTH_MAX);
		return NULL;
	}
	j.root = val_clone_nodes(a, doc);
	VAL_EACH(patch, op)
		if (apply_op(&j, op) < 0)
			return NULL;
	return j.root;
}
