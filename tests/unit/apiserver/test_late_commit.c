/* Writes that the store does not answer in time: their clients are told, at the time that they have, and what the store
 * says later finds nobody, but settles what was held for the write. */
#include "harness.h"

#include "apiserver/admission/admission.h"
#include "store/store.h"

#include <stdio.h>

#define DEFAULT "/api/v1/namespaces/default/"
#define MAPS DEFAULT "configmaps"
#define SERVICES DEFAULT "services"

/* --- a store that keeps writes to itself --- */

struct kept {
	struct list link;
	struct store_write w;
	struct arena a; /* w's bytes */
	store_done_fn *done;
	void *ctx;
};

static struct {
	struct store_ops ops;
	const struct store_ops *inner;
	struct list kept;
	bool hangs;
	size_t n;
} slow;

static struct store_write copy_of(struct arena *a, const struct store_write *w)
{
	struct store_write c = *w, *also = w->n_also ? ARENA_ARRAY(a, struct store_write, w->n_also) : NULL;

	c.key = arena_sv(a, w->key);
	c.value = arena_sv(a, w->value);
	for (size_t i = 0; i < w->n_also; i++)
		also[i] = copy_of(a, &w->also[i]);
	c.also = also;
	return c;
}

static void slow_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct kept *k;

	if (!slow.hangs) {
		slow.inner->commit(s, w, done, ctx);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->w = copy_of(&k->a, w);
	k->done = done;
	k->ctx = ctx;
	list_add_tail(&slow.kept, &k->link);
	slow.n++;
}

static struct store *slow_new(struct env *env)
{
	struct store *s = store_mem_new(env);

	memset(&slow, 0, sizeof(slow));
	list_init(&slow.kept);
	slow.inner = s->ops;
	slow.ops = *s->ops;
	slow.ops.commit = slow_commit;
	s->ops = &slow.ops;
	return s;
}

/* It writes what it kept (fails: or says that it could not). */
static void wakes(struct rig *r, bool fails)
{
	slow.hangs = false;
	while (!list_empty(&slow.kept)) {
		struct kept *k = LIST_ENTRY(slow.kept.next, struct kept, link);
		struct err err = ERR_INIT;

		list_del(&k->link);
		slow.n--;
		err_set(&err, ERR_UNAVAILABLE, "the disk is gone");
		if (fails)
			k->done(&(struct store_result){ .outcome = STORE_FAILED, .err = &err }, k->ctx);
		else
			slow.inner->commit(r->store, &k->w, k->done, k->ctx);
		err_release(&err);
		arena_release(&k->a);
		free(k);
	}
	rig_run(r, 0);
}

/* --- what is reserved outside --- */

static struct {
	int held, kept, given_back;
} out;

static int reserve(struct api_req *q, const struct val *old, const struct val *doc, void **state, struct err *err,
		   void *ctx)
{
	(void)q;
	(void)old;
	(void)doc;
	(void)err;
	(void)ctx;
	*state = &out;
	out.held++;
	return 0;
}

static void reserved(struct apiserver *s, void *state, bool committed, void *ctx)
{
	(void)s;
	(void)ctx;
	assert_ptr_equal(state, &out);
	out.kept += committed;
	out.given_back += !committed;
}

static const struct req_plugins plugins = { .reserve = reserve, .reserved = reserved };

static int setup(void **state)
{
	int rc = rig_setup_on(state, slow_new);

	memset(&out, 0, sizeof(out));
	return rc;
}

static int teardown(void **state)
{
	wakes(*state, true); /* of a test that failed */
	return rig_teardown(state);
}

static void must_be_late(struct answer *a)
{
	assert_int_equal(a->answers, 1);
	if (a->code != 504)
		fail_msg("%d %s", a->code, buf_cstr(&a->body));
	assert_val(val_get(api_json(a), F_reason), "Timeout");
	assert_val(val_get(api_json(a), F_message),
		   "Timeout: request did not complete within requested timeout - context deadline exceeded");
	answer_free(a);
}

static const char service[] =
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.7.7\",\"ports\":[{\"port\":80}]}}";
static const char other[] =
    "{\"metadata\":{\"name\":\"other\"},\"spec\":{\"clusterIP\":\"10.43.7.7\",\"ports\":[{\"port\":80}]}}";

/* Until it is known whether it was written, its address is nobody else's. */
static void late_service(struct rig *r, bool fails)
{
	struct answer *a;

	req_set_plugins(r->server, &plugins);
	slow.hangs = true;
	a = api_start(r, &(struct ask){ .method = "POST", .path = SERVICES, .body = service, .loop = true });
	rig_run(r, 33 * NS_PER_SEC);
	assert_int_equal(a->answers, 0);
	assert_int_equal(slow.n, 1);
	rig_run(r, 2 * NS_PER_SEC);
	must_be_late(a);
	assert_int_equal(out.held, 1);
	assert_int_equal(out.kept + out.given_back, 0);
	a = api(r, "POST", SERVICES, .body = other);
	assert_int_equal(a->code, 422);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("provided IP is already allocated")) >= 0);
	answer_free(a);
	wakes(r, fails);
}

static void test_written_after_all(void **state)
{
	struct rig *r = *state;

	late_service(r, false);
	assert_int_equal(out.kept, 1);
	expect(r, 200, "GET", SERVICES "/web", NULL);
	expect_status(r, 422, "Invalid", "provided IP is already allocated",
		      &(struct ask){ .method = "POST", .path = SERVICES, .body = other });
	expect(r, 200, "DELETE", SERVICES "/web", NULL);
	expect(r, 201, "POST", SERVICES, other);
}

static void test_never_written(void **state)
{
	struct rig *r = *state;

	late_service(r, true);
	assert_int_equal(out.kept, 0);
	expect(r, 404, "GET", SERVICES "/web", NULL);
	expect(r, 201, "POST", SERVICES, other);
	expect(r, 422, "POST", SERVICES, service);
}

/* Somebody else was there first: nothing is tried again for who has been told. */
static void test_lost_the_race(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	slow.hangs = true;
	a = api_start(r, &(struct ask){ .method = "PATCH",
					.path = MAPS "/m",
					.type = "application/merge-patch+json",
					.body = "{\"data\":{\"late\":\"1\"}}",
					.loop = true });
	rig_run(r, 35 * NS_PER_SEC);
	must_be_late(a);
	slow.hangs = false;
	expect_type(r, 200, "PATCH", MAPS "/m", "application/merge-patch+json", "{\"data\":{\"first\":\"1\"}}");
	wakes(r, false);
	assert_int_equal(slow.n, 0);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", MAPS "/m", NULL), F_data)), 1);
}

/* Every verb, and the client's own bound where it is nearer; in the order of their deadlines, not of their coming. */
static void test_every_verb(void **state)
{
	static const struct {
		struct ask ask;
		int64_t s;
	} all[] = {
		{ { .method = "POST", .path = MAPS, .body = "{\"metadata\":{\"name\":\"new\"}}" }, 34 },
		{ { .method = "POST", .path = MAPS "?timeout=5s", .body = "{\"metadata\":{\"name\":\"quick\"}}" }, 5 },
		{ { .method = "PUT", .path = MAPS "/a?timeout=20s", .body = "{\"metadata\":{\"name\":\"a\"}}" }, 20 },
		{ { .method = "PUT",
		    .path = MAPS "/b",
		    .body = "{\"metadata\":{\"name\":\"b\"},\"data\":{\"k\":\"v\"}}" },
		  34 },
		{ { .method = "DELETE", .path = MAPS "/c?timeout=6s" }, 6 },
		{ { .method = "DELETE", .path = MAPS "?labelSelector=many=yes" }, 34 },
	};
	struct answer *a[ARRAY_LEN(all)];
	struct rig *r = *state;

	for (const char *name = "abc"; *name; name++)
		expect(r, 201, "POST", MAPS, arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%c\"}}", *name));
	for (int i = 0; i < 3; i++)
		expect(r, 201, "POST", MAPS,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"d%d\",\"labels\":{\"many\":\"yes\"}}}", i));
	expect(r, 200, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
	slow.hangs = true;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct ask ask = all[i].ask;

		ask.loop = true;
		a[i] = api_start(r, &ask);
	}
	rig_run(r, 0);
	for (int64_t s = 0; s <= 35; s++) {
		for (size_t i = 0; i < ARRAY_LEN(all); i++)
			if (a[i] && a[i]->answers != (s >= all[i].s))
				fail_msg("%s %s at %d s: %d", all[i].ask.method, all[i].ask.path, (int)s, a[i]->code);
		for (size_t i = 0; i < ARRAY_LEN(all); i++)
			if (a[i] && a[i]->answers) {
				must_be_late(a[i]);
				a[i] = NULL;
			}
		rig_run(r, s == 0 ? NS_PER_SEC + NS_PER_MS : NS_PER_SEC);
	}
	wakes(r, false);
	expect(r, 200, "GET", MAPS "/new", NULL);
	expect(r, 200, "GET", MAPS "/quick", NULL);
	expect(r, 404, "GET", MAPS "/c", NULL);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", MAPS "?labelSelector=many=yes", NULL), F_items)), 0);
	/* Nothing is left of them. */
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"after\"}}");
}

/* In time, though slow: as ever. */
static void test_in_time(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	slow.hangs = true;
	a = api_start(r, &(struct ask){ .method = "POST", .path = SERVICES, .body = service, .loop = true });
	rig_run(r, 33 * NS_PER_SEC);
	assert_int_equal(a->answers, 0);
	wakes(r, false);
	assert_int_equal(a->code, 201);
	answer_free(a);
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 200, "DELETE", SERVICES "/web", NULL);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_written_after_all), T(test_never_written), T(test_lost_the_race),
					    T(test_every_verb), T(test_in_time) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
