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

static int slow_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	(void)s;
	return store_changes(slow.real, from, to, since, most, fn, ctx, ret_rev, err);
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
		.changes = slow_changes,
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
	rig_unfinished = slow_release; /* or what waits for it would be waited for */
	return rig_setup_on(state, slow_new);
}

static void test_flood(void **state)
{
	struct rig *r = *state;
	struct answer *floods[300], *lease, *admin;
	char body[128];
	int answered = 0;

	/* "global-default" has 49 seats of 600, and queues; its users may do everything here. */
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
	assert_int_equal(slow.n, 49);

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
	assert_int_equal(slow.n, 51);
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
	struct answer *a[15];

	/* The level of last resort: 13 seats and no queue. */
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
	assert_int_equal(slow.n, 13);
	assert_int_equal(a[13]->code, 429);
	assert_val(val_get(api_json(a[13]), F_reason), "TooManyRequests");
	assert_int_equal(val_get_int(api_json(a[13]), 0, F_details, F_retryAfterSeconds), 1);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, i < 13 ? 201 : 429);
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
	enum { SEATS = 49 };
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
	assert_int_equal(large->code, 429); /* a quarter of its time is enough to wait */
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

/* One user's flood fills the queues that he was dealt, and no others: another waits for as many of his as he has
 * queues.
 */
static void test_users_take_turns(void **state)
{
	enum { SEATS = 49, HAND = 6, LENGTH = 50, FLOOD = SEATS + HAND * LENGTH + 10 };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct answer **flood = calloc(FLOOD, sizeof(*flood)), *other[2], *read;
	struct rig *r = *state;
	size_t refused = 0, made = 0, found = 0;

	allow_everything(r);
	slow.hold = true;
	for (size_t i = 0; i < FLOOD; i++)
		flood[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	for (size_t i = 0; i < FLOOD; i++)
		refused += flood[i]->code == 429;
	assert_int_equal(slow.n, SEATS);
	assert_int_equal(refused, 10);

	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		char body[64];

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"other-%zu\"}}", i);
		other[i] = api_start(r, &(struct ask){ .method = "POST", .path = path, .body = body, .user = "other" });
	}
	read = api_start(r, &(struct ask){ .method = "GET", .path = path, .user = "reader" });
	rig_run(r, 0);
	assert_int_equal(other[0]->code, 0);
	assert_int_equal(read->code, 0);
	slow_let(HAND + 3); /* one of each queue of the flood's, and those who came behind it */
	rig_run(r, 0);
	assert_int_equal(read->code, 200);
	assert_int_equal(slow.n, SEATS);
	for (size_t i = 0; i < slow.n; i++)
		found += held_is(i, "/other-0") || held_is(i, "/other-1");
	assert_int_equal(found, 2);

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
	assert_int_equal(made, FLOOD - 10);
	answer_free(read);
	free(flood);
}

#define LEVELS "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
#define SCHEMAS "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"

/* What the others do not use is lent: after ten seconds in which somebody waited. */
static void test_borrowing(void **state)
{
	enum { SEATS = 49, FLOOD = 200 };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[FLOOD];

	allow_everything(r);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, SEATS);
	rig_run(r, 9 * NS_PER_SEC);
	assert_int_equal(slow.n, SEATS);
	rig_run(r, 2 * NS_PER_SEC);
	assert_int_equal(slow.n, FLOOD);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, 201);
		answer_free(a[i]);
	}
}

/* One may borrow no more than its object says, and lends what it says. */
static void test_borrowing_is_bounded(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[100];

	allow_everything(r);
	expect_type(r, 200, "PATCH", LEVELS "/global-default", "application/merge-patch+json",
		    "{\"metadata\":{\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"false\"}},\"spec\":{"
		    "\"limited\":{\"borrowingLimitPercent\":20}}}");
	rig_run(r, NS_PER_SEC);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, 49);
	rig_run(r, 11 * NS_PER_SEC);
	assert_int_equal(slow.n, 59); /* 49 and a fifth of that */
	rig_run(r, 6 * NS_PER_SEC);   /* the others have waited a quarter of their minute */
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		assert_int_equal(a[i]->code, i < 59 ? 0 : 429);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		answer_free(a[i]);
}

/* Its object goes while somebody sits and waits there: all of them are served, and then it is no more. */
static void test_level_goes(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[8], *dump;

	allow_everything(r);
	expect(r, 201, "POST", LEVELS,
	       "{\"metadata\":{\"name\":\"few\"},\"spec\":{\"type\":\"Limited\",\"limited\":{"
	       "\"nominalConcurrencyShares\":1,\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":1,"
	       "\"handSize\":1,\"queueLengthLimit\":10}}}}}");
	expect(r, 201, "POST", SCHEMAS,
	       "{\"metadata\":{\"name\":\"few\"},\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"few\"},"
	       "\"matchingPrecedence\":700,\"rules\":[{\"subjects\":[{\"kind\":\"User\",\"user\":{\"name\":"
	       "\"flood\"}}],\"resourceRules\":[{\"verbs\":[\"create\"],\"apiGroups\":[\"\"],\"resources\":["
	       "\"configmaps\"],\"namespaces\":[\"default\"]}]}]}}");
	rig_run(r, NS_PER_SEC);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, 3); /* 600 / 246, rounded up */
	slow.hold = false;
	expect(r, 200, "DELETE", LEVELS "/few", NULL);
	slow.hold = true;
	rig_run(r, NS_PER_SEC);
	dump = api(r, "GET", "/debug/api_priority_and_fairness/dump_priority_levels");
	assert_non_null(strstr(buf_cstr(&dump->body), "\nfew,"));
	assert_non_null(strstr(buf_cstr(&dump->body), "false,  true,"));
	answer_free(dump);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, 201);
		answer_free(a[i]);
	}
	rig_run(r, 61 * NS_PER_SEC);
	dump = api(r, "GET", "/debug/api_priority_and_fairness/dump_priority_levels");
	assert_null(strstr(buf_cstr(&dump->body), "\nfew,"));
	answer_free(dump);
}

static void make_few(struct rig *r, bool schema)
{
	expect(r, 201, "POST", LEVELS,
	       "{\"metadata\":{\"name\":\"few\"},\"spec\":{\"type\":\"Limited\",\"limited\":{"
	       "\"nominalConcurrencyShares\":1,\"limitResponse\":{\"type\":\"Reject\"}}}}");
	if (schema)
		expect(r, 201, "POST", SCHEMAS,
		       "{\"metadata\":{\"name\":\"few\"},\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"few\"},"
		       "\"matchingPrecedence\":700,\"rules\":[{\"subjects\":[{\"kind\":\"User\",\"user\":{\"name\":"
		       "\"flood\"}}],\"resourceRules\":[{\"verbs\":[\"create\"],\"apiGroups\":[\"\"],\"resources\":["
		       "\"configmaps\"],\"namespaces\":[\"default\"]}]}]}}");
	rig_run(r, NS_PER_SEC);
}

static void metrics_say(struct rig *r, const char *what, int n)
{
	struct answer *page = api(r, "GET", "/metrics");
	_cleanup_free_ char *line =
	    xasprintf("\napiserver_flowcontrol_%s{flow_schema=\"few\",priority_level=\"few\"} %d\n", what, n);
	const char *of = strstr(buf_cstr(&page->body), "flow_schema=\"few\"");

	if (n < 0 ? of != NULL : !strstr(buf_cstr(&page->body), line))
		fail_msg("not so: %s\nbut %.200s", line, of ? of : "nothing of it");
	answer_free(page);
}

/* A level that goes and comes again under its name is another one, also while somebody still holds a configuration with
 * the first: what is counted of it begins anew, and what began in the first ends there. */
static void test_level_made_anew(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *holds, *first, *second;

	allow_everything(r);
	make_few(r, true);
	first = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(first->code, 201);
	answer_free(first);
	metrics_say(r, "dispatched_requests_total", 1);
	/* Somebody of another level, who keeps what was then. */
	slow.hold = true;
	holds = api_start(r, &(struct ask){ .method = "POST",
					    .path = path,
					    .body = "{\"metadata\":{\"generateName\":\"o-\"}}",
					    .user = "other" });
	rig_run(r, 0);
	assert_int_equal(slow.n, 1);
	slow.hold = false;
	expect(r, 200, "DELETE", LEVELS "/few", NULL);
	rig_run(r, NS_PER_SEC);
	metrics_say(r, "dispatched_requests_total", -1);
	make_few(r, false);
	metrics_say(r, "dispatched_requests_total", 0);
	slow.hold = true;
	second = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, 2);
	metrics_say(r, "dispatched_requests_total", 1);
	metrics_say(r, "current_executing_requests", 1);
	slow_release();
	rig_run(r, NS_PER_SEC);
	metrics_say(r, "current_executing_requests", 0);
	assert_int_equal(second->code, 201);
	assert_int_equal(holds->code, 201);
	answer_free(second);
	answer_free(holds);
	metrics_say(r, "dispatched_requests_total", 1);
}

/* What people see of it while requests wait. */
static void test_dumps(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[52], *dump;

	allow_everything(r);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	dump = api(r, "GET", "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1");
	assert_int_equal(dump->code, 200);
	assert_non_null(strstr(buf_cstr(&dump->body), "global-default,"));
	assert_non_null(strstr(buf_cstr(&dump->body), "flood,"));
	assert_non_null(strstr(buf_cstr(&dump->body), "create,"));
	answer_free(dump);
	dump = api(r, "GET", "/debug/api_priority_and_fairness/dump_queues");
	assert_non_null(strstr(buf_cstr(&dump->body), "workload-low,      127,"));
	answer_free(dump);
	dump = api(r, "GET", "/metrics");
	assert_non_null(strstr(buf_cstr(&dump->body),
			       "apiserver_flowcontrol_current_inqueue_requests{flow_schema=\"global-default\","
			       "priority_level=\"global-default\"} 3\n"));
	assert_non_null(strstr(buf_cstr(&dump->body),
			       "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"global-default\"} 49\n"));
	answer_free(dump);
	expect_status(r, 403, "Forbidden", "dump_requests",
		      &(struct ask){ .method = "GET",
				     .path = "/debug/api_priority_and_fairness/dump_requests",
				     .user = "nobody",
				     .no_groups = true });
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		answer_free(a[i]);
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

/* Without all this there are two limits: who changes something, and who reads. */
static void test_max_inflight(void **state)
{
	static const struct req_plugins plugins = { .authorize = asks_somebody };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a[3], *admin, *watch, *page;

	allow_everything(r);
	r->no_fairness = true;
	r->max_mutating = 2;
	rig_restart(r);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, 2);
	assert_int_equal(a[2]->code, 429);
	assert_val(val_get(api_json(a[2]), F_message), "too many requests, please try again later.");
	assert_int_equal(val_get_int(api_json(a[2]), 0, F_details, F_retryAfterSeconds), 1);
	/* A superuser is never refused; reads have a limit of their own, here none; a watch has none. */
	admin =
	    api_start(r, &(struct ask){ .method = "POST", .path = path, .body = "{\"metadata\":{\"name\":\"a\"}}" });
	rig_run(r, 0);
	assert_int_equal(slow.n, 3);
	page = api_ask(r, &(struct ask){ .method = "GET", .path = path, .user = "flood" });
	assert_int_equal(page->code, 200);
	answer_free(page);
	watch = api_ask(
	    r,
	    &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/default/configmaps?watch=1", .user = "flood" });
	assert_true(watch->streaming);
	slow_release();
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a[0]->code, 201);
	assert_int_equal(a[1]->code, 201);
	assert_int_equal(admin->code, 201);
	answer_free(admin);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		answer_free(a[i]);
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
		assert_int_equal(a[i]->code, 201); /* their places are free again */
		answer_free(a[i]);
	}
	answer_gone(watch);
	/* Nothing of the levels is there; their objects are, as any. */
	page = api(r, "GET", "/metrics");
	assert_null(strstr(buf_cstr(&page->body), "apiserver_flowcontrol_"));
	answer_free(page);
	expect(r, 404, "GET", "/debug/api_priority_and_fairness/dump_priority_levels", NULL);
	assert_int_equal(api_code(r, "GET", "/readyz/poststarthook/priority-and-fairness-filter", NULL), 404);
	assert_int_equal(api_code(r, "GET", "/readyz/poststarthook/max-in-flight-filter", NULL), 200);
	expect(r, 200, "GET", LEVELS "/global-default", NULL);
	/* And who limits reads: one at a time here, while changes have no limit. */
	r->max_requests = 1;
	r->max_mutating = 0;
	rig_restart(r);
	slow.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = create_as_flood(r, path, "{\"metadata\":{\"generateName\":\"o-\"}}");
	assert_int_equal(slow.n, 3);
	slow_release();
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		answer_free(a[i]);
	n_asked = 0;
	req_set_plugins(r->server, &plugins);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		a[i] = api_start(r, &(struct ask){ .method = "GET", .path = path, .user = "odd", .no_groups = true });
		rig_run(r, 0);
	}
	assert_int_equal(n_asked, 1);
	assert_int_equal(a[1]->code, 429);
	assert_int_equal(a[2]->code, 429);
	(void)req_resume(asked[0], NULL, NULL);
	rig_run(r, NS_PER_SEC);
	assert_int_not_equal(a[0]->code, 429);
	req_set_plugins(r->server, NULL);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		answer_free(a[i]);
	page = api_ask(r, &(struct ask){ .method = "GET", .path = path, .user = "flood" });
	assert_int_equal(page->code, 200);
	answer_free(page);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_flood),
					    T(test_too_many),
					    T(test_head_gives_up),
					    T(test_users_take_turns),
					    T(test_borrowing),
					    T(test_borrowing_is_bounded),
					    T(test_level_goes),
					    T(test_level_made_anew),
					    T(test_max_inflight),
					    T(test_dumps),
					    T(test_lasting_ones_sit_nowhere) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
