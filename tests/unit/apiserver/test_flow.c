/* Priority levels: a flood waits and is refused; leases and exempt users pass. */
#include "harness.h"

#include "apiserver/steps.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A store that holds commits back until it is told to let them through. */
struct slow_store {
	struct store store;
	struct store_ops ops;
	struct store *real;
	bool hold;
	struct held {
		struct store_write w;
		store_done_fn *done;
		void *ctx;
	} held[4096];
	size_t n;
};

static struct slow_store slow;

static int slow_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		      void *ctx, int64_t *ret_rev, struct err *err)
{
	(void)s;
	return store_range(slow.real, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void slow_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct held *h;

	(void)s;
	if (!slow.hold) {
		store_commit(slow.real, w, done, ctx);
		return;
	}
	assert_true(slow.n < ARRAY_LEN(slow.held));
	h = &slow.held[slow.n++];
	*h = (struct held){ *w, done, ctx };
	h->w.key = sv_make(xmemdup(w->key.p, w->key.n), w->key.n);
	h->w.value = sv_make(xmemdup(w->value.p, w->value.n), w->value.n);
}

/* The first n; what comes is held as before. */
static void slow_let(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct held h = slow.held[i];

		store_commit(slow.real, &h.w, h.done, h.ctx);
		free((char *)(uintptr_t)h.w.key.p);
		free((char *)(uintptr_t)h.w.value.p);
	}
	slow.n -= n;
	memmove(slow.held, slow.held + n, slow.n * sizeof(slow.held[0]));
}

static void slow_release(void)
{
	slow.hold = false;
	while (slow.n)
		slow_let(slow.n);
}

static int slow_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		      void *ctx, struct store_watch **ret, struct err *err)
{
	(void)s;
	return store_watch(slow.real, from, to, since, cb, ctx, ret, err);
}

static void slow_unwatch(struct store *s, struct store_watch *w)
{
	(void)s;
	store_unwatch(slow.real, w);
}

static bool slow_healthy(struct store *s, struct err *why)
{
	(void)s;
	return store_healthy(slow.real, why);
}

static void slow_stats(struct store *s, struct store_stats *ret)
{
	(void)s;
	store_stats(slow.real, ret);
}

static int slow_compact(struct store *s, int64_t rev, struct err *err)
{
	(void)s;
	return store_compact(slow.real, rev, err);
}

static void slow_close(struct store *s)
{
	(void)s;
	store_close(slow.real);
}

static struct store *slow_new(struct env *env)
{
	slow = (struct slow_store){ .real = store_mem_new(env), .store.env = env };
	slow.ops = (struct store_ops){
		.name = "slow",
		.range = slow_range,
		.commit = slow_commit,
		.watch = slow_watch,
		.unwatch = slow_unwatch,
		.compact = slow_compact,
		.healthy = slow_healthy,
		.stats = slow_stats,
		.close = slow_close,
	};
	slow.store.ops = &slow.ops;
	return &slow.store;
}

static int setup(void **state)
{
	return rig_setup_on(state, slow_new);
}

static void test_flood(void **state)
{
	struct rig *r = *state;
	struct answer *floods[300], *lease, *admin;
	char body[128];
	int answered = 0;

	/* "default" has 200 seats and a queue; its users may do everything here. */
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\","
	       "\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"Group\",\"name\":\"system:authenticated\"}]}");
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"f%zu\"}}", i);
		floods[i] = api_start(r, &(struct ask){ .method = "POST",
							.path = "/api/v1/namespaces/default/configmaps",
							.body = body,
							.user = "flood" });
	}
	/* Only what has a seat reached the store; the rest waits. */
	assert_int_equal(slow.n, 200);

	/* The scheduler's lease and an administrator's write do not stand in that line. */
	lease = api_start(
	    r, &(struct ask){ .method = "POST",
			      .path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
			      .body = "{\"metadata\":{\"name\":\"kube-scheduler\"},\"spec\":{\"holderIdentity\":\"x\","
				      "\"leaseDurationSeconds\":15}}",
			      .user = "system:kube-scheduler" });
	admin = api_start(r, &(struct ask){ .method = "POST",
					    .path = "/api/v1/namespaces/default/configmaps",
					    .body = "{\"metadata\":{\"name\":\"admin\"}}" });
	assert_int_equal(slow.n, 202);
	/* Reads need no seat for longer than they take: but a full level lets nobody of its own in. */
	expect(r, 200, "GET", "/api/v1/namespaces/default/configmaps", NULL);

	slow_release();
	for (int i = 0; i < 100; i++)
		rig_run(r, 10 * NS_PER_MS);
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		answered += floods[i]->code == 201;
		answer_free(floods[i]);
	}
	assert_int_equal(answered, ARRAY_LEN(floods));
	assert_int_equal(lease->code, 201);
	assert_int_equal(admin->code, 201);
	answer_free(lease);
	answer_free(admin);
}

static void test_too_many(void **state)
{
	struct rig *r = *state;
	struct answer *a[12];

	/* The level of last resort: 10 seats and no queue. */
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\","
	       "\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s."
	       "io\",\"name\":"
	       "\"odd\"}]}");
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = api_start(r, &(struct ask){ .method = "POST",
						   .path = "/api/v1/namespaces/default/configmaps",
						   .body = "{\"metadata\":{\"generateName\":\"o-\"}}",
						   .user = "odd",
						   .no_groups = true });
	assert_int_equal(slow.n, 10);
	assert_int_equal(a[10]->code, 429);
	assert_val(val_get(api_json(a[10]), F_reason), "TooManyRequests");
	assert_int_equal(val_get_int(api_json(a[10]), 0, F_details, F_retryAfterSeconds), 1);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, i < 10 ? 201 : 429);
		answer_free(a[i]);
	}
}

static struct answer *create_as_flood(struct rig *r, const char *path, const char *body)
{
	struct answer *a = api_start(r, &(struct ask){ .method = "POST", .path = path, .body = body, .user = "flood" });

	rig_run(r, 0);
	return a;
}

/* Who asks for more seats than are free holds up those behind it only as long as it waits. */
static void test_head_gives_up(void **state)
{
	enum { SEATS = 200 };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[SEATS - 1], *large, *small;
	_cleanup_(buf_release) struct buf body = BUF_INIT;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"Group\",\"name\":"
	       "\"system:authenticated\"}]}");
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, SEATS - 1);
	buf_adds(&body, "{\"metadata\":{\"name\":\"large\"},\"data\":{\"k\":\"");
	for (size_t i = 0; i < 200000; i++)
		buf_addc(&body, 'x');
	buf_adds(&body, "\"}}");
	large = create_as_flood(r, "/api/v1/namespaces/default/configmaps?timeout=1s", buf_cstr(&body));
	small = create_as_flood(r, path, "{\"metadata\":{\"name\":\"small\"}}");
	assert_int_equal(slow.n, SEATS - 1); /* in their order */
	rig_run(r, 2 * NS_PER_SEC);
	assert_int_equal(large->code, 504);
	assert_int_equal(slow.n, SEATS);
	slow_release();
	rig_run(r, NS_PER_SEC);
	assert_int_equal(small->code, 201);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, 201);
		answer_free(a[i]);
	}
	answer_free(large);
	answer_free(small);
}

static void allow_everything(struct rig *r)
{
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"Group\",\"name\":"
	       "\"system:authenticated\"}]}");
}

static bool held_is(size_t i, const char *name)
{
	return sv_find_sv(slow.held[i].w.key, sv_from(name)) >= 0;
}

/* One user's flood in front of everybody's queue costs another one turn, and never the place in the queue. */
static void test_users_take_turns(void **state)
{
	enum { SEATS = 200, QUEUE = 6400, FLOOD = SEATS + QUEUE / 2 + 10 };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct answer **flood = calloc(FLOOD, sizeof(*flood)), *other[2], *read;
	struct rig *r = *state;
	size_t refused = 0, made = 0;

	allow_everything(r);
	slow.hold = true;
	for (size_t i = 0; i < FLOOD; i++)
		flood[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	for (size_t i = 0; i < FLOOD; i++)
		refused += flood[i]->code == 429;
	assert_int_equal(slow.n, SEATS);
	assert_int_equal(refused, 10); /* half of the queue is not the flood's */

	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		char body[64];

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"other-%zu\"}}", i);
		other[i] = api_start(r, &(struct ask){ .method = "POST", .path = path, .body = body, .user = "other" });
	}
	read = api_start(r, &(struct ask){ .method = "GET", .path = path, .user = "reader" });
	rig_run(r, 0);
	assert_int_equal(other[0]->code, 0);
	assert_int_equal(read->code, 0);
	slow_let(3); /* as many seats as there are users who wait */
	rig_run(r, 0);
	assert_int_equal(read->code, 200);
	assert_true(held_is(SEATS - 3, "/o-") && held_is(SEATS - 2, "/other-0"));
	slow_let(1);
	rig_run(r, 0);
	assert_true(held_is(SEATS - 1, "/other-1") || held_is(SEATS - 2, "/other-1"));

	while (slow.n) {
		slow_let(slow.n);
		rig_run(r, 0);
	}
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		assert_int_equal(other[i]->code, 201);
		answer_free(other[i]);
	}
	for (size_t i = 0; i < FLOOD; i++) {
		made += flood[i]->code == 201;
		answer_free(flood[i]);
	}
	assert_int_equal(made, SEATS + QUEUE / 2);
	answer_free(read);
	free(flood);
}

static struct req_ticket *asked[300];
static size_t n_asked;

static int asks_somebody(struct api_req *q, _unused_ const struct authz_attrs *at, _unused_ struct sv *ret_reason,
			 struct err *err, void *ctx)
{
	void *result;

	(void)err;
	(void)ctx;
	if (req_result(q, &result))
		return 0;
	assert_true(n_asked < ARRAY_LEN(asked));
	asked[n_asked++] = req_suspend(q, "somebody", NULL, NULL);
	return REQ_LATER;
}

/* What a pod may draw out for ever takes nobody's seat. */
static void test_lasting_ones_sit_nowhere(void **state)
{
	static const struct req_plugins plugins = { .authorize = asks_somebody };
	static const char *const lasting[] = { "pods/p/proxy", "services/s/proxy",   "pods/p/log",
					       "pods/p/exec",  "pods/p/portforward", "pods/p/attach" };
	struct rig *r = *state;
	struct answer *a[ARRAY_LEN(asked)], *other;
	char path[128];

	n_asked = 0;
	req_set_plugins(r->server, &plugins);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		(void)snprintf(path, sizeof(path), "/api/v1/namespaces/default/%s", lasting[i % ARRAY_LEN(lasting)]);
		a[i] = api_start(r, &(struct ask){ .method = "GET", .path = path, .user = "flood" });
	}
	rig_run(r, 0);
	assert_int_equal(n_asked, ARRAY_LEN(a));
	other = api_start(r, &(struct ask){ .method = "GET", .path = "/version", .user = "other" });
	rig_run(r, 0);
	assert_int_equal(other->code, 200);
	answer_free(other);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		(void)req_resume(asked[i], NULL, NULL);
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_not_equal(a[i]->code, 0);
		answer_free(a[i]);
	}
	req_set_plugins(r->server, NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_flood), T(test_too_many), T(test_head_gives_up),
					    T(test_users_take_turns), T(test_lasting_ones_sit_nowhere) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
