/* A thousand kinds come and go, on the store and the environment of production, while others ask for them and for
 * everything else: nobody gets anything but an answer, and nothing is left behind. */
#include "unit.h"

#include "apiserver/api_req.h"
#include "apiserver/apiserver.h"
#include "codec/json.h"
#include "codec/symbol.h"
#include "ev/ev.h"
#include "object/api_set.h"

#include <time.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KINDS = 1000, WORKERS = 2 };

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *c;
	char dir[32];
	atomic_bool stop;
	atomic_int failures;
	atomic_int of_late, documents, watches; /* what was done */
};

static struct sv masters[] = { { "system:masters", sizeof("system:masters") - 1 } };

static void fails(struct world *w, const char *what, const struct err *err)
{
	print_error("%s: %s\n", what, err_msg(err));
	atomic_fetch_add(&w->failures, 1);
}

static struct api_kind *kind_of(size_t i)
{
	static const char schema[] = "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
				     "\"properties\":{\"stormSize\":{\"type\":"
				     "\"integer\",\"default\":1},\"stormName\":{\"type\":\"string\"}}}}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *plural = arena_printf(&a, "storms%zu", i);
	struct api_kind *k =
	    api_kind_new(&(struct api_kind_def){ .group = arena_printf(&a, "g%zu.example.com", i % 40),
						 .version = "v1",
						 .plural = plural,
						 .kind = plural,
						 .namespaced = i % 2,
						 .status = true,
						 .schema = json_decode(&a, sv_from(schema), NULL, NULL) },
			 NULL);

	assert_non_null(k);
	return k;
}

/* --- who asks meanwhile --- */

static struct val *doc_of(struct arena *a, const char *name)
{
	struct val *doc = val_new_map(a);

	val_set_cstr(a, val_set_map(a, doc, F_metadata), F_name, name);
	val_set_str_sv(a, val_set_map(a, doc, F_spec), SV("stormName"), SV("n"));
	return doc;
}

/* What one does with objects of a kind, which may be gone at any moment when it is late. */
static void use(struct world *w, const struct resource *r, const char *name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj_list l = { 0 };
	struct err err = ERR_INIT;
	struct obj *o = NULL;
	struct val *doc = r == RES(core_configmaps) ? val_new_map(&a) : doc_of(&a, name);

	val_set_cstr(&a, val_ensure_map(&a, doc, F_metadata), F_name, name);
	if (client_create(w->c, r, SV("default"), doc, NULL, NULL, &err) < 0 ||
	    client_get(w->c, r, SV("default"), sv_from(name), &o, &err) < 0 ||
	    client_list(w->c, r, SV("default"), NULL, &l, &err) < 0 ||
	    client_delete(w->c, r, SV("default"), sv_from(name), NULL, &err) < 0) {
		if (!resource_late(r) || err.reason != ERR_NOT_FOUND)
			fails(w, r->plural, &err);
	} else if (resource_late(r)) {
		if (val_int_or(val_member_sv(obj_get(o, F_spec), SV("stormSize")), 0) != 1)
			atomic_fetch_add(&w->failures, 1);
		atomic_fetch_add(&w->of_late, 1);
	}
	err_release(&err);
	obj_unref(o);
	obj_list_release(&l);
}

struct worker {
	struct world *w;
	size_t id;
};

static void *worker(void *ctx)
{
	struct worker *me = ctx;
	struct world *w = me->w;

	for (size_t i = 0; !atomic_load(&w->stop); i++) {
		const struct api_set *api = api_current_get(apiserver_kinds(w->server));
		char name[32];

		snprintf(name, sizeof(name), "o%zu-%zu", me->id, i);
		use(w, i % 4 && api->n_custom ? api->custom[i * 7919 % api->n_custom].resource : RES(core_configmaps),
		    name);
		api_set_unref(api);
	}
	return NULL;
}

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	(void)t;
	(void)o;
	(void)ctx;
}

static void on_end(const struct err *why, void *ctx)
{
	(void)why;
	(void)ctx;
}

static void *watcher(void *ctx)
{
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	struct world *w = ctx;

	for (size_t i = 0; !atomic_load(&w->stop); i++) {
		const struct api_set *api = api_current_get(apiserver_kinds(w->server));
		struct client_watch *open[8] = { 0 };
		struct err err = ERR_INIT;

		/* Those whose kind goes meanwhile are ended under their reader. */
		for (size_t k = 0; k < ARRAY_LEN(open) && api->n_custom; k++) {
			const struct resource *r = api->custom[(i * 31 + k * 101) % api->n_custom].resource;

			if (client_watch(w->c, r, SV(""), NULL, &cb, w, &open[k], &err) < 0) {
				if (err.reason != ERR_NOT_FOUND)
					fails(w, "watch", &err);
				err_release(&err);
			} else {
				atomic_fetch_add(&w->watches, 1);
			}
		}
		use(w, RES(core_configmaps), "watched");
		for (size_t k = 0; k < ARRAY_LEN(open); k++)
			client_unwatch(w->c, open[k]);
		api_set_unref(api);
	}
	return NULL;
}

struct answer {
	int code;
	size_t bytes;
};

static void sink_object(struct api_req *q, int code, struct obj *o, const struct val *doc)
{
	(void)o;
	(void)doc;
	api_req_answered(q, code);
	((struct answer *)q->user_data)->code = code;
}

static void sink_bytes(struct api_req *q, int code, const char *type, const struct http_chunk *chunks, size_t n)
{
	struct answer *a = q->user_data;

	(void)type;
	api_req_answered(q, code);
	a->code = code;
	for (size_t i = 0; i < n; i++) {
		a->bytes += chunks[i].data.n + (size_t)(unsigned char)chunks[i].data.p[chunks[i].data.n / 2];
		if (chunks[i].release)
			chunks[i].release(chunks[i].owner);
	}
}

static void sink_failure(struct api_req *q, const struct err *err)
{
	api_req_answered(q, err_code(err));
	((struct answer *)q->user_data)->code = err_code(err);
}

static int ask(struct world *w, const char *path)
{
	static const struct api_sink sink = { .object = sink_object, .bytes = sink_bytes, .failure = sink_failure };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct answer answer = { 0 };
	struct api_req q = { .server = w->server,
			     .arena = &a,
			     .sink = &sink,
			     .method = SV("GET"),
			     .path = sv_from(path),
			     .user = { .name = SV("storm"), .groups = masters, .n_groups = 1 },
			     .user_data = &answer };

	api_serve(&q);
	return answer.code;
}

static void *reader(void *ctx)
{
	static const char *const paths[] = { "/apis", "/apis/g7.example.com/v1", "/openapi/v3",
					     "/openapi/v3/apis/g7.example.com/v1", "/metrics" };
	struct world *w = ctx;

	for (size_t i = 0; !atomic_load(&w->stop); i++) {
		const char *path = i % 40 == 39 ? "/openapi/v2" : paths[i % ARRAY_LEN(paths)];
		int code = ask(w, path);

		if (code != 200 && (code != 404 || !strstr(path, "example.com"))) {
			print_error("%s: %d\n", path, code);
			atomic_fetch_add(&w->failures, 1);
		}
		atomic_fetch_add(&w->documents, 1);
	}
	return NULL;
}

/* --- the storm --- */

static void world_open(struct world *w)
{
	static const char *const groups[] = { "system:masters", NULL };
	struct err err = ERR_INIT;

	*w = (struct world){ .dir = "/tmp/caravel-test-XXXXXX" };
	assert_non_null(mkdtemp(w->dir));
	w->env = env_real_new(4);
	w->store = store_disk_open(w->env, w->dir, (size_t)1 << 30, &err);
	assert_non_null(w->store);
	w->server = apiserver_new(
	    &(struct apiserver_opts){ .env = w->env, .store = w->store, .insecure_in_memory = true }, &err);
	assert_non_null(w->server);
	w->c = apiserver_client(w->server, "storm", "storm", groups);
}

static void world_close(struct world *w)
{
	char cmd[64];

	client_free(w->c);
	apiserver_free(w->server);
	store_close(w->store);
	env_real_free(w->env);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
	assert_int_equal(system(cmd), 0);
}

/* All of them come, in steps of many sizes, and go in another order. */
static void come_and_go(struct world *w)
{
	struct api_kind *kinds[KINDS];
	struct err err = ERR_INIT;

	for (size_t i = 0, step = 1; i < KINDS; i += step, step = step % 37 + 1) {
		step = MIN(step, KINDS - i);
		for (size_t k = i; k < i + step; k++)
			kinds[k] = kind_of(k);
		if (apiserver_add_kinds(w->server, kinds + i, step, &err) < 0)
			fail_msg("%s", err_msg(&err));
	}
	/* A set with all of them is asked for, too. */
	assert_int_equal(ask(w, "/apis/g7.example.com/v1"), 200);
	assert_int_equal(ask(w, "/openapi/v3/apis/g7.example.com/v1"), 200);
	for (size_t i = KINDS, step = 41; i > 0; step = step > 3 ? step - 2 : 41) {
		step = MIN(step, i);
		i -= step;
		apiserver_remove_kinds(w->server, kinds + i, step);
		for (size_t k = i; k < i + step; k++)
			api_kind_unref(kinds[k]);
	}
	assert_int_equal(ask(w, "/apis/g7.example.com/v1"), 404);
}

static void test_storm(void **state)
{
	struct world w;
	struct worker workers[WORKERS];
	pthread_t t[WORKERS + 2];

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ &w, i };
		assert_int_equal(pthread_create(&t[i], NULL, worker, &workers[i]), 0);
	}
	assert_int_equal(pthread_create(&t[WORKERS], NULL, watcher, &w), 0);
	assert_int_equal(pthread_create(&t[WORKERS + 1], NULL, reader, &w), 0);
	come_and_go(&w);
	/* Until everybody has had his share, however the threads are scheduled. */
	while (!atomic_load(&w.failures) &&
	       (atomic_load(&w.of_late) < 10 || atomic_load(&w.documents) < 50 || atomic_load(&w.watches) < 20))
		come_and_go(&w);
	atomic_store(&w.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(atomic_load(&w.failures), 0);
	world_close(&w);
}

/* Memory in use, where malloc is the C library's; else 0. */
static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void test_nothing_stays(void **state)
{
	struct world w;
	uint32_t symbols;
	size_t before;

	(void)state;
	world_open(&w);
	come_and_go(&w); /* what grows once and is kept */
	symbols = sym_end();
	before = in_use();
	for (int i = 0; i < 3; i++)
		come_and_go(&w);
	assert_int_equal(sym_end(), symbols);
	/* Their APIServices go behind them, in a task. */
	for (int i = 0; i < 400 && in_use() > before + 1024 * 1024; i++)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 25000000 }, NULL);
	/* A kind that stayed: some 3 KiB, three thousand of them came. Events of their APIServices are in the ring. */
	if (in_use() > before + 1024 * 1024)
		fail_msg("%zu bytes in use before, %zu now", before, in_use());
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_storm), cmocka_unit_test(test_nothing_stays) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
