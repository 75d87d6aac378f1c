/* Many threads on one server with the store and the environment of production: every change is
 * seen by every watch, in order, and nothing is lost or written twice. */
#include "unit.h"

#include "apiserver/api_req.h"
#include "apiserver/apiserver.h"
#include "ev/ev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITERS 4
#define ROUNDS 60

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *c;
	const struct resource *res;
};

struct watcher {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int64_t last_rev;
	int added, modified, deleted;
	bool disorder, ended;
};

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct watcher *w = ctx;

	pthread_mutex_lock(&w->lock);
	if (t != WATCH_BOOKMARK) {
		w->disorder = w->disorder || obj_rev(o) <= w->last_rev;
		w->last_rev = obj_rev(o);
	}
	w->added += t == WATCH_ADDED;
	w->modified += t == WATCH_MODIFIED;
	w->deleted += t == WATCH_DELETED;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void on_end(const struct err *why, void *ctx)
{
	struct watcher *w = ctx;

	(void)why;
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_deleted(struct watcher *w, int n)
{
	pthread_mutex_lock(&w->lock);
	while (w->deleted < n && !w->ended)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

struct job {
	struct world *w;
	int id;
	int failures;
};

static struct val *doc_of(struct arena *a, const char *name, int value)
{
	struct val *doc = val_new_map(a);

	val_set_cstr(a, val_set_map(a, doc, F_metadata), F_name, name);
	val_set_str_sv(a, val_set_map(a, doc, F_data), SV("n"), arena_svf(a, "%d", value));
	return doc;
}

struct lister {
	struct world *w;
	atomic_bool stop;
	int lists, newer_than_list;
};

/* A list names a revision that none of its items is ahead of: who watches from there would hear of it twice. */
static void *list_all_the_time(void *ctx)
{
	static const struct client_list_opts how[] = { { 0 }, { .field_selector = "metadata.name=shared" } };
	struct lister *j = ctx;

	while (!atomic_load(&j->stop)) {
		struct obj_list l = { 0 };
		struct err err = ERR_INIT;

		if (client_list(j->w->c, j->w->res, SV("default"), &how[j->lists++ % 2], &l, &err) < 0) {
			j->newer_than_list = INT32_MIN;
			err_release(&err);
		}
		for (size_t i = 0; i < l.n; i++)
			j->newer_than_list += obj_rev(l.items[i]) > l.rev;
		obj_list_release(&l);
	}
	return NULL;
}

/* --- who looks at it all through /debug --- */

struct onlooker {
	struct world *w;
	atomic_bool stop;
	int pages, rows, bad;
};

static void look_bytes(struct api_req *q, int code, const char *type, const struct http_chunk *chunks, size_t n)
{
	struct onlooker *j = q->user_data;

	(void)type;
	api_req_answered(q, code);
	j->pages++;
	j->bad += code != 200 || n != 1;
	for (size_t i = 0; i < n; i++) {
		struct sv rest = chunks[i].data, line;

		/* Each row is whole, whatever was written meanwhile. */
		while (sv_split(&rest, '\n', &line)) {
			if (!sv_starts(line, SV("  state=")))
				continue;
			j->rows++;
			j->bad += sv_find_sv(line, SV(" verb=")) < 0 || sv_find_sv(line, SV(" url=")) < 0 ||
				  (sv_find_sv(line, SV(" user=threads ")) < 0 &&
				   sv_find_sv(line, SV(" user=system:apiserver ")) < 0); /* what the start has left */
		}
		chunks[i].release(chunks[i].owner);
	}
}

static void look_failed(struct api_req *q, const struct err *err)
{
	struct onlooker *j = q->user_data;

	(void)err;
	api_req_answered(q, 500);
	j->bad++;
}

static void *look_on(void *ctx)
{
	static const struct api_sink sink = { .bytes = look_bytes, .failure = look_failed };
	static const struct sv paths[] = { { "/debug/requests", 15 }, { "/debug/tasks", 12 }, { "/debug/queues", 13 } };
	struct onlooker *j = ctx;

	for (size_t i = 0; !atomic_load(&j->stop); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct api_req q = { .server = j->w->server,
				     .arena = &a,
				     .sink = &sink,
				     .method = SV("GET"),
				     .path = paths[i % ARRAY_LEN(paths)],
				     .user_data = j };
		struct sv masters = SV("system:masters");

		q.user = (struct user_info){ .name = SV("threads"), .groups = &masters, .n_groups = 1 };
		api_serve(&q);
	}
	return NULL;
}

/* Creates, changes, counts up the shared object, deletes. */
static void *work(void *ctx)
{
	struct job *j = ctx;
	struct world *w = j->w;

	for (int i = 0; i < ROUNDS; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		char *name = arena_printf(&a, "w%d-%d", j->id, i);
		struct client_list_opts none = { 0 };
		struct obj_list l = { 0 };
		struct err err = ERR_INIT;
		struct obj *o = NULL;

		j->failures += client_create(w->c, w->res, SV("default"), doc_of(&a, name, 0), NULL, NULL, &err) < 0;
		j->failures += client_patch(w->c, w->res, SV("default"), sv_from(name), PATCH_MERGE,
					    doc_of(&a, name, 1), NULL, NULL, &err) < 0;
		j->failures += client_list(w->c, w->res, SV("default"), &none, &l, &err) < 0 || l.n == 0;
		obj_list_release(&l);
		for (;;) {
			int64_t n = 0;
			struct val *doc;

			if (client_get(w->c, w->res, SV("default"), SV("shared"), &o, &err) < 0) {
				j->failures++;
				break;
			}
			doc = obj_edit(&a, o);
			(void)sv_to_i64(val_str(val_member_sv(obj_get(o, F_data), SV("n"))), &n);
			obj_unref(o);
			val_set_str_sv(&a, val_ensure_map(&a, doc, F_data), SV("n"), arena_svf(&a, "%d", (int)n + 1));
			if (client_update(w->c, w->res, doc, NULL, NULL, &err) == 0)
				break;
			if (err.reason != ERR_CONFLICT) {
				j->failures++;
				break;
			}
			err_release(&err);
		}
		j->failures += client_delete(w->c, w->res, SV("default"), sv_from(name), NULL, &err) < 0;
		if (err.reason != ERR_NONE)
			print_error("%s\n", err_msg(&err));
		err_release(&err);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	static const char *const masters[] = { "system:masters", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/caravel-test-XXXXXX", *cmd;
	struct watcher watchers[2] = { { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER },
				       { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER } };
	struct client_watch *watches[2];
	struct job jobs[WRITERS];
	struct watcher late = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct client_list_opts from = { 0 };
	pthread_t threads[WRITERS], listing, looking;
	struct lister lister;
	struct onlooker onlooker;
	struct world w = { .res = RES(core_configmaps) };
	struct err err = ERR_INIT;
	struct obj *o = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	w.env = env_real_new(4);
	w.store = store_disk_open(w.env, dir, (size_t)1 << 30, &err);
	assert_non_null(w.store);
	w.server = apiserver_new(
	    &(struct apiserver_opts){ .env = w.env, .store = w.store, .insecure_in_memory = true, .profiling = true },
	    &err);
	assert_non_null(w.server);
	w.c = apiserver_client(w.server, "threads", "threads", masters);
	assert_int_equal(client_create(w.c, w.res, SV("default"), doc_of(&a, "shared", 0), NULL, &o, &err), 0);
	from.resource_version = obj_rev(o);
	obj_unref(o);
	lister = (struct lister){ .w = &w };
	assert_int_equal(pthread_create(&listing, NULL, list_all_the_time, &lister), 0);
	onlooker = (struct onlooker){ .w = &w };
	assert_int_equal(pthread_create(&looking, NULL, look_on, &onlooker), 0);
	for (size_t i = 0; i < ARRAY_LEN(watches); i++)
		assert_int_equal(client_watch(w.c, w.res, SV("default"), NULL, &cb, &watchers[i], &watches[i], &err),
				 0);
	for (int i = 0; i < WRITERS; i++) {
		jobs[i] = (struct job){ .w = &w, .id = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(jobs[i].failures, 0);
	}
	atomic_store(&lister.stop, true);
	pthread_join(listing, NULL);
	assert_int_equal(lister.newer_than_list, 0);
	atomic_store(&onlooker.stop, true);
	pthread_join(looking, NULL);
	assert_true(onlooker.pages > 0 && onlooker.rows > 0);
	assert_int_equal(onlooker.bad, 0);
	assert_int_equal(client_get(w.c, w.res, SV("default"), SV("shared"), &o, &err), 0);
	assert_sv(val_str(val_member_sv(obj_get(o, F_data), SV("n"))), arena_printf(&a, "%d", WRITERS * ROUNDS));
	obj_unref(o);
	for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
		wait_deleted(&watchers[i], WRITERS * ROUNDS);
		client_unwatch(w.c, watches[i]);
		assert_false(watchers[i].disorder);
		assert_false(watchers[i].ended);
		assert_int_equal(watchers[i].added, WRITERS * ROUNDS + 1);
		assert_int_equal(watchers[i].modified, 2 * WRITERS * ROUNDS);
		assert_int_equal(watchers[i].deleted, WRITERS * ROUNDS);
	}
	client_free(w.c);
	apiserver_free(w.server);
	/* A new server on the same store: what the old one wrote is told from the log. */
	w.server =
	    apiserver_new(&(struct apiserver_opts){ .env = w.env, .store = w.store, .insecure_in_memory = true }, &err);
	assert_non_null(w.server);
	w.c = apiserver_client(w.server, "threads", "threads", masters);
	assert_int_equal(client_watch(w.c, w.res, SV("default"), &from, &cb, &late, &watches[0], &err), 0);
	wait_deleted(&late, WRITERS * ROUNDS);
	client_unwatch(w.c, watches[0]);
	assert_false(late.disorder);
	assert_false(late.ended);
	assert_int_equal(late.added, WRITERS * ROUNDS);
	assert_int_equal(late.modified, 2 * WRITERS * ROUNDS);
	client_free(w.c);
	apiserver_free(w.server);
	store_close(w.store);
	env_real_free(w.env);
	cmd = arena_printf(&a, "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
