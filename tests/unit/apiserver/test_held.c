/* What answers hold that nobody takes: counted by user, refused to who has too much, given back. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/held.h"

#include <stdio.h>
#include <stdlib.h>

static struct api_req of(struct rig *r, const char *user)
{
	return (struct api_req){ .server = r->server, .user.name = sv_from(user) };
}

static bool room(struct rig *r, const char *user)
{
	struct api_req q = of(r, user);
	struct err err = ERR_INIT;
	bool ok = held_room(&q, &err) == 0;

	if (!ok) {
		assert_int_equal(err_code(&err), 429);
		assert_int_equal(err.retry_after_s, 1);
	}
	err_release(&err);
	return ok;
}

static void test_share(void **state)
{
	struct rig *r = *state;
	struct api_req greedy = of(r, "greedy"), second = of(r, "second");
	struct held *a, *b, *c;

	assert_null(held_take(&greedy, HELD_SMALL - 1));
	a = held_take(&greedy, HELD_MAX / 2);
	assert_true(room(r, "greedy"));
	b = held_take(&greedy, HELD_SMALL);
	assert_false(room(r, "greedy"));
	assert_true(room(r, "second"));
	/* The less there is, the smaller are the shares, and who has nothing is let in. */
	c = held_take(&second, HELD_MAX / 3);
	assert_false(room(r, "second"));
	assert_true(room(r, "third"));
	held_give(a);
	assert_true(room(r, "greedy"));
	assert_true(room(r, "second"));
	assert_int_equal(held_bytes(r->server), HELD_SMALL + HELD_MAX / 3);
	held_give(b);
	held_give(c);
	held_give(NULL);
	assert_int_equal(held_bytes(r->server), 0);
}

/* Accounts that one may make as many of as he likes hold no more for that. */
static void test_accounts(void **state)
{
	struct rig *r = *state;
	struct api_req one = of(r, "system:serviceaccount:ns:one"),
		       own = of(r, "system:serviceaccount:kube-system:one");
	struct held *a = held_take(&one, HELD_MAX / 2 + HELD_SMALL), *b = held_take(&own, HELD_MAX / 4);

	assert_false(room(r, "system:serviceaccount:ns:one"));
	assert_false(room(r, "system:serviceaccount:ns:two"));
	assert_true(room(r, "system:serviceaccount:ns2:one"));
	assert_false(room(r, "system:serviceaccount:kube-system:one"));
	assert_true(room(r, "system:serviceaccount:kube-system:two"));
	held_give(a);
	held_give(b);
}

static void test_requests(void **state)
{
	static const struct sv masters = { "system:masters", sizeof("system:masters") - 1 };
	struct rig *r = *state;
	struct api_req greedy = of(r, "greedy");
	struct held *h = held_take(&greedy, HELD_MAX);
	struct ask ask = { .method = "GET",
			   .path = "/api/v1/namespaces/default",
			   .user = "greedy",
			   .groups = &masters,
			   .n_groups = 1 };

	expect_status(r, 429, "TooManyRequests", "too many requests", &ask);
	ask.method = "POST";
	ask.path = "/api/v1/namespaces";
	ask.body = "{\"metadata\":{\"name\":\"x\"}}";
	expect_status(r, 429, "TooManyRequests", "too many requests", &ask);
	held_give(h);
	expect_status(r, 409, "AlreadyExists", "default",
		      &(struct ask){ .method = "POST",
				     .path = ask.path,
				     .user = "greedy",
				     .groups = &masters,
				     .n_groups = 1,
				     .body = "{\"metadata\":{\"name\":\"default\"}}" });
}

/* Objects of the past that are others now are nobody else's; those that stayed as they were are the cache's. */
static void test_past(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct answer *a;
	int64_t rev = 0;
	char url[160];

	for (int i = 0; i < 4; i++) {
		buf_clear(&body);
		buf_printf(&body, "{\"metadata\":{\"name\":\"o-%d\"},\"data\":{\"k\":\"", i);
		for (size_t k = 0; k < HELD_SMALL; k++)
			buf_addc(&body, 'x');
		buf_adds(&body, "\"}}");
		rev = rev_of(expect(r, 201, "POST", path, buf_cstr(&body)));
	}
	for (int i = 0; i < 3; i++) {
		char one[64];

		(void)snprintf(one, sizeof(one), "%s/o-%d", path, i);
		expect(r, 200, "DELETE", one, NULL);
	}
	(void)snprintf(url, sizeof(url), "%s?resourceVersionMatch=Exact&resourceVersion=%lld", path, (long long)rev);
	a = api(r, "GET", url);
	assert_int_equal(a->code, 200);
	assert_in_range(held_bytes(r->server), 3 * HELD_SMALL + 1, 4 * HELD_SMALL - 1);
	answer_free(a);
	assert_int_equal(held_bytes(r->server), 0);
}

static void test_watches(void **state)
{
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf url = BUF_INIT;
	struct answer *a;

	buf_adds(&url, "/api/v1/namespaces/default/configmaps?watch=1&labelSelector=x");
	for (int i = 0; i < 1000; i++)
		buf_printf(&url, ",!k%d", i);
	a = api(r, "GET", buf_cstr(&url));
	assert_true(held_bytes(r->server) > url.n);
	answer_gone(a);
	assert_int_equal(held_bytes(r->server), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_share), T(test_accounts), T(test_requests), T(test_past),
					    T(test_watches) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
