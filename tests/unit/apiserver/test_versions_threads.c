/* Versions under threads, on the store and the environment of production: clients write the same objects by two
 * versions, read them by either, list and watch, while conversions are answered by other threads; and nobody sees
 * anything but what was written. */
#include "unit.h"

#include "toy_versions.h"

#include "apiserver/api_req.h"
#include "apiserver/apiserver.h"
#include "ev/ev.h"
#include "object/api_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 3, OBJECTS = 8, ROUNDS = 60 };

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *c;
	const struct resource *one, *two;
	char dir[32];
	bool waits;
	atomic_bool stop;
	atomic_int failures, open; /* conversions that are not answered yet */
};

static struct sv masters[] = { { "system:masters", sizeof("system:masters") - 1 } };

static void fails(struct world *w, const char *what, const struct err *err)
{
	print_error("%s: %s\n", what, err_msg(err));
	atomic_fetch_add(&w->failures, 1);
}

/* --- conversions that others answer --- */

struct asked {
	struct world *w;
	struct req_ticket *ticket;
};

static void answer_one(void *ctx)
{
	struct asked *a = ctx;

	(void)req_resume(a->ticket, a->w, NULL);
	atomic_fetch_sub(&a->w->open, 1);
	free(a);
}

static int convert(const struct version_leg *leg, struct err *err)
{
	struct world *w = leg->ctx;
	void *result;

	(void)err;
	if (w->waits && !req_result(leg->q, &result)) {
		struct asked *a = xmalloc(sizeof(*a));

		*a = (struct asked){ w, req_suspend(leg->q, "conversion", NULL, NULL) };
		atomic_fetch_add(&w->open, 1);
		env_post(w->env, ENV_SLOW, answer_one, a);
		return REQ_LATER;
	}
	for (size_t i = 0; i < leg->n; i++)
		leg->out[i] = toy_convert(leg->a, leg->docs[i], leg->from, leg->to);
	return 0;
}

/* --- who writes and reads --- */

static int64_t num(const struct val *doc, const char *name)
{
	return val_int_or(val_member_sv(val_member(doc, F_spec), sv_from(name)), -1);
}

/* min and max were written together. */
static void check(struct world *w, const struct val *doc, bool second)
{
	int64_t min = num(doc, second ? "min" : "minSize"), max = num(doc, second ? "max" : "maxSize");

	if (!version_is(second ? w->two : w->one, doc) || min < 0 || max != min + 1000)
		atomic_fetch_add(&w->failures, 1);
}

static struct val *spec_of(struct arena *a, int64_t n, bool second)
{
	struct val *doc = val_new_map(a), *spec = val_new_map(a);

	val_set_sv(a, spec, second ? SV("min") : SV("minSize"), val_new_int(a, n));
	val_set_sv(a, spec, second ? SV("max") : SV("maxSize"), val_new_int(a, n + 1000));
	val_set(a, doc, F_spec, spec);
	return doc;
}

static void use(struct world *w, int64_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct resource *writes = n % 2 ? w->two : w->one, *reads = n % 3 ? w->two : w->one;
	char *name = arena_printf(&a, "o%d", (int)(n % OBJECTS));
	struct obj_list l = { 0 };
	struct err err = ERR_INIT;
	struct obj *o = NULL;

	if (client_patch(w->c, writes, SV("default"), sv_from(name), PATCH_MERGE, spec_of(&a, n, writes == w->two),
			 NULL, &o, &err) < 0) {
		if (err.reason != ERR_CONFLICT) /* too much was tried in vain */
			fails(w, "patch", &err);
		err_release(&err);
	} else {
		check(w, obj_root(o), writes == w->two);
	}
	obj_unref(TAKE(o));
	if (client_get(w->c, reads, SV("default"), sv_from(name), &o, &err) < 0)
		fails(w, "get", &err);
	else
		check(w, obj_root(o), reads == w->two);
	obj_unref(o);
	if (n % 5 == 0 && client_list(w->c, reads, SV("default"), NULL, &l, &err) < 0)
		fails(w, "list", &err);
	for (size_t i = 0; i < l.n; i++)
		check(w, obj_root(l.items[i]), reads == w->two);
	obj_list_release(&l);
	err_release(&err);
}

struct worker {
	struct world *w;
	int64_t id;
};

static void *worker(void *ctx)
{
	struct worker *me = ctx;

	for (int64_t i = 0; i < ROUNDS; i++)
		use(me->w, i * WORKERS + me->id);
	return NULL;
}

/* --- who watches: a stream on a thread of its own, as a connection is on its loop's --- */

struct posted {
	struct posted *next;
	struct api_req *q;
	req_fn *fn;
	void *ctx;
};

struct stream {
	struct world *w;
	struct api_req q;
	struct arena arena;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct posted *first, **last;
	struct buf text;
	bool ended;
	size_t events;
	int64_t rev;
};

static void stream_post(struct api_req *q, req_fn *fn, void *ctx)
{
	struct stream *s = q->user_data;
	struct posted *p = xmalloc(sizeof(*p));

	*p = (struct posted){ NULL, q, fn, ctx };
	pthread_mutex_lock(&s->lock);
	*s->last = p;
	s->last = &p->next;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void stream_begin(struct api_req *q, const char *type)
{
	(void)type;
	api_req_answered(q, 200);
}

static void stream_line_done(struct stream *s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *e = json_decode(&a, buf_sv(&s->text), NULL, NULL), *o = val_member(e, F_object);
	int64_t rev = 0;

	buf_clear(&s->text);
	if (!sv_to_i64(val_get_str(o, F_metadata, F_resourceVersion), &rev) || rev <= s->rev)
		atomic_fetch_add(&s->w->failures, 1);
	if (s->events >= OBJECTS) /* the initial ones are in the order of their names */
		s->rev = rev;
	s->events++;
	check(s->w, o, true);
}

static size_t stream_write(struct api_req *q, const struct http_chunk *c)
{
	struct stream *s = q->user_data;

	buf_addsv(&s->text, c->data);
	if (c->release)
		c->release(c->owner);
	if (s->text.n && s->text.p[s->text.n - 1] == '\n')
		stream_line_done(s);
	return 0;
}

static void stream_end(struct api_req *q)
{
	((struct stream *)q->user_data)->ended = true;
}

static void stream_failure(struct api_req *q, const struct err *err)
{
	struct stream *s = q->user_data;

	api_req_answered(q, err_code(err));
	fails(s->w, "watch", err);
	s->ended = true;
}

static void stream_leave(struct api_req *q, void *ctx)
{
	(void)ctx;
	q->on_gone(q);
}

static void *watcher(void *ctx)
{
	static const struct api_sink sink = { .stream_begin = stream_begin,
					      .stream_write = stream_write,
					      .stream_end = stream_end,
					      .failure = stream_failure,
					      .post = stream_post };
	struct stream *s = ctx;

	s->q = (struct api_req){ .server = s->w->server,
				 .arena = &s->arena,
				 .sink = &sink,
				 .method = SV("GET"),
				 .path = SV("/apis/example.com/v2/namespaces/default/scalers"),
				 .params = &(struct api_param){ SV("watch"), SV("true") },
				 .n_params = 1,
				 .user = { .name = SV("w"), .groups = masters, .n_groups = 1 },
				 .user_data = s };
	api_serve(&s->q);
	pthread_mutex_lock(&s->lock);
	while (!s->ended || s->first) {
		struct posted *p = s->first;

		if (!p) {
			pthread_cond_wait(&s->cond, &s->lock);
			continue;
		}
		s->first = p->next;
		if (!s->first)
			s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		p->fn(p->q, p->ctx);
		free(p);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void stream_close(struct stream *s, pthread_t t)
{
	stream_post(&s->q, stream_leave, NULL);
	assert_int_equal(pthread_join(t, NULL), 0);
	arena_release(&s->arena);
	buf_release(&s->text);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
}

/* --- --- */

static void world_open(struct world *w, bool waits)
{
	static const char *const groups[] = { "system:masters", NULL };
	struct err err = ERR_INIT;

	*w = (struct world){ .dir = "/tmp/caravel-test-XXXXXX", .waits = waits };
	assert_non_null(mkdtemp(w->dir));
	w->env = env_real_new(4);
	w->store = store_disk_open(w->env, w->dir, (size_t)1 << 30, &err);
	assert_non_null(w->store);
	w->server = apiserver_new(
	    &(struct apiserver_opts){ .env = w->env, .store = w->store, .insecure_in_memory = true }, &err);
	assert_non_null(w->server);
	w->c = apiserver_client(w->server, "v", "v", groups);
}

static void world_close(struct world *w)
{
	char cmd[64];

	client_free(w->c);
	while (atomic_load(&w->open)) /* of a watch that went meanwhile */
		usleep(1000);
	apiserver_free(w->server);
	store_close(w->store);
	env_real_free(w->env);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
	assert_int_equal(system(cmd), 0);
}

static void all_at_once(bool waits)
{
	struct world w;
	struct worker workers[WORKERS];
	struct stream streams[2];
	pthread_t t[WORKERS], seen[2];
	struct api_kind *k = toy_kind();
	struct kind_conversion how = { .hub = "v2", .convert = convert, .ctx = &w, .waits = waits };
	struct err err = ERR_INIT;

	world_open(&w, waits);
	w.one = api_kind_resource(k);
	w.two = api_kind_resource(api_kind_next(k));
	assert_int_equal(apiserver_add_versions(w.server, k, &how, &err), 0);
	for (int i = 0; i < OBJECTS; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct val *doc = spec_of(&a, i, i % 2);

		val_set_str(&a, val_set_map(&a, doc, F_metadata), F_name, arena_svf(&a, "o%d", i));
		assert_int_equal(client_create(w.c, i % 2 ? w.two : w.one, SV("default"), doc, NULL, NULL, &err), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		streams[i] = (struct stream){ .w = &w };
		streams[i].last = &streams[i].first;
		pthread_mutex_init(&streams[i].lock, NULL);
		pthread_cond_init(&streams[i].cond, NULL);
		assert_int_equal(pthread_create(&seen[i], NULL, watcher, &streams[i]), 0);
	}
	for (size_t i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ &w, (int64_t)i };
		assert_int_equal(pthread_create(&t[i], NULL, worker, &workers[i]), 0);
	}
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		stream_close(&streams[i], seen[i]);
	/* Gone under whoever still asks. */
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(atomic_load(&w.failures), 0);
	apiserver_remove_kinds(w.server, &k, 1);
	api_kind_unref(k);
	world_close(&w);
}

static void test_at_once(void **state)
{
	(void)state;
	all_at_once(false);
}

static void test_later(void **state)
{
	(void)state;
	all_at_once(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_at_once), cmocka_unit_test(test_later) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
