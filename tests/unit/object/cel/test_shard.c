/* Shard selectors: what is refused, in which words, and which values lie in which ranges. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "object/cel/shard.h"

#define UID "object.metadata.uid"
#define NS "object.metadata.namespace"
#define LOW "'0x0000000000000000'"
#define HALF "'0x8000000000000000'"
#define END "'0x10000000000000000'"

static void test_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ " ", "empty shard selector is not allowed; omit the parameter for unfiltered lists" },
		{ UID, "unexpected expression kind 7; expected shardRange() call or || operator" },
		{ "x", "unexpected expression kind 3; expected shardRange() call or || operator" },
		{ "'x'", "unexpected expression kind 5; expected shardRange() call or || operator" },
		{ "[1]", "unexpected expression kind 4; expected shardRange() call or || operator" },
		{ "{1: 2}", "unexpected expression kind 6; expected shardRange() call or || operator" },
		{ "hash(1)", "unsupported function \"hash\"; only shardRange() and || are allowed" },
		{ "has(a.b)", "unsupported function \"has\"; only shardRange() and || are allowed" },
		{ "[1].all(x, x > 0)", "unsupported function \"all\"; only shardRange() and || are allowed" },
		{ "shardRange(" UID ", " LOW ", " HALF ") && shardRange(" UID ", " HALF ", " END ")",
		  "unsupported function \"_&&_\"; only shardRange() and || are allowed" },
		{ "!shardRange(" UID ", " LOW ", " HALF ")",
		  "unsupported function \"!_\"; only shardRange() and || are allowed" },
		{ UID " > '0x0'", "unsupported function \"_>_\"; only shardRange() and || are allowed" },
		{ "shardRange(" UID ", '0x0')", "shardRange() requires exactly 3 arguments, got 2" },
		{ "shardRange()", "shardRange() requires exactly 3 arguments, got 0" },
		{ "shardRange('x', " LOW ", " HALF ")", "shardRange() first argument: expected field path (e.g. "
							"object.metadata.uid), got expression kind 5" },
		{ "shardRange(f(x).uid, " LOW ", " HALF ")", "shardRange() first argument: expected field path (e.g. "
							     "object.metadata.uid), got expression kind 1" },
		{ "shardRange(object.metadata.name, " LOW ", " HALF ")",
		  "unsupported field path \"object.metadata.name\"; supported: object.metadata.uid, "
		  "object.metadata.namespace" },
		{ "shardRange(metadata.uid, " LOW ", " HALF ")",
		  "unsupported field path \"metadata.uid\"; supported: object.metadata.uid, "
		  "object.metadata.namespace" },
		{ "shardRange(" UID ", 0, 8)", "hexStart must be a string literal, got int64" },
		{ "shardRange(" UID ", " LOW ", 8u)", "hexEnd must be a string literal, got uint64" },
		{ "shardRange(" UID ", 1.5, 8)", "hexStart must be a string literal, got float64" },
		{ "shardRange(" UID ", true, 8)", "hexStart must be a string literal, got bool" },
		{ "shardRange(" UID ", b'0x0', 8)", "hexStart must be a string literal, got []uint8" },
		{ "shardRange(" UID ", hex(0), '0x8')",
		  "hexStart must be a string literal (e.g. '0xff'), got expression kind 1" },
		{ "shardRange(" UID ", '0000000000000000', " HALF ")",
		  "hexStart must have '0x' prefix, got \"0000000000000000\"" },
		{ "shardRange(" UID ", " LOW ", '8000000000000000')",
		  "hexEnd must have '0x' prefix, got \"8000000000000000\"" },
		{ "shardRange(" UID ", '0x', " HALF ")", "hexStart: hex value is required after '0x'" },
		{ "shardRange(" UID ", '0x000000000000000000', " HALF ")",
		  "hexStart: hex value too long (18 chars, max 17): \"000000000000000000\"" },
		{ "shardRange(" UID ", '0x0g', " HALF ")", "hexStart: invalid hex character \"g\" in \"0x0g\"" },
		{ "shardRange(" UID ", '0x0A', " HALF ")", "hexStart: invalid hex character \"A\" in \"0x0A\"" },
		{ "shardRange(" UID ", '0x0\xc3\xa9', " HALF ")",
		  "hexStart: invalid hex character \"\xc3\xa9\" in \"0x0\xc3\xa9\"" },
		{ "shardRange(" UID ", '0x0', " HALF ")",
		  "hexStart must be a 0x-prefixed 16-digit hex value, got \"0x0\" (did you mean "
		  "\"0x0000000000000000\"?)" },
		{ "shardRange(" UID ", " LOW ", '0xff')",
		  "hexEnd must be a 0x-prefixed 16-digit hex value, got \"0xff\" (did you mean "
		  "\"0x00000000000000ff\"?)" },
		{ "shardRange(" UID ", " LOW ", '0x10000000000000001')",
		  "hexEnd: 17-digit hex value must be '0x10000000000000000' (2^64), got \"0x10000000000000001\"" },
		{ "shardRange(" UID ", " HALF ", " HALF ")",
		  "shard range start 0x8000000000000000 must be less than end 0x8000000000000000" },
		{ "shardRange(" UID ", '0xffffffffffffffff', " LOW ")",
		  "shard range start 0xffffffffffffffff must be less than end 0x0000000000000000" },
		{ "shardRange(" UID ", " END ", '0xffffffffffffffff')",
		  "shard range start 0x10000000000000000 must be less than end 0xffffffffffffffff" },
		{ "shardRange(" UID ", " END ", " END ")",
		  "shard range start 0x10000000000000000 must be less than end 0x10000000000000000" },
		{ "shardRange(" UID ", " LOW ", " HALF ") || shardRange(" NS ", " HALF ", " END ")",
		  "all shard ranges must use the same field, got \"object.metadata.uid\" and "
		  "\"object.metadata.namespace\"" },
		/* Of several faults the first from the left; fields are compared when all else is right. */
		{ "shardRange(" UID ", " LOW ", " HALF ") || shardRange(" NS ", '0x', " END ") || f()",
		  "hexStart: hex value is required after '0x'" },
		{ "shardRange(" UID ", " LOW ", " HALF, "CEL parse error: " },
		{ "shardRange(" UID " " LOW ", " HALF ")", "CEL parse error: " },
		{ "\xff", "CEL parse error: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_free_ char *want = xasprintf("invalid shard selector: %s", rows[i].words);
		size_t n = strlen(want);

		if (shards_parse(&a, sv_from(rows[i].text), &err))
			fail_msg("%s: taken", rows[i].text);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		/* Of syntax errors the beginning will do. */
		if (want[n - 1] == ' ' ? strncmp(err_msg(&err), want, n) != 0 : strcmp(err_msg(&err), want) != 0)
			fail_msg("%s: %s", rows[i].text, err_msg(&err));
	}
}

static const struct shards *parse(struct arena *a, const char *text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct shards *s = shards_parse(a, sv_from(text), &err);

	if (!s)
		fail_msg("%s: %s", text, err_msg(&err));
	return s;
}

/* FNV-1a as published: "" is 0xcbf29ce484222325, "a" 0xaf63dc4c8601ec8c, "foobar" 0x85944171f73967e8. */
static void test_hash(void **state)
{
	static const struct {
		const char *value, *in, *behind, *before;
	} rows[] = {
		{ "", "'0xcbf29ce484222325', '0xcbf29ce484222326'", "'0xcbf29ce484222326', " END,
		  LOW ", '0xcbf29ce484222325'" },
		{ "a", "'0xaf63dc4c8601ec8c', '0xaf63dc4c8601ec8d'", "'0xaf63dc4c8601ec8d', " END,
		  LOW ", '0xaf63dc4c8601ec8c'" },
		{ "foobar", "'0x85944171f73967e8', '0x85944171f73967e9'", "'0x85944171f73967e9', " END,
		  LOW ", '0x85944171f73967e8'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *ranges[] = { rows[i].in, rows[i].behind, rows[i].before };

		for (size_t k = 0; k < ARRAY_LEN(ranges); k++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			_cleanup_free_ char *text = xasprintf("shardRange(" UID ", %s)", ranges[k]);

			assert_int_equal(shards_have(parse(&a, text), sv_from(rows[i].value)), k == 0);
		}
	}
}

static void test_words(void **state)
{
	static const struct {
		const char *text, *words;
		enum shard_field field;
		size_t n;
	} rows[] = {
		{ "shardRange(" UID ", " LOW ", " END ")", NULL, SHARD_UID, 1 },
		{ "  shardRange( " UID " ,  " LOW " ,  " HALF " )  ", "shardRange(" UID ", " LOW ", " HALF ")",
		  SHARD_UID, 1 },
		{ "shardRange(" NS ",\"0x0000000000000000\"," HALF ")", "shardRange(" NS ", " LOW ", " HALF ")",
		  SHARD_NAMESPACE, 1 },
		/* In the order in which they were said, merged where they touch. */
		{ "shardRange(" UID ", " HALF ", " END ") || shardRange(" UID ", " LOW ", " HALF ")", NULL, SHARD_UID,
		  1 },
		{ "(shardRange(" UID ", '0x00000000000000aa', '0x00000000000000ff') || "
		  "shardRange(" UID ", '0x0000000000000001', '0x0000000000000003')) || "
		  "shardRange(" UID ", '0x0000000000000002', '0x0000000000000004')",
		  "shardRange(" UID ", '0x00000000000000aa', '0x00000000000000ff') || "
		  "shardRange(" UID ", '0x0000000000000001', '0x0000000000000003') || "
		  "shardRange(" UID ", '0x0000000000000002', '0x0000000000000004')",
		  SHARD_UID, 2 },
		/* Upstream looks at a call's arguments alone. */
		{ "x.shardRange(" UID ", " LOW ", " HALF ")", "shardRange(" UID ", " LOW ", " HALF ")", SHARD_UID, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct shards *s = parse(&a, rows[i].text), *again;

		assert_sv(s->words, rows[i].words ? rows[i].words : rows[i].text);
		assert_int_equal(s->field, rows[i].field);
		assert_int_equal(s->n, rows[i].n);
		again = parse(&a, arena_cstr(&a, s->words));
		assert_true(sv_eq(again->words, s->words));
	}
}

/* Every value is in exactly one of the parts that the whole is cut into. */
static void test_partition(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct shards *parts[7];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		uint64_t span = UINT64_MAX / ARRAY_LEN(parts);
		_cleanup_free_ char *end = xasprintf("'0x%016" PRIx64 "'", span * (i + 1));
		_cleanup_free_ char *text = xasprintf("shardRange(" UID ", '0x%016" PRIx64 "', %s)", span * i,
						      i + 1 == ARRAY_LEN(parts) ? END : end);

		parts[i] = parse(&a, text);
	}
	for (int i = 0; i < 10000; i++) {
		_cleanup_free_ char *value = xasprintf("uid-%d", i);
		int in = 0;

		for (size_t k = 0; k < ARRAY_LEN(parts); k++)
			in += shards_have(parts[k], sv_from(value));
		assert_int_equal(in, 1);
	}
}

/* A thousand ranges are a thousand ranges, and nothing deep. */
static void test_many(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct shards *s;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "%sshardRange(" UID ", '0x%015x0', '0x%015x1')", i ? " || " : "", 999 - i, 999 - i);
	s = parse(&a, buf_cstr(&b));
	assert_int_equal(s->n, 1000);
	for (size_t i = 0; i < s->n; i++) {
		assert_true(s->ranges[i].first == i * 16);
		assert_true(s->ranges[i].last == i * 16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_hash), cmocka_unit_test(test_words),
		cmocka_unit_test(test_partition), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
