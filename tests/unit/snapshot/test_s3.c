/* What an S3 service answers, and which flags it takes to ask one. */
#include "unit.h"

#include "base/arena.h"
#include "snapshot/s3-internal.h"

static void bad(const struct s3_opts *o, const char *words)
{
	struct err err = ERR_INIT;

	assert_int_equal(s3_opts_check(o, &err), -1);
	if (!strstr(err_msg(&err), words))
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
	err_release(&err);
}

static void test_flags(_unused_ void **state)
{
	bad(&(struct s3_opts){ .region = "x" }, "--s3-bucket");
	bad(&(struct s3_opts){ .bucket = "" }, "--s3-bucket");
	bad(&(struct s3_opts){ .bucket = "a/b" }, "--s3-bucket");
	bad(&(struct s3_opts){ .bucket = "b", .access_key = "a" }, "--s3-secret-key");
	bad(&(struct s3_opts){ .bucket = "b", .endpoint = "https://x" }, "--s3-endpoint");
	bad(&(struct s3_opts){ .bucket = "b", .folder = "/x" }, "--s3-folder");
	bad(&(struct s3_opts){ .bucket = "b", .folder = "x/../y" }, "--s3-folder");
	bad(&(struct s3_opts){ .bucket = "b", .insecure = true, .endpoint_ca = "x" }, "--s3-endpoint-ca");
	bad(&(struct s3_opts){ .bucket = "b", .timeout_s = -1 }, "--s3-timeout");
	assert_int_equal(s3_opts_check(&(struct s3_opts){ .bucket = "b", .folder = "a/b" }, NULL), 0);
}

static void test_list(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct s3_objects l = { 0 };
	struct sv next, page;

	assert_true(
	    s3_list_parse(&a,
			  SV("<?xml?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>"
			     "<NextContinuationToken>a&amp;b=</NextContinuationToken>"
			     "<Contents><Key>f/a&lt;&quot;&#38;</Key><Size>12</Size><LastModified>t</LastModified>"
			     "</Contents><Contents><Size>x</Size><Key>f/b/c</Key></Contents>"
			     "<Contents><Key>other</Key></Contents><Contents><Key>f/</Key></Contents>"
			     "<Contents><Key>f/b</Key></Contents></ListBucketResult>"),
			  SV("f/"), &l, &next));
	assert_sv(next, "a&b=");
	assert_int_equal(l.n, 2);
	assert_sv(l.p[0].name, "a<\"&#38;");
	assert_int_equal(l.p[0].bytes, 12);
	assert_sv(l.p[0].time, "t");
	assert_sv(l.p[1].name, "b");
	assert_true(s3_list_parse(&a, SV("<ListBucketResult></ListBucketResult>"), SV(""), &l, &next));
	assert_sv(next, "");
	/* What would do something to a terminal, or look like another row. */
	l.n = 0;
	assert_true(
	    s3_list_parse(&a,
			  SV("<ListBucketResult><Contents><Key>a\x1b[31m</Key></Contents><Contents><Key>b\nc</Key>"
			     "</Contents><Contents><Key>d</Key><Size>-1</Size></Contents><Contents><Key>e</Key>"
			     "<LastModified>\x1b]0;x\a</LastModified></Contents></ListBucketResult>"),
			  SV(""), &l, &next));
	assert_int_equal(l.n, 1);
	assert_sv(l.p[0].name, "e");
	assert_sv(l.p[0].time, "");
	/* A name that is none of S3's is not even copied; a list that goes on has to say where. */
	l.n = 0;
	page = arena_svf(&a, "<ListBucketResult><Contents><Key>%0*d</Key></Contents></ListBucketResult>",
			 (int)(6 * S3_KEY_MAX + 1), 0);
	assert_true(s3_list_parse(&a, page, SV(""), &l, &next));
	assert_int_equal(l.n, 0);
	assert_false(s3_list_parse(&a, SV("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
				   SV(""), &l, &next));
	page = arena_svf(&a,
			 "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%0*d"
			 "</NextContinuationToken></ListBucketResult>",
			 (int)S3_TOKEN_MAX + 1, 0);
	assert_false(s3_list_parse(&a, page, SV(""), &l, &next));
	assert_false(s3_list_parse(&a, SV("<html>hello</html>"), SV(""), &l, &next));
	assert_false(s3_list_parse(&a, SV(""), SV(""), &l, &next));
	assert_false(s3_list_parse(&a, SV("<ListBucketResult><Contents><Key>a</Key></Contents>"), SV(""), &l, &next));
}

static void test_error(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv code, message;
	char text[2000];

	s3_error_parse(&a, SV("<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>"), &code, &message);
	assert_sv(code, "NoSuchKey");
	assert_sv(message, "a & b");
	memset(text, 'x', sizeof(text));
	memcpy(text, "<Code>", 6);
	memcpy(text + 1000, "</Code><Message>", 16);
	memcpy(text + sizeof(text) - 10, "</Message>", 10);
	s3_error_parse(&a, sv_make(text, sizeof(text)), &code, &message);
	assert_int_equal(code.n, S3_CODE_MAX);
	assert_int_equal(message.n, S3_MESSAGE_MAX);
	s3_error_parse(&a, SV("<Code>half"), &code, &message);
	assert_sv(code, "");
	assert_sv(message, "");
}

/* 10,000 are the most, and none but the last is less than 16 MiB. */
static void test_parts(_unused_ void **state)
{
	const int64_t mib = INT64_C(1) << 20, tib = mib << 20;

	assert_int_equal(s3_part_bytes(1), S3_PART);
	assert_int_equal(s3_part_bytes(10000 * S3_PART), S3_PART);
	assert_int_equal(s3_part_bytes(10000 * S3_PART + 1), S3_PART + mib);
	for (int64_t n = 1; n < 40 * tib; n = n * 3 + 1)
		assert_true((n - 1) / s3_part_bytes(n) < S3_PARTS_MAX);
}

static void test_upload(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char text[2000];

	assert_sv(s3_upload_parse(&a, SV("<Result><UploadId>a&amp;b/+</UploadId></Result>")), "a&b/+");
	assert_sv(s3_upload_parse(&a, SV("<Result></Result>")), "");
	assert_sv(s3_upload_parse(&a, SV("<UploadId>a\r\nHost: x</UploadId>")), "");
	memset(text, 'x', sizeof(text));
	memcpy(text, "<UploadId>", 10);
	memcpy(text + sizeof(text) - 11, "</UploadId>", 11);
	assert_sv(s3_upload_parse(&a, sv_make(text, sizeof(text))), "");
}

static void test_quote(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	assert_string_equal(s3_quote(&a, SV("a b/\xc3\xa9~._-"), true), "a%20b/%C3%A9~._-");
	assert_string_equal(s3_quote(&a, SV("a/b+\0"), false), "a%2Fb%2B%00");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags), cmocka_unit_test(test_list),   cmocka_unit_test(test_error),
		cmocka_unit_test(test_parts), cmocka_unit_test(test_upload), cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
