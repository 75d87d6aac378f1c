/* Registries that answer, and those that do not mean well. */
#include "unit.h"

#include "base/buf.h"
#include "fake_registry.h"
#include "kubelet/oci/registry.h"
#include "net/digest.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MANIFEST "{\"schemaVersion\":2}"

struct world {
	struct arena a;
	struct fake_registry *f;
	struct registry_call *c;
	struct err err;
	struct sv bytes, type, digest;
};

static struct registry_endpoint at(struct world *w, const char *user, const char *password)
{
	return (struct registry_endpoint){ .url =
					       arena_printf(&w->a, "http://127.0.0.1:%d/v2", fake_registry_port(w->f)),
					   .repository = SV("a/b"),
					   .username = sv_from(user),
					   .password = sv_from(password) };
}

static void begin(struct world *w, const struct fake_answer *rows, size_t n, const char *user, int stop_fd)
{
	struct registry_endpoint e;

	*w = (struct world){ .f = fake_registry_start(rows, n) };
	e = at(w, user, *user ? "secret" : "");
	w->c = registry_begin(&e, 1, stop_fd, &w->err);
	assert_non_null(w->c);
}

static int manifest(struct world *w, struct sv name)
{
	return registry_manifest(w->c, &w->a, name, &w->bytes, &w->type, &w->digest, &w->err);
}

static void finish(struct world *w)
{
	registry_end(w->c);
	fake_registry_stop(w->f);
	err_release(&w->err);
	arena_release(&w->a);
}

static void expect_words(struct world *w, const char *part)
{
	if (!strstr(err_msg(&w->err), part))
		fail_msg("'%s' is not in '%s'", part, err_msg(&w->err));
}

static void test_basic(void **state)
{
	static const struct fake_answer rows[] = { { .path = "/v2/a/b/manifests/1",
						     .authorization = "Basic dTpzZWNyZXQ=",
						     .challenge = "Basic realm=\"x\"",
						     .more = "Content-Type: text/x\r\n",
						     .body = MANIFEST } };
	struct world w;

	(void)state;
	begin(&w, rows, 1, "u", -1);
	assert_int_equal(manifest(&w, SV("1")), 0);
	assert_sv(w.bytes, MANIFEST);
	assert_sv(w.type, "text/x");
	finish(&w);
	begin(&w, rows, 1, "wrong", -1);
	assert_int_equal(manifest(&w, SV("1")), -1);
	expect_words(&w, "pull access denied");
	finish(&w);
	begin(&w, rows, 1, "u", -1);
	assert_int_equal(manifest(&w, SV("2")), -1);
	assert_int_equal(w.err.reason, ERR_NOT_FOUND);
	finish(&w);
}

static void test_bearer(void **state)
{
	struct fake_answer rows[] = {
		{ .path = "/v2/a/b/manifests/1", .authorization = "Bearer tok", .challenge = NULL, .body = MANIFEST },
		{ .path = "/token?service=s&scope=repository%3Aa%2Fb%3Apull", .body = "{\"token\":\"tok\"}" },
	};
	struct fake_registry *probe;
	struct world w;
	char challenge[128];

	(void)state;
	/* The realm is the registry itself: its port is known once it runs. */
	begin(&w, rows, 2, "u", -1);
	(void)snprintf(challenge, sizeof(challenge),
		       "Bearer realm=\"http://127.0.0.1:%d/token\",service=\"s\",scope=\"evil\"",
		       fake_registry_port(w.f));
	rows[0].challenge = challenge;
	assert_int_equal(manifest(&w, SV("1")), 0);
	assert_non_null(
	    strstr(fake_registry_heard(w.f), "GET /token?service=s&scope=repository%3Aa%2Fb%3Apull HTTP/1.1"));
	finish(&w);
	/* Another host without TLS gets nothing, least of all a password. */
	probe = fake_registry_start(rows, 0);
	(void)snprintf(challenge, sizeof(challenge), "Bearer realm=\"http://127.0.0.1:%d/token\"",
		       fake_registry_port(probe));
	begin(&w, rows, 1, "u", -1);
	assert_int_equal(manifest(&w, SV("1")), -1);
	expect_words(&w, "neither https nor the registry itself");
	assert_string_equal(fake_registry_heard(probe), "");
	finish(&w);
	fake_registry_stop(probe);
}

static void test_redirects(void **state)
{
	static const struct fake_answer there[] = { { .path = "/x", .body = MANIFEST } };
	struct fake_registry *other = fake_registry_start(there, 1);
	char to[128];
	struct fake_answer rows[] = {
		{ .path = "/v2/a/b/manifests/ok",
		  .authorization = "Basic",
		  .challenge = "Basic",
		  .status = 307,
		  .more = to },
		{ .path = "/v2/a/b/manifests/file", .status = 302, .more = "Location: file:///etc/passwd\r\n" },
		{ .path = "/v2/a/b/manifests/loop", .status = 302, .more = "Location: loop\r\n" },
	};
	struct world w;

	(void)state;
	(void)snprintf(to, sizeof(to), "Location: http://127.0.0.1:%d/x\r\n", fake_registry_port(other));
	begin(&w, rows, 3, "u", -1);
	assert_int_equal(manifest(&w, SV("ok")), 0);
	assert_sv(w.bytes, MANIFEST);
	assert_non_null(strstr(fake_registry_heard(w.f), "Authorization: Basic"));
	assert_null(strstr(fake_registry_heard(other), "Authorization"));
	assert_int_equal(manifest(&w, SV("file")), -1);
	expect_words(&w, "not followed");
	err_release(&w.err);
	assert_int_equal(manifest(&w, SV("loop")), -1);
	expect_words(&w, "stopped after");
	finish(&w);
	fake_registry_stop(other);
}

static void test_wrong(void **state)
{
	static char mib[1 << 20];
	static const struct fake_answer rows[] = {
		{ .path = "/v2/a/b/manifests/endless", .body = mib, .n = sizeof(mib), .endless = 64 },
		{ .path = "/v2/a/b/manifests/sha256:", .body = MANIFEST },
		{ .path = "/v2/a/b/manifests/words",
		  .status = 500,
		  .body = "{\"errors\":[{\"code\":\"X\",\"message\":\"two\\nlines\"}]}" },
	};
	struct world w;

	(void)state;
	memset(mib, ' ', sizeof(mib));
	begin(&w, rows, 3, "", -1);
	assert_int_equal(manifest(&w, SV("endless")), -1);
	assert_int_equal(w.err.reason, ERR_TOO_LARGE);
	err_release(&w.err);
	assert_int_equal(manifest(&w, SV("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")),
			 -1);
	expect_words(&w, "another digest");
	err_release(&w.err);
	assert_int_equal(manifest(&w, SV("words")), -1);
	expect_words(&w, "500: X: two lines");
	finish(&w);
}

static int blob(struct world *w, struct sv content, const char *hex, uint64_t size)
{
	struct registry_blob *b = registry_blob_open(w->c, arena_svf(&w->a, "sha256:%s", hex), size, &w->err);
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	char piece[1000];
	ssize_t n;

	while ((n = registry_blob_read(b, piece, sizeof(piece), &w->err)) > 0)
		buf_add(&got, piece, (size_t)n);
	registry_blob_close(b);
	if (n == 0)
		assert_true(sv_eq(buf_sv(&got), content));
	return (int)n;
}

static void test_blobs(void **state)
{
	static char text[300000];
	struct fake_answer rows[] = { { .path = "/v2/a/b/blobs/", .body = text, .n = sizeof(text), .cut = 100000 } };
	struct sv all = sv_make(text, sizeof(text));
	char hex[SHA256_HEX], other[SHA256_HEX];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	sha256_hex(all, hex);
	sha256_hex(SV(""), other);
	begin(&w, rows, 1, "", -1);
	assert_int_equal(blob(&w, all, hex, sizeof(text)), 0);
	assert_non_null(strstr(fake_registry_heard(w.f), "Range: bytes=100000-"));
	assert_int_equal(blob(&w, all, other, sizeof(text)), -1);
	expect_words(&w, "unexpected commit digest");
	err_release(&w.err);
	assert_int_equal(blob(&w, all, hex, sizeof(text) - 1), -1);
	expect_words(&w, "has more than");
	finish(&w);
}

static void test_mirror(void **state)
{
	static const struct fake_answer rows[] = { { .path = "/v2/a/b/manifests/1", .body = MANIFEST } };
	struct world w, none;
	struct registry_endpoint e[2];

	(void)state;
	begin(&w, rows, 1, "", -1);
	begin(&none, rows, 0, "", -1);
	registry_end(w.c);
	e[0] = at(&none, "", "");
	e[0].ns = SV("docker.io");
	e[1] = at(&w, "", "");
	w.c = registry_begin(e, 2, -1, NULL);
	assert_int_equal(manifest(&w, SV("1")), 0);
	assert_non_null(strstr(fake_registry_heard(none.f), "/v2/a/b/manifests/1?ns=docker.io"));
	finish(&w);
	finish(&none);
}

static void *give_up(void *fd)
{
	(void)eventfd_write(*(int *)fd, 1);
	return NULL;
}

static void test_given_up(void **state)
{
	static const struct fake_answer rows[] = { { .path = "/", .hang = true } };
	int fd = eventfd(0, EFD_CLOEXEC);
	pthread_t t;
	struct world w;

	(void)state;
	begin(&w, rows, 1, "", fd);
	assert_int_equal(pthread_create(&t, NULL, give_up, &fd), 0);
	assert_int_equal(manifest(&w, SV("1")), -1);
	assert_int_equal(w.err.reason, ERR_UNAVAILABLE);
	expect_words(&w, "given up");
	assert_int_equal(pthread_join(t, NULL), 0);
	finish(&w);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),	 cmocka_unit_test(test_bearer), cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_wrong),	 cmocka_unit_test(test_blobs),	cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_given_up),
	};

	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
