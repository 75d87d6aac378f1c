/* Two servers on one store, with the threads and the environment of production, each with clients that take and give
 * back Services until the range is full: what one has nobody else has. They start at the same moment, on a store that
 * is empty, and write what must exist both. */
#include "unit.h"

#include "apiserver/apiserver.h"
#include "base/strmap.h"
#include "codec/json.h"
#include "ev/ev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLIENTS 4 /* two a server */
#define SPOTS 61  /* of a /26: neither the first nor the last, nor the API server's own */
#define ROUNDS 3

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *servers[2];
	struct client *clients[2];
};

struct starter {
	struct world *w;
	int i;
};

static void *start_one(void *ctx)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct starter *st = ctx;
	struct world *w = st->w;
	struct err err = ERR_INIT;

	w->servers[st->i] = apiserver_new(&(struct apiserver_opts){ .env = w->env,
								    .store = w->store,
								    .service_cidr = "10.43.0.0/26",
								    .node_port_range = "30000-30099",
								    .advertise_address = "192.0.2.1",
								    .insecure_in_memory = true },
					  &err);
	if (!w->servers[st->i])
		print_error("%s\n", err_msg(&err));
	else
		w->clients[st->i] = apiserver_client(w->servers[st->i], "several", "several", masters);
	err_release(&err);
	return NULL;
}

static void start(struct world *w, struct store *(*make)(struct env *env, const char *dir), const char *dir)
{
	struct starter st[2];
	pthread_t t[2];

	*w = (struct world){ .env = env_real_new(4) };
	w->store = make(w->env, dir);
	for (int i = 0; i < 2; i++) {
		st[i] = (struct starter){ w, i };
		assert_int_equal(pthread_create(&t[i], NULL, start_one, &st[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_non_null(w->servers[i]);
	}
}

static void stop(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		client_free(w->clients[i]);
		apiserver_free(w->servers[i]);
	}
	store_close(w->store);
	env_real_free(w->env);
}

/* --- taking and giving back --- */

struct taker {
	struct world *w;
	int id;
	int made, full, kept, failures;
};

static struct val *doc_of(struct arena *a, const char *name, bool node_port)
{
	return json_decode(
	    a,
	    arena_svf(a, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"ports\":[{\"port\":80}],\"type\":\"%s\"}}", name,
		      node_port ? "NodePort" : "ClusterIP"),
	    NULL, NULL);
}

static bool make(struct taker *t, int i)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	int rc = client_create(t->w->clients[t->id % 2], RES(core_services), SV("default"),
			       doc_of(&a, arena_printf(&a, "s%d-%d", t->id, i), i % 2), NULL, NULL, &err);
	bool full = rc < 0 && strstr(err_msg(&err), "range is full");

	if (rc < 0 && !full)
		print_error("%s\n", err_msg(&err));
	t->made += rc == 0;
	t->full += full;
	t->failures += rc < 0 && !full;
	err_release(&err);
	return rc == 0;
}

/* Until nothing is left; then half of it is given back, by whichever server. */
static void *take(void *ctx)
{
	struct taker *t = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char mine[SPOTS + 8] = { 0 };

	for (int round = 0; round < ROUNDS; round++) {
		int seen = t->full;

		for (int i = 0; i < SPOTS + 1 && t->full < seen + 2; i++)
			if (!mine[i])
				mine[i] = make(t, i);
		for (int i = 0; round + 1 < ROUNDS && i < SPOTS; i += 2)
			if (mine[i]) {
				struct err err = ERR_INIT;

				t->failures +=
				    client_delete(t->w->clients[(t->id + i / 2) % 2], RES(core_services), SV("default"),
						  sv_from(arena_printf(&a, "s%d-%d", t->id, i)), NULL, &err) < 0;
				mine[i] = 0;
				err_release(&err);
			}
	}
	for (size_t i = 0; i < sizeof(mine); i++)
		t->kept += mine[i];
	return NULL;
}

static int collect_claim(const struct store_kv *kv, void *ctx)
{
	struct strmap *m = ctx;
	size_t name = kv->key.n;

	while (kv->key.p[name - 1] != '/')
		name--;
	assert_null(strmap_set(m, sv_sub(kv->key, name, kv->key.n), m));
	return 0;
}

/* Every number once, claimed, and nothing else is. */
static void verify(struct world *w, size_t services)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_(strmap_release) struct strmap had = STRMAP_INIT, claimed = STRMAP_INIT;
		struct client_list_opts none = { 0 };
		struct obj_list l = { 0 };

		assert_int_equal(store_range(w->store, SV("/caravel/claims/"), SV("/caravel/claims0"), 0, 0,
					     collect_claim, &claimed, NULL, NULL),
				 0);
		assert_int_equal(store_range(w->store, SV("/registry/ipaddresses/"), SV("/registry/ipaddresses0"), 0, 0,
					     collect_claim, &claimed, NULL, NULL),
				 0);
		assert_int_equal(client_list(w->clients[i], RES(core_services), SV("default"), &none, &l, NULL), 0);
		assert_int_equal(l.n, services + 1);
		for (size_t k = 0; k < l.n; k++) {
			struct sv ip = val_str(obj_get(l.items[k], F_spec, F_clusterIP));
			char port[16];

			assert_null(strmap_set(&had, ip, l.items[k]));
			assert_true(strmap_has(&claimed, ip));
			VAL_EACH(obj_get(l.items[k], F_spec, F_ports), p) {
				if (!val_get_int(p, 0, F_nodePort))
					continue;
				snprintf(port, sizeof(port), "%d", (int)val_get_int(p, 0, F_nodePort));
				assert_null(strmap_set(&had, sv_from(port), l.items[k]));
				assert_true(strmap_has(&claimed, sv_from(port)));
			}
		}
		assert_int_equal(claimed.n, had.n);
		obj_list_release(&l);
	}
}

static void run(struct store *(*store_of)(struct env *env, const char *dir), const char *dir)
{
	struct world w;
	struct taker takers[CLIENTS];
	pthread_t threads[CLIENTS];
	int kept = 0;
	struct taker last;

	start(&w, store_of, dir);
	for (int i = 0; i < CLIENTS; i++) {
		takers[i] = (struct taker){ .w = &w, .id = i };
		assert_int_equal(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(takers[i].failures, 0);
		kept += takers[i].kept;
	}
	assert_true(kept <= SPOTS);
	verify(&w, (size_t)kept);
	/* What is left is there for either: the range becomes exactly full. */
	for (int k = 0; k < 2; k++) {
		last = (struct taker){ .w = &w, .id = 10 + k };
		for (int i = 0; i < (k ? SPOTS + 1 : (SPOTS - kept) / 2); i++)
			(void)make(&last, i);
		kept += last.made;
		assert_int_equal(last.failures, 0);
	}
	assert_int_equal(kept, SPOTS);
	verify(&w, SPOTS);
	stop(&w);
}

static struct store *on_disk(struct env *env, const char *dir)
{
	struct err err = ERR_INIT;
	struct store *s = store_disk_open(env, dir, (size_t)1 << 30, &err);

	assert_non_null(s);
	return s;
}

static struct store *in_memory(struct env *env, const char *dir)
{
	(void)dir;
	return store_mem_new(env);
}

static void test_disk(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/caravel-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	run(on_disk, dir);
	assert_int_equal(system(arena_printf(&a, "rm -rf %s", dir)), 0);
}

static void test_memory(void **state)
{
	(void)state;
	run(in_memory, NULL);
}

/* The start alone, often: they meet at other places each time. */
static void test_start(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct world w;

		start(&w, in_memory, NULL);
		verify(&w, 0);
		stop(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
