/* Lists of a cluster that does not answer at once: asked again, and an error in the end, never less than there is. */
#include "unit.h"

#include "cli/import_read.h"

#define CMS "/api/v1/configmaps?limit=500&continue=abc"
#define LIST "{\"kind\":\"ConfigMapList\",\"items\":[{}]}"

struct answer {
	int status; /* 0: nobody answers */
	const char *body;
};
static const struct answer *answers; /* one after the other, the last one for ever */
static size_t n_answers, asked;
static int64_t paused_ns;

static int fake_get(struct api_way *from, struct arena *a, const char *target, struct http_response *ret,
		    struct err *err)
{
	size_t i = MIN(asked, n_answers - 1);

	(void)a;
	(void)target;
	asked++;
	if (!answers[i].status)
		return err_set(err, ERR_UNAVAILABLE, "%s: connection refused", from->what);
	*ret = (struct http_response){ .status = answers[i].status, .body = sv_from(answers[i].body) };
	return 0;
}

static void fake_pause(int64_t ns)
{
	paused_ns += ns;
}

static struct api_way way = { .what = "https://there" };
static const struct import_reader reader = { &way, fake_get, fake_pause };

#define READ(absent, err, ...)                                                  \
	do {                                                                    \
		static const struct answer list[] = { __VA_ARGS__ };            \
		answers = list;                                                 \
		n_answers = ARRAY_LEN(list);                                    \
		asked = 0;                                                      \
		paused_ns = 0;                                                  \
		got = import_read_list(&reader, &a, CMS, "items", absent, err); \
	} while (0)

static void test_passes(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *got;

	READ(NULL, NULL, { 503, "{\"message\":\"etcdserver: leader changed\"}" }, { 0, "" }, { 429, "" }, { 404, "" },
	     { 200, LIST });
	assert_non_null(got);
	assert_int_equal(val_len(val_member_sv(got, SV("items"))), 1);
	assert_int_equal(asked, 5);
	assert_true(paused_ns > 0);
}

static void test_stays(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const char *const said[] = { "https://there answers 503: etcdserver: leader changed",
					    "https://there answers 404: ", "https://there: connection refused",
					    "https://there answers 403: no" };
	const struct val *got;

	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (i == 0)
			READ(NULL, &err, { 503, "{\"message\":\"etcdserver: leader changed\"}" });
		else if (i == 1)
			READ(NULL, &err, { 404, "" });
		else if (i == 2)
			READ(NULL, &err, { 503, "" }, { 0, "" });
		else
			READ(NULL, &err, { 403, "no" });
		assert_null(got);
		assert_string_equal(err_msg(&err), said[i]);
		assert_true(i == 3 ? asked == 1 : asked > 3);
		assert_in_range(paused_ns, 0, 20 * NS_PER_SEC);
	}
}

/* An index of a group: its own server may not run. */
static void test_absent(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *got;
	int absent;

	READ(&absent, &err, { 404, "" });
	assert_null(got);
	assert_int_equal(absent, 404);
	assert_int_equal(asked, 1);
	READ(&absent, &err, { 503, "" });
	assert_int_equal(absent, 503);
	assert_true(asked > 3);
	READ(&absent, &err, { 503, "" }, { 200, LIST });
	assert_non_null(got);
	assert_int_equal(absent, 0);
	assert_int_equal(err.reason, 0);
	READ(&absent, &err, { 403, "no" });
	assert_int_equal(absent, 0);
	assert_true(err.reason != 0);
}

static void test_no_list(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *got;

	READ(NULL, NULL, { 200, "{}" });
	assert_null(got);
	READ(NULL, NULL, { 200, "{\"kind\":\"Status\",\"message\":\"x\"}" });
	assert_null(got);
	READ(NULL, NULL, { 200, "{\"kind\":\"L\",\"items\":7}" });
	assert_null(got);
	READ(NULL, NULL, { 200, "<html>" });
	assert_null(got);
	READ(NULL, NULL, { 200, "{\"kind\":\"L\",\"items\":null}" });
	assert_non_null(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_stays),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
