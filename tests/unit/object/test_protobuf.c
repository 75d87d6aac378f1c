/* Protobuf both ways: every type of the tables, documents by chance, bytes as upstream's marshallers write them, and
 * what is malformed. */
#include "docs.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "codec/doc_items.h"
#include "codec/pbwire.h"
#include "object/decode.h"
#include "object/protobuf.h"
#include "unicode.h"

#include <stdio.h>

/* --- documents by chance --- */

struct gen {
	struct arena *a;
	uint64_t rng;
	int depth;
	unsigned left; /* values that it may still have */
	bool mixed;    /* members of maps are in no order */
};

static struct val *gen_message(struct gen *g, const struct schema *s);

static uint32_t draw(struct gen *g, uint32_t n)
{
	return unicode_random(&g->rng) % n;
}

static struct val *gen_text(struct gen *g)
{
	char text[40];

	return val_new_str(g->a, sv_make(text, draw(g, 4) ? unicode_text(&g->rng, text, sizeof(text)) : 0));
}

static int64_t gen_int(struct gen *g, bool wide)
{
	static const int64_t edges[] = { 0, 1, -1, 127, 128, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 300 };
	int64_t v = edges[draw(g, ARRAY_LEN(edges))];

	return wide ? v : (int32_t)v;
}

static struct val *gen_any(struct gen *g)
{
	struct val *v = val_new_map(g->a);

	val_set(g->a, v, F_spec, gen_text(g));
	val_set_int(g->a, v, F_replicas, gen_int(g, true));
	val_set(g->a, v, F_items, val_new_list(g->a));
	return v;
}

static struct val *gen_schema_or(struct gen *g, const struct field *f)
{
	const struct schema *s = schema_find(SV("apiextensions.k8s.io/v1.JSONSchemaProps"));
	const char *ref = f->type->ref;
	struct val *list;

	if (g->depth > 3 || draw(g, 2))
		return sv_ends(sv_from(ref), SV("OrBool")) ? val_new_bool(g->a, draw(g, 2)) : val_new_null(g->a);
	if (draw(g, 2) || sv_ends(sv_from(ref), SV("OrBool")))
		return gen_message(g, s);
	list = val_new_list(g->a);
	val_push(g->a, list, sv_ends(sv_from(ref), SV("StringArray")) ? gen_text(g) : gen_message(g, s));
	return list;
}

static struct val *gen_value(struct gen *g, const struct field *f)
{
	static const char *const amounts[] = { "0", "100m", "1Gi", "3", "1500Ki", "12e6" };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char text[TIME_TEXT_MAX];
	bool micro = f->kind == FIELD_MICROTIME;

	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		return val_new_bool(g->a, draw(g, 2));
	case FIELD_INT32:
	case FIELD_INT64:
		return val_new_int(g->a, gen_int(g, f->kind == FIELD_INT64));
	case FIELD_FLOAT64:
		return val_new_float(g->a, (double)gen_int(g, false) / 2);
	case FIELD_STRING:
		return gen_text(g);
	case FIELD_BYTES:
		return val_new_str(g->a, b64_encode(g->a, val_str(gen_text(g))));
	case FIELD_TIME:
	case FIELD_MICROTIME:
		if (draw(g, 5) == 0)
			return val_new_null(g->a);
		return val_new_str(
		    g->a, time_format_sec(gen_int(g, false), micro ? draw(g, 1000000) * 1000 : 0, micro, text));
	case FIELD_DURATION:
		duration_format(&b, gen_int(g, true));
		return val_new_str(g->a, buf_sv(&b));
	case FIELD_QUANTITY:
		return val_new_str(g->a, sv_from(amounts[draw(g, ARRAY_LEN(amounts))]));
	case FIELD_INT_OR_STRING:
		return draw(g, 2) ? gen_text(g) : val_new_int(g->a, gen_int(g, false));
	case FIELD_RAW:
		return sv_find_sv(sv_from(f->type->ref), SV("JSONSchemaPropsOr")) >= 0 ? gen_schema_or(g, f)
										       : gen_any(g);
	case FIELD_STRUCT:
		return gen_message(g, f->type);
	case _FIELD_KIND_MAX:
		break;
	}
	fail();
	return NULL;
}

static struct val *gen_field(struct gen *g, const struct field *f)
{
	struct val *v;
	char key[8];

	if (f->card == CARD_ONE)
		return gen_value(g, f);
	v = f->card == CARD_LIST ? val_new_list(g->a) : val_new_map(g->a);
	for (uint32_t i = 0, n = draw(g, 3); i <= n; i++) {
		struct val *one = f->inner_card == CARD_LIST ? val_new_list(g->a) : gen_value(g, f);

		if (f->inner_card == CARD_LIST)
			val_push(g->a, one, gen_value(g, f));
		(void)snprintf(key, sizeof(key), "k%u", g->mixed ? 9 - i : i);
		if (f->card == CARD_LIST)
			val_push(g->a, v, one);
		else
			val_set_sv(g->a, v, sv_from(key), one);
	}
	return v;
}

static struct val *gen_message(struct gen *g, const struct schema *s)
{
	struct val *map = val_new_map(g->a);

	g->depth++;
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		bool deep = f->kind == FIELD_STRUCT && g->depth > 7;

		if (!f->number || deep || !g->left || draw(g, 3) == 0)
			continue;
		g->left--;
		val_set(g->a, map, f->sym, gen_field(g, f));
	}
	g->depth--;
	return map;
}

/* --- there and back --- */

static void put_envelope(struct buf *b, const struct schema *s, const struct val *v)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;

	protobuf_write(&raw, s, v);
	protobuf_envelope(b, val_get_str(v, F_apiVersion), val_get_str(v, F_kind), raw.n);
	buf_addsv(b, buf_sv(&raw));
	buf_addsv(b, PROTOBUF_ENVELOPE_END);
}

static void there_and_back(struct arena *a, const struct schema *s, struct val *raw, bool same_text)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, again = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = decode_typed(a, s, raw, NULL, &err), *read;

	if (!v)
		fail_msg("%s: %s", s->ref, err_msg(&err));
	empty_to_null(a, s, v);
	put_envelope(&b, s, v);
	read = protobuf_decode(a, buf_sv(&b), SV(""), SV(""), NULL, &err);
	if (read)
		read = decode_typed(a, s, read, NULL, &err);
	if (!read)
		fail_msg("%s: %s", s->ref, err_msg(&err));
	if (!val_same(v, read))
		fail_msg("%s:\n%s\n%s", s->ref, json(a, v), json(a, read));
	put_envelope(&again, s, read);
	assert_true(sv_eq(buf_sv(&b), buf_sv(&again)));
	/* But for what is any JSON, whose members stay as they were, the text is the same. */
	if (same_text && sv_find_sv(sv_from(s->ref), SV("CustomResourceDefinition")) < 0)
		assert_string_equal(json(a, v), json(a, read));
}

static struct val *named(struct arena *a, const struct schema *s, struct val *v)
{
	struct sv ref = sv_from(s->ref), version, kind;
	ssize_t dot = -1, slash = sv_find(ref, '/');
	struct val *map = val_new_map(a);

	for (size_t i = 0; i < ref.n; i++)
		if (ref.p[i] == '.')
			dot = (ssize_t)i;
	kind = sv_sub(ref, (size_t)dot + 1, ref.n);
	version = sv_sub(ref, 0, (size_t)dot);
	if (sv_starts(ref, SV("core/")) || sv_starts(ref, SV("meta/")))
		version = sv_sub(version, (size_t)slash + 1, version.n);
	val_set_str(a, map, F_kind, kind);
	val_set_str(a, map, F_apiVersion, version);
	VAL_EACH_MEMBER(v, m)
		val_set_sv(a, map, m.key, m.value);
	return map;
}

static void test_every_type(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t types = 0;

	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		const struct schema *s = schema_all[i];

		if (!s->root || !protobuf_has(s))
			continue;
		types++;
		there_and_back(&a, s, named(&a, s, val_new_map(&a)), true);
		for (uint64_t k = 0; k < 40; k++) {
			struct gen g = { .a = &a, .rng = i * 1000 + k, .left = 20 + (unsigned)k * 20, .mixed = k % 2 };

			there_and_back(&a, s, named(&a, s, gen_message(&g, s)), !g.mixed);
			arena_reset(&a);
		}
	}
	assert_true(types > 100);
}

/* --- to the byte --- */

static void assert_bytes(const char *text, const char *want, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, got = BUF_INIT, hex = BUF_INIT;
	struct val *v = doc(&a, text);
	const struct schema *s = protobuf_type(val_get_str(v, F_apiVersion), val_get_str(v, F_kind));

	assert_non_null(s);
	put_envelope(&b, s, decode_typed(&a, s, v, NULL, NULL));
	for (size_t i = 0; i < b.n; i++)
		buf_printf(&got, "%02x", (unsigned char)b.p[i]);
	for (size_t i = 0; i < n; i++)
		buf_printf(&hex, "%02x", (unsigned char)want[i]);
	assert_string_equal(buf_cstr(&got), buf_cstr(&hex));
}
#define BYTES(text, want) assert_bytes(text, want, sizeof(want) - 1)

/* What metadata has behind the name when there is nothing else. */
#define REST "\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0"

static void test_bytes(void **state)
{
	(void)state;
	BYTES(
	    "{'kind':'ConfigMap','apiVersion':'v1','metadata':{'name':'a'},'data':{'z':'','k':'v'},'immutable':false}",
	    "k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x24\n\x11\n\x01"
	    "a" REST "\x12\x06\n\x01k\x12\x01v\x12\x05\n\x01z\x12\0\x20\0\x1a\0\x22\0");
	/* Bytes; nothing and empty are two things. */
	BYTES("{'kind':'Secret','apiVersion':'v1','metadata':{'name':'a'},'data':{'e':'','k':'AAE='},'type':'t'}",
	      "k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x26\n\x11\n\x01"
	      "a" REST "\x12\x05\n\x01"
	      "e\x12\0\x12\x07\n\x01k\x12\x02\0\x01\x1a\x01t\x1a\0\x22\0");
	/* Times; an owner's pointers. */
	BYTES("{'kind':'Lease','apiVersion':'coordination.k8s.io/v1','metadata':{'name':'a','creationTimestamp':"
	      "'1970-01-01T00:00:02Z','generation':-1},'spec':{'leaseTransitions':0,'renewTime':'1970-01-01T00:00:01."
	      "000002Z'}}",
	      "k8s\0\n\x1f\n\x16"
	      "coordination.k8s.io/v1\x12\x05Lease\x12\x2b\n\x1e\n\x01"
	      "a"
	      "\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x04\x08\x02\x10\0"
	      "\x12\x09\x22\x05\x08\x01\x10\xd0\x0f\x28\0"
	      "\x1a\0\x22\0");
	/* An int or string, inlined structs by value, and what of a status is no pointer. */
	BYTES("{'kind':'Status','apiVersion':'v1','metadata':{},'status':'Success','code':200}",
	      "k8s\0\n\x0c\n\x02v1\x12\x06Status\x12\x18\n\x06\n\0\x12\0\x1a\0\x12\x07Success\x1a\0\x22\0\x30\xc8\x01"
	      "\x1a\0\x22\0");
	/* Lists that are messages. */
	BYTES("{'kind':'APIResourceList','apiVersion':'v1','groupVersion':'v1','resources':[{'name':'a','singularName':"
	      "'b',"
	      "'namespaced':true,'kind':'C','verbs':['get','x']}]}",
	      "k8s\0\n\x15\n\x02v1\x12\x0f"
	      "APIResourceList\x12\x21\n\x02v1\x12\x1b\n\x01"
	      "a\x10\x01\x1a\x01"
	      "C\x22\x08\n\x03get\n\x01x"
	      "\x32\x01"
	      "b\x42\0\x4a\0\x52\0"
	      "\x1a\0\x22\0");
}

/* --- what is malformed --- */

static void refused(struct sv body, const char *words)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (protobuf_decode(&a, body, SV(""), SV(""), NULL, &err))
		fail_msg("read, but should say '%s'", words);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	if (sv_find_sv(sv_from(err_msg(&err)), sv_from(words)) < 0)
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
}

/* Raw bytes as a kind. */
static void put_body(struct buf *b, const char *version, const char *kind, struct sv raw)
{
	buf_clear(b);
	protobuf_envelope(b, sv_from(version), sv_from(kind), raw.n);
	buf_addsv(b, raw);
	buf_addsv(b, PROTOBUF_ENVELOPE_END);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *kind;
		struct sv raw;
		const char *words;
	} cases[] = {
		{ "ConfigMap", SV("\x0a\x7f"), "cut off" },
		{ "ConfigMap", SV("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "cut off" },
		{ "ConfigMap", SV("\x08\x01"), "wrong wire type" },	  /* metadata is a number */
		{ "ConfigMap", SV("\x22\x01x"), "wrong wire type" },	  /* immutable is text */
		{ "ConfigMap", SV("\x0b"), "cut off or malformed" },	  /* a group */
		{ "ConfigMap", SV("\x02\x01x"), "cut off or malformed" }, /* number 0 */
		{ "ConfigMap", SV("\x12\x03\n\x05x"), "cut off or malformed" },
		{ "ConfigMap", SV("\x10\x01"), "map entry is malformed" },
		{ "ConfigMap", SV("\x0a\x06\x42\x04\x08\x80\x80\x80"), "malformed" },
		{ "Nothing", SV(""), "no kind \"Nothing\" is registered" },
		{ "Table", SV(""), "no kind \"Table\" is registered" },
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_body(&b, "v1", cases[i].kind, cases[i].raw);
		refused(buf_sv(&b), cases[i].words);
	}
	refused(SV("k8s"), "does not appear to be a protobuf message");
	refused(SV("k8s\0\x0a\x05"), "envelope is cut off");
}

/* Every beginning of a body is refused or read, and read bytes too much are, too. */
static void test_truncated(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct schema *s = schema_find(SV("core/v1.Pod"));
	struct gen g = { .a = &a, .rng = 7, .left = 400 };

	(void)state;
	put_envelope(&b, s, decode_typed(&a, s, named(&a, s, gen_message(&g, s)), NULL, NULL));
	for (size_t n = 0; n < b.n; n++) {
		_cleanup_(arena_release) struct arena one = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_free_ char *exact = xmalloc(n + 1);

		memcpy(exact, b.p, n);
		if (!protobuf_decode(&one, sv_make(exact, n), SV(""), SV(""), NULL, &err))
			assert_int_equal(err.reason, ERR_BAD_REQUEST);
	}
}

/* From a newer client: passed over, at every level and of every wire type. */
static void test_unknown_fields(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf raw = BUF_INIT, b = BUF_INIT;
	struct val *v;
	size_t m;

	(void)state;
	pb_u64(&raw, 99, 5);
	pb_sv(&raw, 70000, SV("x"));
	m = pb_open(&raw, 1);
	pb_sv(&raw, 1, SV("n"));
	pb_sv(&raw, 900, SV("k8s"));
	buf_add(&raw,
		"\xa1\x06"
		"12345678",
		10); /* fixed64 */
	buf_add(&raw,
		"\xa5\x06"
		"1234",
		6); /* fixed32 */
	pb_close(&raw, m);
	put_body(&b, "v1", "ConfigMap", buf_sv(&raw));
	v = protobuf_decode(&a, buf_sv(&b), SV(""), SV(""), NULL, NULL);
	assert_string_equal(json(&a, v),
			    "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"n\"}}");
}

/* Schemas in schemas, and JSON in the innermost: it ends before the stack or a document's levels do. */
static void test_depth(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv schema = SV("");
	static const struct {
		size_t depth;
		bool fine;
	} cases[] = { { 10, true }, { 200, true }, { 230, true }, { 250, false }, { 20000, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct buf raw = BUF_INIT, next = BUF_INIT;
		struct val *v;

		/* not of JSONSchemaProps (23: not), as nothing else holds itself */
		for (size_t k = 0; k < cases[i].depth; k++) {
			pb_sv_elem(&next, 28, buf_sv(&raw));
			buf_release(&raw);
			raw = next;
			next = BUF_INIT;
		}
		schema = buf_sv(&raw);
		for (size_t k = 0; k < 4; k++) {
			/* CustomResourceDefinition.spec 2, .versions 7, .schema 4, .openAPIV3Schema 1 */
			static const uint32_t way[] = { 1, 4, 7, 2 };

			pb_sv_elem(&next, way[k], schema);
			buf_release(&raw);
			raw = next;
			next = BUF_INIT;
			schema = buf_sv(&raw);
		}
		put_body(&b, "apiextensions.k8s.io/v1", "CustomResourceDefinition", schema);
		v = protobuf_decode(&a, buf_sv(&b), SV(""), SV(""), NULL, &err);
		assert_int_equal(v != NULL, cases[i].fine);
		if (v)
			put_envelope(&next,
				     protobuf_type(SV("apiextensions.k8s.io/v1"), SV("CustomResourceDefinition")), v);
		buf_release(&next);
		buf_release(&raw);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),     cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests_name("object/protobuf", tests, NULL, NULL);
}
