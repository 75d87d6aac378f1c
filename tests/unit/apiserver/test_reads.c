/* GET, LIST and WATCH: resourceVersion, its match, limit, continue and sendInitialEvents in all combinations, each
 * against the answer that the documentation of API concepts and upstream's validation give. What is right is said here
 * once more, in a few lines, and apart from the code that answers. */
#include "harness.h"

#include "base/b64.h"
#include "object/protobuf.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define FORM(kind) "application/json;as=" kind ";v=v1;g=meta.k8s.io"
#define OLD_N 5 /* objects at the old revision: c0 to c4 */
#define NOW_N 6 /* c1 to c6 */

/* What there is: one resource, at two moments. */
struct scene {
	struct rig *r;
	const char *path, *body; /* how an object begins */
	int64_t compacted, old, now, future;
};

/* --- values of parameters; NULL: not given --- */

enum rev { REV_NONE, REV_EMPTY, REV_0, REV_OLD, REV_NOW, REV_COMPACTED, REV_FUTURE, REV_X, REV_NEGATIVE, _REV_MAX };
enum token { TOKEN_NONE, TOKEN_OLD, TOKEN_NOW, TOKEN_COMPACTED, TOKEN_LOST, TOKEN_GARBAGE, _TOKEN_MAX };
static const char *const matches[] = { NULL, "", "Exact", "NotOlderThan", "Bogus" };
static const char *const limits[] = { NULL, "0", "2", "-1", "x" };
static const char *const initials[] = { NULL, "true", "false" };

static const char *rev_text(const struct scene *s, enum rev rev)
{
	static const char *const fixed[_REV_MAX] = {
		[REV_EMPTY] = "", [REV_0] = "0", [REV_X] = "x", [REV_NEGATIVE] = "-1"
	};
	int64_t n = rev == REV_OLD	   ? s->old
		    : rev == REV_NOW	   ? s->now
		    : rev == REV_COMPACTED ? s->compacted
		    : rev == REV_FUTURE	   ? s->future
					   : 0;

	return n ? arena_printf(&s->r->arena, "%d", (int)n) : fixed[rev];
}

static const char *token_of(struct rig *r, int64_t rev, const char *start, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%d,\"start\":", (int)rev);
	json_encode_str(&b, sv_make(start, n));
	buf_addc(&b, '}');
	return arena_cstr(&r->arena, b64url_encode(&r->arena, buf_sv(&b)));
}

/* All of them begin behind c1. */
static const char *token_text(const struct scene *s, enum token t)
{
	switch (t) {
	case TOKEN_NONE:
		return NULL;
	case TOKEN_GARBAGE:
		return "e30!";
	default:
		return token_of(s->r,
				t == TOKEN_OLD	  ? s->old
				: t == TOKEN_NOW  ? s->now
				: t == TOKEN_LOST ? -1
						  : s->compacted,
				"c1", sizeof("c1"));
	}
}

static void add_query(struct buf *b, const char *name, const char *value)
{
	if (value)
		buf_printf(b, "%c%s=%s", b->n && memchr(b->p, '?', b->n) ? '&' : '?', name, value);
}

static bool given(const char *s)
{
	return s && *s;
}

/* --- what is right --- */

struct want {
	int code;
	const char *message;
	int first, n;	 /* of the answer: which is the first (cN), how many */
	int64_t rev;	 /* of the list */
	bool more;	 /* there is another page, */
	int remaining;	 /* with so many on it and behind */
	struct buf text; /* of message, when it is made of parts */
};

struct list_row {
	const char *rev, *match, *limit, *token, *initial;
	enum rev rev_kind;
	enum token token_kind;
};

static void fault(struct want *w, int *n, const char *field, const char *what)
{
	buf_printf(&w->text, "%s%s: %s", (*n)++ ? ", " : "", field, what);
}

static bool want_faults(struct want *w, int n)
{
	if (!n)
		return false;
	w->code = 422;
	w->message = n == 1 ? xasprintf("ListOptions.meta.k8s.io \"\" is invalid: %s", buf_cstr(&w->text))
			    : xasprintf("ListOptions.meta.k8s.io \"\" is invalid: [%s]", buf_cstr(&w->text));
	return true;
}

static bool list_invalid(const struct list_row *q, struct want *w)
{
	const char *match = "resourceVersionMatch";
	int n = 0;

	if (given(q->match)) {
		if (!given(q->rev))
			fault(w, &n, match,
			      "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
		if (q->token)
			fault(w, &n, match, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
		if (strcmp(q->match, "Bogus") == 0)
			fault(w, &n, match,
			      "Unsupported value: \"Bogus\": supported values: \"Exact\", \"NotOlderThan\", \"\"");
		if (strcmp(q->match, "Exact") == 0 && q->rev_kind == REV_0)
			fault(w, &n, match,
			      "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
	}
	if (q->initial)
		fault(w, &n, "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list");
	return want_faults(w, n);
}

/* Objects are c0 to c4 then, c1 to c6 now; behind c1 those from c2 on. */
static void want_page(struct want *w, bool old, bool behind_c1, int limit)
{
	int from = behind_c1 ? 2 : old ? 0 : 1, end = old ? OLD_N : NOW_N + 1;

	w->code = 200;
	w->first = from;
	w->n = limit && limit < end - from ? limit : end - from;
	w->remaining = end - from - w->n;
	w->more = w->remaining > 0;
}

static void want_list(const struct scene *s, const struct list_row *q, struct want *w)
{
	int limit = q->limit && strcmp(q->limit, "2") == 0 ? 2 : 0;
	bool exact;

	if (q->limit && strcmp(q->limit, "x") == 0) {
		w->code = 400;
		w->message = xasprintf("strconv.ParseInt: parsing \"x\": invalid syntax");
		return;
	}
	if (list_invalid(q, w))
		return;
	if (q->token) {
		w->code = 400;
		if (q->token_kind == TOKEN_GARBAGE)
			w->message = xasprintf("invalid continue token: continue key is not valid: illegal base64 data "
					       "at input byte 3");
		else if (given(q->rev) && q->rev_kind != REV_0)
			w->message = xasprintf("specifying resource version is not allowed when using continue");
		else if (q->token_kind == TOKEN_COMPACTED)
			w->code = 410;
		else
			want_page(w, q->token_kind == TOKEN_OLD, true, limit);
		w->rev = q->token_kind == TOKEN_OLD ? s->old : s->now;
		return;
	}
	if (q->rev_kind == REV_X || q->rev_kind == REV_NEGATIVE) {
		w->code = 400;
		w->message = xasprintf("invalid resource version: resourceVersion: Invalid value: \"%s\": "
				       "strconv.ParseUint: parsing \"%s\": invalid syntax",
				       q->rev, q->rev);
		return;
	}
	exact = given(q->match) ? strcmp(q->match, "Exact") == 0 : limit && given(q->rev) && q->rev_kind != REV_0;
	if (q->rev_kind == REV_FUTURE) {
		w->code = 504;
		w->message =
		    xasprintf("Timeout: Too large resource version: %d, current: %d", (int)s->future, (int)s->now);
		return;
	}
	if (exact && q->rev_kind == REV_COMPACTED) {
		w->code = 410;
		w->message = xasprintf("The resourceVersion for the provided list is too old.");
		return;
	}
	want_page(w, exact && q->rev_kind == REV_OLD, false, q->rev_kind == REV_0 ? 0 : limit);
	w->rev = exact && q->rev_kind == REV_OLD ? s->old : s->now;
}

/* --- what is answered --- */

enum form { AS_JSON, AS_TABLE, AS_PARTIAL, AS_PROTOBUF, _AS_MAX };
static const char *const accepts[_AS_MAX] = { NULL, FORM("Table"), FORM("PartialObjectMetadataList"),
					      PROTOBUF_MEDIA_TYPE };

static const struct val *read_answer(struct rig *r, struct answer *a, enum form form)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v = form == AS_PROTOBUF ? protobuf_decode(&r->arena, arena_sv(&r->arena, buf_sv(&a->body)),
								    SV("v1"), SV(""), NULL, &err)
						  : a->json;

	assert_non_null(v);
	return v;
}

static void check_list(const struct scene *s, const char *path, const struct want *w, enum form form, bool custom,
		       bool selected)
{
	struct answer *a = api(s->r, "GET", path, .accept = accepts[form]);
	const struct val *v, *items, *meta;
	struct sv cont;
	int i = 0;

	if (a->code != w->code)
		fail_msg("%s: %d instead of %d: %.*s", path, a->code, w->code, SV_ARG(buf_sv(&a->body)));
	v = read_answer(s->r, a, form);
	answer_free(a);
	meta = val_member(v, F_metadata);
	cont = val_get_str(meta, F_continue);
	if (w->code != 200) {
		if (w->message && !val_is(val_get(v, F_message), w->message))
			fail_msg("%s: %.*s\ninstead of\n%s", path, SV_ARG(val_get_str(v, F_message)), w->message);
		/* A lost page has a way on. */
		assert_int_equal(cont.n > 0, w->code == 410 && !w->message);
		return;
	}
	items = val_member(v, form == AS_TABLE ? F_rows : F_items);
	if ((int)val_len(items) != w->n)
		fail_msg("%s: %d instead of %d", path, (int)val_len(items), w->n);
	VAL_EACH(items, o) {
		const struct val *of = form == AS_TABLE ? val_member(o, F_object) : o;

		assert_val(val_get(of, F_metadata, F_name), arena_printf(&s->r->arena, "c%d", w->first + i++));
	}
	if (rev_of(v) != w->rev)
		fail_msg("%s: of %d instead of %d", path, (int)rev_of(v), (int)w->rev);
	if ((cont.n > 0) != w->more)
		fail_msg("%s: %s", path, cont.n ? "goes on" : "ends");
	/* The generic lists of custom resources always have the field. */
	if (form == AS_JSON && custom)
		assert_non_null(val_member(meta, F_continue));
	if (w->more && !selected)
		assert_int_equal(val_get_int(meta, -1, F_remainingItemCount), w->remaining);
	else
		assert_null(val_member(meta, F_remainingItemCount));
}

static const char *list_path(const struct scene *s, const struct list_row *q, const char *selector)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, s->path);
	add_query(&b, "resourceVersion", q->rev);
	add_query(&b, "resourceVersionMatch", q->match);
	add_query(&b, "limit", q->limit);
	add_query(&b, "continue", q->token);
	add_query(&b, "sendInitialEvents", q->initial);
	add_query(&b, "labelSelector", selector);
	return arena_strdup(&s->r->arena, buf_cstr(&b));
}

static void lists(const struct scene *s, bool custom)
{
	int nth = 0;

	for (int rev = 0; rev < _REV_MAX; rev++)
		for (size_t m = 0; m < ARRAY_LEN(matches); m++)
			for (size_t l = 0; l < ARRAY_LEN(limits); l++)
				for (int t = 0; t < _TOKEN_MAX; t++)
					for (size_t i = 0; i < ARRAY_LEN(initials); i++, nth++) {
						struct list_row q = {
							rev_text(s, rev), matches[m],	 limits[l], token_text(s, t),
							initials[i],	  (enum rev)rev, t,
						};
						struct want w = { .text = BUF_INIT };
						enum form form = (enum form)(nth % (custom ? AS_PROTOBUF : _AS_MAX));

						want_list(s, &q, &w);
						check_list(s, list_path(s, &q, NULL), &w, AS_JSON, custom, false);
						if (w.code == 200) /* each form has its turn at each of these */
							check_list(s, list_path(s, &q, NULL), &w, form, custom, false);
						if (w.code == 200)
							check_list(s, list_path(s, &q, "l%3Dx"), &w, AS_JSON, custom,
								   true);
						free((void *)w.message);
						buf_release(&w.text);
					}
}

/* --- watches --- */

struct watch_row {
	const char *rev, *match, *initial, *bookmarks, *token;
	enum rev rev_kind;
};

static bool watch_invalid(const struct watch_row *q, struct want *w)
{
	const char *match = "resourceVersionMatch";
	bool newer = q->match && strcmp(q->match, "NotOlderThan") == 0;
	int n = 0;

	if (q->initial && !newer)
		fault(w, &n, match,
		      "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (given(q->match)) {
		_cleanup_free_ char *unsupported =
		    xasprintf("Unsupported value: \"%s\": supported values: \"NotOlderThan\"", q->match);

		if (!q->initial)
			fault(w, &n, match,
			      "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
			      "provided");
		if (!newer)
			fault(w, &n, match, unsupported);
		if (q->token)
			fault(w, &n, match, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
	}
	return want_faults(w, n);
}

/* The events of a stream that began: "ADDED c1", ..., in the form of the scene's changes. */
static void want_events(const struct scene *s, const struct watch_row *q, struct buf *b)
{
	static const char *const changes = "DELETED c0\nMODIFIED c2\nADDED c5\nADDED c6\n";
	bool from_nothing = !given(q->rev) || q->rev_kind == REV_0;
	bool initial = q->initial ? strcmp(q->initial, "true") == 0 : from_nothing;

	if (initial && q->rev_kind == REV_FUTURE) {
		buf_printf(b, "ERROR 504 Timeout: Too large resource version: %d, current: %d\n", (int)s->future,
			   (int)s->now);
	} else if (initial) {
		for (int i = 1; i <= NOW_N; i++)
			buf_printf(b, "ADDED c%d\n", i);
		if (q->bookmarks)
			buf_printf(b, "BOOKMARK %d true\n", (int)s->now);
	} else if (q->rev_kind == REV_COMPACTED) {
		buf_adds(b, "ERROR 410 too old resource version: ");
	} else if (q->rev_kind == REV_OLD) {
		buf_adds(b, changes);
	}
}

static void told(struct answer *a, bool table, struct buf *b)
{
	for (size_t i = 0; i < stream_lines(a); i++) {
		const struct val *e = stream_line(a, i), *o = val_get(e, F_object);
		struct sv type = val_get_str(e, F_type);

		if (table && sv_is(val_get_str(o, F_kind), "Table"))
			o = val_get(val_at(val_get(o, F_rows), 0), F_object);
		if (sv_is(type, "ERROR"))
			buf_printf(b, "ERROR %d %.*s\n", (int)val_get_int(o, 0, F_code),
				   SV_ARG(val_get_str(o, F_message)));
		else if (sv_is(type, "BOOKMARK"))
			buf_printf(b, "BOOKMARK %d %.*s\n", (int)rev_of(o),
				   SV_ARG(val_str(val_member_sv(val_get(o, F_metadata, F_annotations),
								SV("k8s.io/initial-events-end")))));
		else
			buf_printf(b, "%.*s %.*s\n", SV_ARG(type), SV_ARG(val_get_str(o, F_metadata, F_name)));
	}
}

static void check_watch(const struct scene *s, const struct watch_row *q, enum form form)
{
	static const char *const forms[] = { NULL, FORM("Table"), FORM("PartialObjectMetadata") };
	_cleanup_(buf_release) struct buf path = BUF_INIT, events = BUF_INIT, want = BUF_INIT;
	struct want w = { .text = BUF_INIT };
	struct answer *a;

	buf_printf(&path, "%s?watch=1", s->path);
	add_query(&path, "resourceVersion", q->rev);
	add_query(&path, "resourceVersionMatch", q->match);
	add_query(&path, "sendInitialEvents", q->initial);
	add_query(&path, "allowWatchBookmarks", q->bookmarks);
	add_query(&path, "continue", q->token);
	a = api(s->r, "GET", buf_cstr(&path), .accept = forms[form]);
	rig_run(s->r, 0);
	if (watch_invalid(q, &w)) {
		assert_int_equal(a->code, 422);
		if (!val_is(val_get(api_json(a), F_message), w.message))
			fail_msg("%s: %.*s\ninstead of\n%s", buf_cstr(&path),
				 SV_ARG(val_get_str(api_json(a), F_message)), w.message);
	} else if (q->rev_kind == REV_X || q->rev_kind == REV_NEGATIVE) {
		assert_int_equal(a->code, 400);
	} else {
		want_events(s, q, &want);
		assert_true(a->streaming);
		told(a, form == AS_TABLE, &events);
		if (!sv_starts(buf_sv(&events), buf_sv(&want)) ||
		    (events.n != want.n && !sv_starts(buf_sv(&events), SV("ERROR 410"))))
			fail_msg("%s:\n%s\ninstead of\n%s", buf_cstr(&path), buf_cstr(&events), buf_cstr(&want));
		assert_int_equal(a->ended, sv_starts(buf_sv(&events), SV("ERROR")));
	}
	if (a->streaming && !a->ended)
		answer_gone(a);
	else
		answer_free(a);
	free((void *)w.message);
	buf_release(&w.text);
}

static void watches(const struct scene *s)
{
	static const char *const bookmarks[] = { NULL, "true" }, *const tokens[] = { NULL, "e30" };
	int nth = 0;

	for (int rev = 0; rev < _REV_MAX; rev++)
		for (size_t m = 0; m < ARRAY_LEN(matches); m++)
			for (size_t i = 0; i < ARRAY_LEN(initials); i++)
				for (size_t k = 0; k < ARRAY_LEN(bookmarks); k++)
					for (size_t t = 0; t < ARRAY_LEN(tokens); t++, nth++) {
						struct watch_row q = { rev_text(s, rev), matches[m], initials[i],
								       bookmarks[k],	 tokens[t],  (enum rev)rev };

						check_watch(s, &q, AS_JSON);
						if (nth % 3)
							check_watch(s, &q, nth % 3 == 1 ? AS_TABLE : AS_PARTIAL);
					}
}

/* --- one object --- */

static void gets(const struct scene *s)
{
	for (int rev = 0; rev < _REV_MAX; rev++)
		for (size_t m = 0; m < ARRAY_LEN(matches); m++) {
			_cleanup_(buf_release) struct buf path = BUF_INIT;
			struct answer *a;

			buf_printf(&path, "%s/c3", s->path);
			add_query(&path, "resourceVersion", rev_text(s, rev));
			add_query(&path, "resourceVersionMatch", matches[m]); /* nothing that a GET has */
			a = api(s->r, "GET", buf_cstr(&path));
			assert_int_equal(a->code, rev == REV_FUTURE			? 504
						  : rev == REV_X || rev == REV_NEGATIVE ? 400
											: 200);
			answer_free(a);
		}
}

/* --- the scenes --- */

static void scene_add(const struct scene *s, const char *name)
{
	expect(
	    s->r, 201, "POST", s->path,
	    arena_printf(&s->r->arena, "{%s\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"x\"}}}", s->body, name));
}

static void scene_change(const struct scene *s, const char *name)
{
	expect_type(s->r, 200, "PATCH", arena_printf(&s->r->arena, "%s/%s", s->path, name),
		    "application/merge-patch+json", "{\"metadata\":{\"labels\":{\"again\":\"\"}}}");
}

static void scene_make(struct scene *s)
{
	for (int i = 0; i < OLD_N; i++)
		scene_add(s, arena_printf(&s->r->arena, "c%d", i));
	s->compacted = rev_of(expect(s->r, 200, "GET", s->path, NULL));
	scene_change(s, "c4");
	rig_run(s->r, 11 * 60 * NS_PER_SEC);
	scene_change(s, "c3");
	s->old = rev_of(expect(s->r, 200, "GET", s->path, NULL));
	expect(s->r, 200, "DELETE", arena_printf(&s->r->arena, "%s/c0", s->path), NULL);
	scene_change(s, "c2");
	scene_add(s, "c5");
	scene_add(s, "c6");
	s->now = rev_of(expect(s->r, 200, "GET", s->path, NULL));
	s->future = s->now + 1000;
}

static void test_built_in(void **state)
{
	struct scene s = { .r = *state, .path = CM, .body = "" };

	scene_make(&s);
	lists(&s, false);
	watches(&s);
	gets(&s);
}

/* By the version that is stored, and by another. */
static void test_custom(void **state)
{
	static const char *const versions[] = { "v1", "v2" };
	struct scene s = { .r = *state };

	expect(s.r, 201, "POST", CRDS,
	       "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{"
	       "\"name\":\"foos.ex.com\"},\"spec\":{\"group\":\"ex.com\",\"scope\":\"Namespaced\",\"names\":{"
	       "\"plural\":\"foos\",\"kind\":\"Foo\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
	       "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}},{\"name\":\"v2\",\"served\":true,\"storage\":"
	       "false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}");
	rig_run(s.r, NS_PER_SEC);
	s.path = "/apis/ex.com/v1/namespaces/default/foos";
	s.body = "\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",";
	scene_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		s.path = arena_printf(&s.r->arena, "/apis/ex.com/%s/namespaces/default/foos", versions[i]);
		lists(&s, true);
		watches(&s);
		gets(&s);
	}
}

/* --- tokens --- */

static void token_refused(struct rig *r, const char *path, const char *token, const char *words)
{
	struct answer *a = api(r, "GET", arena_printf(&r->arena, "%s?limit=1&continue=%s", path, token));
	const char *want = arena_printf(&r->arena, "invalid continue token: continue key is not valid%s", words);

	if (a->code != 400 || !val_is(val_get(a->json, F_message), want))
		fail_msg("%s of %s: %d %.*s\ninstead of\n%s", token, path, a->code, SV_ARG(buf_sv(&a->body)), want);
	answer_free(a);
}

static void test_tokens_refused(void **state)
{
	static const struct {
		const char *json, *words;
	} rows[] = {
		{ "", ": unexpected end of JSON input" },
		{ "x", ": invalid character 'x' looking for beginning of value" },
		{ "[]", ": json: cannot unmarshal array into Go value of type storage.continueToken" },
		{ "{\"v\":1}",
		  ": json: cannot unmarshal number 1 into Go struct field continueToken.v of type string" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":\"5\"}",
		  ": json: cannot unmarshal string into Go struct field continueToken.rv of type int64" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":1.5}",
		  ": json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":{}}",
		  ": json: cannot unmarshal object into Go struct field continueToken.start of type string" },
		{ "{}", ": server does not recognize this encoded version " },
		{ "null", ": server does not recognize this encoded version " },
		{ "{\"v\":\"v2\",\"rv\":5,\"start\":\"c0\"}", ": server does not recognize this encoded version v2" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"start\":\"c0\"}",
		  ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5}", ": encoded start key empty (version meta.k8s.io/v1)" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"../c0\"}", ": ../c0" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"/../c0\"}", ": /../c0" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"..\"}", ": .." },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"./c0\"}", ": ./c0" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"c0/\"}", ": c0/" },
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"//c0\"}", ": //c0" },
		/* Of another list: over all namespaces. */
		{ "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"kube-system/c0\"}", ": kube-system/c0" },
	};
	struct rig *r = *state;
	_cleanup_free_ char *far = xcalloc(1, 3000);

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"c0\"}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		token_refused(r, CM,
			      *rows[i].json ? arena_cstr(&r->arena, b64url_encode(&r->arena, sv_from(rows[i].json)))
					    : "%0A",
			      rows[i].words);
	token_refused(r, CM, "e30!", ": illegal base64 data at input byte 3");
	token_refused(r, CM, "%2B", ": illegal base64 data at input byte 0");
	token_refused(r, CM, "e30%3D", ": illegal base64 data at input byte 3");
	token_refused(r, CM, "e30e3", ": illegal base64 data at input byte 4");
	memset(far, 'c', 1000);
	token_refused(r, CM, token_of(r, 1, far, 1000), arena_printf(&r->arena, ": %s", far));
	/* And the other way round: of a namespace, over all or where there are none. */
	token_refused(r, "/api/v1/configmaps", token_of(r, 1, "a/b/c", 5), ": a/b/c");
	token_refused(r, "/api/v1/namespaces", token_of(r, 1, "a/b", 3), ": a/b");
	/* Of a moment that has not come, it is waited for, as for any. */
	expect_status(
	    r, 504, "Timeout", "Too large resource version: 99999999, current: ",
	    &(struct ask){ .method = "GET",
			   .path = arena_printf(&r->arena, CM "?continue=%s", token_of(r, 99999999, "c0", 2)) });
}

/* Whoever writes a token gets no further than the list that he may read: also of a moment that only the store has. */
static void test_forged(void **state)
{
	static const char *const starts[] = { "a/", "a/s", "/a/s", "a", "", "/", "zz/s", "b/s", "../a/s", "b/../a/s" };
	struct rig *r = *state;
	int64_t then = 0;

	for (const char *ns = "abc"; *ns; ns++) {
		expect(r, 201, "POST", "/api/v1/namespaces",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%c\"}}", *ns));
		then = rev_of(expect(r, 201, "POST", arena_printf(&r->arena, "/api/v1/namespaces/%c/secrets", *ns),
				     "{\"metadata\":{\"name\":\"s\"}}"));
	}
	expect(r, 201, "POST", "/api/v1/namespaces/b/secrets", "{\"metadata\":{\"name\":\"later\"}}");
	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		for (int now = -1; now <= 1; now++) {
			const char *token = token_of(r, now < 0 ? -1 : then + now, starts[i], strlen(starts[i]));
			struct answer *a =
			    api(r, "GET", arena_printf(&r->arena, "/api/v1/namespaces/b/secrets?continue=%s", token));

			assert_true(a->code == 200 || a->code == 400);
			VAL_EACH(val_get(a->json, F_items), o)
				assert_val(val_get(o, F_metadata, F_namespace), "b");
			answer_free(a);
		}
}

/* A walk over all pages, whatever is written between them, is the list of its first moment: in a namespace, over all of
 * them, of custom resources, with and without a selector; and the same token may be used twice. */
static void test_walk(void **state)
{
	static const char *const paths[] = { CM "?limit=2", "/api/v1/configmaps?limit=3",
					     "/api/v1/configmaps?limit=1&labelSelector=l%3Dx" };
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"a\"}}");
	for (int i = 0; i < 7; i++) {
		expect(r, 201, "POST", CM,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"w%d\",\"labels\":{\"l\":\"x\"}}}", i));
		expect(r, 201, "POST", "/api/v1/namespaces/a/configmaps",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"w%d\",\"labels\":{\"l\":\"x\"}}}", i));
	}
	for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
		size_t whole = p ? 14 : 7, seen = 0, page_n = 0;
		bool selects = strstr(paths[p], "labelSelector");
		struct sv cont = SV_NULL;
		int64_t rev = 0;

		for (int page = 0; page == 0 || cont.n; page++) {
			const char *path =
			    arena_printf(&r->arena, "%s%s%.*s", paths[p], cont.n ? "&continue=" : "", SV_ARG(cont));
			const struct val *l = expect(r, 200, "GET", path, NULL);

			rev = rev ? rev : rev_of(l);
			assert_int_equal(rev_of(l), rev);
			page_n = val_len(val_get(l, F_items));
			seen += page_n;
			cont = val_get_str(l, F_metadata, F_continue);
			if (cont.n && !selects)
				assert_int_equal(val_get_int(l, -1, F_metadata, F_remainingItemCount), whole - seen);
			else
				assert_null(val_get(l, F_metadata, F_remainingItemCount));
			/* What comes, goes and changes meanwhile. */
			expect(r, 201, "POST", CM,
			       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"w%d-%d\"}}", (int)p, page));
			expect_type(r, 200, "PATCH", CM "/w6", "application/merge-patch+json",
				    arena_printf(&r->arena, "{\"data\":{\"page\":\"%d-%d\"}}", (int)p, page));
			if (page == 1) /* again */
				assert_int_equal(val_len(val_get(expect(r, 200, "GET", path, NULL), F_items)), page_n);
		}
		assert_int_equal(seen, whole);
		for (int page = 0; page < 14; page++)
			answer_free(api(r, "DELETE", arena_printf(&r->arena, CM "/w%d-%d", (int)p, page)));
	}
}

/* The token that is offered for a lost page goes on there, page by page, at one moment. */
static void test_lost(void **state)
{
	struct rig *r = *state;
	const struct val *l;
	struct answer *a;
	struct sv cont;
	int64_t rev;

	for (int i = 0; i < 8; i++)
		expect(r, 201, "POST", CM, arena_printf(&r->arena, "{\"metadata\":{\"name\":\"c%d\"}}", i));
	cont = val_get_str(expect(r, 200, "GET", CM "?limit=3", NULL), F_metadata, F_continue);
	expect(r, 200, "DELETE", CM "/c4", NULL);
	rig_run(r, 11 * 60 * NS_PER_SEC);
	a = api(r, "GET", arena_printf(&r->arena, CM "?limit=3&continue=%.*s", SV_ARG(cont)));
	assert_int_equal(a->code, 410);
	assert_val(val_get(a->json, F_reason), "Expired");
	assert_val(
	    val_get(a->json, F_message),
	    "The provided continue parameter is too old to display a consistent list result. You can start a new "
	    "list without the continue parameter, or use the continue token in this response to retrieve the "
	    "remainder of the results. Continuing with the provided token results in an inconsistent list - "
	    "objects that were created, modified, or deleted between the time the first chunk was returned and "
	    "now may show up in the list.");
	cont = val_get_str(a->json, F_metadata, F_continue);
	answer_free(a);
	l = expect(r, 200, "GET", arena_printf(&r->arena, CM "?limit=2&continue=%.*s", SV_ARG(cont)), NULL);
	assert_val(val_get(val_at(val_get(l, F_items), 0), F_metadata, F_name), "c3");
	assert_val(val_get(val_at(val_get(l, F_items), 1), F_metadata, F_name), "c5");
	assert_int_equal(val_get_int(l, -1, F_metadata, F_remainingItemCount), 2);
	rev = rev_of(l);
	cont = val_get_str(l, F_metadata, F_continue);
	expect(r, 200, "DELETE", CM "/c7", NULL);
	l = expect(r, 200, "GET", arena_printf(&r->arena, CM "?limit=9&continue=%.*s", SV_ARG(cont)), NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 2);
	assert_int_equal(rev_of(l), rev);
	/* One that begins at the beginning is lost as well as any, and goes on there. */
	a = api(r, "GET", arena_printf(&r->arena, CM "?continue=%s", token_of(r, 1, "/", 1)));
	assert_int_equal(a->code, 410);
	l = expect(r, 200, "GET",
		   arena_printf(&r->arena, CM "?continue=%.*s", SV_ARG(val_get_str(a->json, F_metadata, F_continue))),
		   NULL);
	answer_free(a);
	assert_int_equal(val_len(val_get(l, F_items)), 6);
}

/* All who watch are behind compaction at once: each is told, lists again, and goes on; nothing is kept of what was. */
static void test_storm_after_compaction(void **state)
{
	enum { WATCHERS = 500 };
	struct rig *r = *state;
	struct answer *a[WATCHERS];
	const struct val *e;
	int64_t old, rev;

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"a\"}}");
	old = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"b\"}}");
	rig_run(r, 11 * 60 * NS_PER_SEC);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < WATCHERS; i++)
			a[i] = api(r, "GET", arena_printf(&r->arena, CM "?watch=1&resourceVersion=%d", (int)old));
		rig_run(r, 0);
		for (size_t i = 0; i < WATCHERS; i++) {
			assert_true(a[i]->ended);
			e = val_get(stream_line(a[i], 0), F_object);
			assert_int_equal(val_get_int(e, 0, F_code), 410);
			assert_val(val_get(e, F_reason), "Expired");
			answer_free(a[i]);
		}
	}
	for (size_t i = 0; i < WATCHERS; i++) {
		rev = rev_of(expect(r, 200, "GET", CM, NULL));
		a[i] = api(r, "GET", arena_printf(&r->arena, CM "?watch=1&resourceVersion=%d", (int)rev));
	}
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"c\"}}");
	rig_run(r, 0);
	for (size_t i = 0; i < WATCHERS; i++) {
		assert_int_equal(stream_lines(a[i]), 1);
		assert_val(val_get(stream_line(a[i], 0), F_object, F_metadata, F_name), "c");
		answer_gone(a[i]);
	}
}

/* What leaves a selection is DELETED with the revision of the change that took it out, as it was; what enters is
 * ADDED. */
static void test_selection_left(void **state)
{
	struct rig *r = *state;
	int64_t left, gone, back;
	const struct val *e;
	struct answer *a[2];

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"c\",\"labels\":{\"l\":\"x\"}},\"data\":{\"k\":\"1\"}}");
	a[0] = api(r, "GET", CM "?watch=1&labelSelector=l%3Dx");
	a[1] = api(r, "GET", CM "?watch=1&labelSelector=l%3Dx", .accept = FORM("PartialObjectMetadata"));
	left = rev_of(expect_type(r, 200, "PATCH", CM "/c", "application/merge-patch+json",
				  "{\"metadata\":{\"labels\":{\"l\":\"y\"}},\"data\":{\"k\":\"2\"}}"));
	expect_type(r, 200, "PATCH", CM "/c", "application/merge-patch+json", "{\"data\":{\"k\":\"3\"}}");
	back = rev_of(expect_type(r, 200, "PATCH", CM "/c", "application/merge-patch+json",
				  "{\"metadata\":{\"labels\":{\"l\":\"x\"}}}"));
	expect(r, 200, "DELETE", CM "/c", NULL);
	gone = rev_of(expect(r, 200, "GET", CM, NULL));
	rig_run(r, 0);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(stream_lines(a[i]), 4);
		e = stream_line(a[i], 1);
		assert_val(val_get(e, F_type), "DELETED");
		assert_int_equal(rev_of(val_get(e, F_object)), left);
		assert_val(val_member_sv(val_get(e, F_object, F_metadata, F_labels), SV("l")), "x");
		e = stream_line(a[i], 2);
		assert_val(val_get(e, F_type), "ADDED");
		assert_int_equal(rev_of(val_get(e, F_object)), back);
		e = stream_line(a[i], 3);
		assert_val(val_get(e, F_type), "DELETED");
		assert_int_equal(rev_of(val_get(e, F_object)), gone);
		answer_gone(a[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_built_in, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_custom, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_tokens_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_forged, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_walk, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_lost, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_storm_after_compaction, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_selection_left, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
