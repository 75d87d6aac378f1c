/* The informer against a scripted client: lists and watches are what the test says. */
#include "unit.h"

#include "base/arena.h"
#include "client/informer.h"
#include "sim/env_sim.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_watch {
	struct client_watch_cb cb;
	void *ctx;
};

struct fake {
	struct client c;
	struct obj *items[8];
	size_t n;
	int64_t rev;
	int lists, fail_lists;
	int errnum; /* of the failures */
	struct fake_watch *watch;
	const char *const *paths[2]; /* asked about in the list, when it has any */
	bool kept_name, kept_both;
};

static int fake_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		     struct obj_list *ret, struct err *err)
{
	struct fake *f = (struct fake *)c;

	(void)r;
	(void)ns;
	f->kept_name = o->keep && keep_has(o->keep, f->paths[0]);
	f->kept_both = f->kept_name && keep_has(o->keep, f->paths[1]);
	f->lists++;
	if (f->fail_lists > 0) {
		f->fail_lists--;
		(void)err_set(err, ERR_UNAVAILABLE, "down");
		if (err)
			err->errnum = f->errnum;
		return -1;
	}
	ret->items = xcalloc(f->n, sizeof(*ret->items));
	for (size_t i = 0; i < f->n; i++)
		ret->items[i] = obj_ref(f->items[i]);
	ret->n = f->n;
	ret->rev = f->rev;
	return 0;
}

static int fake_watch_start(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
			    const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	struct fake *f = (struct fake *)c;

	(void)r;
	(void)ns;
	(void)err;
	assert_true(o->resource_version == f->rev);
	f->watch = xcalloc(1, sizeof(*f->watch));
	f->watch->cb = *cb;
	f->watch->ctx = ctx;
	*ret = (struct client_watch *)f->watch;
	return 0;
}

static void fake_unwatch(struct client *c, struct client_watch *w)
{
	struct fake *f = (struct fake *)c;

	if ((struct fake_watch *)w == f->watch)
		f->watch = NULL;
	free(w);
}

static const struct client_ops fake_ops = { .list = fake_list, .watch = fake_watch_start, .unwatch = fake_unwatch };

static struct obj *pod(const char *ns, const char *name, const char *node, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *p = val_new_map(&a), *m = val_set_map(&a, p, F_metadata);

	val_set_cstr(&a, m, F_name, name);
	val_set_cstr(&a, m, F_namespace, ns);
	val_set_strf(&a, m, F_uid, "uid-%s", name);
	m = val_set_map(&a, p, F_spec);
	val_set_cstr(&a, m, F_nodeName, node);
	return obj_new(p, rev);
}

struct seen {
	char log[1024];
};

static void note(struct seen *s, const char *what, struct obj *o)
{
	size_t n = strlen(s->log);

	snprintf(s->log + n, sizeof(s->log) - n, "%s %.*s@%d;", what, SV_ARG(obj_name(o)), (int)obj_rev(o));
}

static void on_add(struct obj *o, void *ctx)
{
	note(ctx, "add", o);
}

static void on_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	note(ctx, "update", neu);
}

static void on_del(struct obj *o, void *ctx)
{
	note(ctx, "del", o);
}

static const struct informer_handler noting = { .add = on_add, .update = on_update, .del = on_del };

static void by_node(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(o, F_spec, F_nodeName)));
}

static void event(struct fake *f, enum watch_type t, struct obj *o_take)
{
	f->rev = obj_rev(o_take);
	f->watch->cb.event(t, o_take, f->watch->ctx);
	obj_unref(o_take);
}

/* How often a server that fails for five minutes is asked in the last one. */
static int asked_in_the_end(int errnum)
{
	struct env *env = env_sim_new(7, 0, false);
	struct fake f = { .c = { .ops = &fake_ops, .env = env, .name = "test" },
			  .fail_lists = INT_MAX,
			  .errnum = errnum };
	struct informer_factory *fac = informer_factory_new(&f.c);
	int before;

	(void)informer_get(fac, RES(core_pods), NULL, NULL, NULL);
	informer_factory_start(fac);
	env_sim_run(env, 240 * NS_PER_SEC);
	before = f.lists;
	env_sim_run(env, 60 * NS_PER_SEC);
	informer_factory_free(fac);
	env_sim_run(env, NS_PER_SEC);
	env_sim_free(env);
	return f.lists - before;
}

/* One that answers is left alone for ever longer; where nobody is, it costs nothing to ask, and is soon known. */
static void test_pauses(void **state)
{
	int n;

	(void)state;
	n = asked_in_the_end(0);
	assert_true(n >= 1 && n <= 3);
	n = asked_in_the_end(ECONNREFUSED);
	assert_true(n >= 10 && n <= 21);
}

static void test_life(void **state)
{
	struct env *env = env_sim_new(7, 0, false);
	struct fake f = { .c = { .ops = &fake_ops, .env = env, .name = "test" }, .rev = 10, .fail_lists = 2 };
	struct informer_factory *fac = informer_factory_new(&f.c);
	struct informer *i = informer_get(fac, RES(core_pods), NULL, NULL, NULL);
	struct seen early = { { 0 } }, late = { { 0 } };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err gone = ERR_INIT;
	struct obj **list;
	size_t n;

	(void)state;
	assert_ptr_equal(i, informer_get(fac, RES(core_pods), "", NULL, NULL));
	informer_add_index(i, "node", by_node);
	informer_add_handler(i, &noting, &early);
	f.items[f.n++] = pod("default", "a", "n1", 5);
	f.items[f.n++] = pod("default", "b", "n2", 6);
	f.items[f.n++] = pod("kube-system", "c", "n1", 7);
	informer_factory_start(fac);
	assert_false(informer_factory_synced(fac));
	env_sim_run(env, 10 * NS_PER_SEC);
	assert_int_equal(f.lists, 3);
	assert_true(informer_factory_synced(fac));
	assert_string_equal(early.log, "add a@5;add b@6;add c@7;");

	/* Changes keep the indexes right. */
	event(&f, WATCH_MODIFIED, pod("default", "a", "n2", 11));
	event(&f, WATCH_DELETED, pod("default", "b", "n2", 12));
	env_sim_run(env, NS_PER_SEC);
	assert_string_equal(early.log, "add a@5;add b@6;add c@7;update a@11;del b@12;");
	list = informer_by_index(i, &a, "node", SV("n2"), &n);
	assert_int_equal(n, 1);
	assert_sv(obj_name(list[0]), "a");
	informer_list(i, &a, SV("default"), &n);
	assert_int_equal(n, 1);
	assert_int_equal(informer_count(i), 2);

	/* A later handler hears of everything known. */
	informer_add_handler(i, &noting, &late);
	env_sim_run(env, NS_PER_SEC);
	assert_string_equal(late.log, "add a@11;add c@7;");

	/* Too old: list again; c vanished meanwhile, d is new, a is unchanged. */
	early.log[0] = '\0';
	obj_unref(f.items[0]);
	obj_unref(f.items[1]);
	f.items[0] = pod("default", "a", "n2", 11);
	f.items[1] = pod("default", "d", "n3", 20);
	obj_unref(f.items[2]);
	f.n = 2;
	f.rev = 30;
	err_set(&gone, ERR_EXPIRED, "too old");
	f.watch->cb.end(&gone, f.watch->ctx);
	err_release(&gone);
	env_sim_run(env, NS_PER_SEC);
	assert_string_equal(early.log, "add d@20;del c@7;");
	assert_true(informer_rev(i) == 30);
	list = informer_by_index(i, &a, "node", SV("n1"), &n);
	assert_int_equal(n, 0);

	fac = informer_factory_free(fac);
	env_sim_run(env, NS_PER_SEC);
	assert_null(f.watch);
	for (size_t k = 0; k < f.n; k++)
		obj_unref(f.items[k]);
	env_sim_free(env);
}

/* --- the index itself --- */

#define OBJECTS 30
#define CLAIMS 12 /* of one object; it has the first twice */

static void by_claim(const struct obj *o, struct index_keys *ret)
{
	VAL_EACH(obj_get(o, F_spec, F_volumes), v)
		index_keys_add_ref(ret, obj_ns(o), val_get_str(v, F_name));
}

/* Object i has the claims i, i + 1, ... and the first once more. */
static struct obj *with_claims(size_t i, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *o = val_new_map(&a), *meta = val_set_map(&a, o, F_metadata), *list;

	val_set_strf(&a, meta, F_name, "o%zu", i);
	val_set_cstr(&a, meta, F_namespace, "ns");
	list = val_set_list(&a, val_set_map(&a, o, F_spec), F_volumes);
	for (size_t k = 0; k <= CLAIMS; k++) {
		struct val *v = val_new_map(&a);

		val_set_strf(&a, v, F_name, "c%zu", i + (k ? k - 1 : 0));
		val_push(&a, list, v);
	}
	return obj_new(o, rev);
}

static size_t users_of(const struct index *x, size_t claim)
{
	_cleanup_free_ char *key = xasprintf("ns/c%zu", claim);
	const struct index_bucket *b = index_bucket(x, "claim", sv_from(key));

	for (size_t i = 0; b && i < b->n; i++) { /* each knows the other */
		const struct index_place *p = &b->members[i].entry->places[b->members[i].place];

		assert_ptr_equal(p->bucket, b);
		assert_int_equal(p->at, i);
	}
	return b ? b->n : 0;
}

static void test_index(void **state)
{
	bool there[OBJECTS] = { false };
	struct index x;

	(void)state;
	index_init(&x);
	index_add(&x, "early", by_claim);
	for (size_t step = 0; step < 4 * OBJECTS; step++) {
		size_t i = step * 7 % OBJECTS;

		if (step == OBJECTS) /* what is there already is in it, too */
			index_add(&x, "claim", by_claim);
		if (there[i] && step % 3) {
			_cleanup_free_ char *name = xasprintf("o%zu", i);

			obj_unref(index_del(&x, SV("ns"), sv_from(name)));
			there[i] = false;
		} else {
			struct obj *o = with_claims(i, (int64_t)step + 1);

			obj_unref(index_put(&x, o, NULL));
			obj_unref(o);
			there[i] = true;
		}
		for (size_t claim = 0; step >= OBJECTS && claim < OBJECTS + CLAIMS; claim++) {
			size_t want = 0;

			for (size_t k = 0; k < OBJECTS; k++)
				want += there[k] && k <= claim && claim < k + CLAIMS;
			assert_int_equal(users_of(&x, claim), want);
		}
	}
	index_release(&x);
}

/* What several say that they read is asked for together; of other resources, everything. */
static void test_keep(_unused_ void **state)
{
	static const char *const name[] = { "spec nodeName", NULL }, *const phase[] = { "status phase", NULL };
	struct env *env = env_sim_new(1, 0, false);
	struct fake f = { .c = { .ops = &fake_ops, .env = env }, .paths = { name, phase } };
	struct informer_factory *fac = informer_factory_new(&f.c);

	informer_factory_keep(fac, RES(core_pods), name);
	informer_factory_keep(fac, RES(core_pods), phase);
	(void)informer_get(fac, RES(core_pods), NULL, NULL, NULL);
	informer_factory_keep(fac, RES(core_pods), name); /* it is said already */
	informer_factory_start(fac);
	env_sim_run(env, NS_PER_SEC);
	assert_true(f.kept_both);
	(void)informer_get(fac, RES(core_nodes), NULL, NULL, NULL);
	env_sim_run(env, NS_PER_SEC);
	assert_int_equal(f.lists, 2);
	assert_false(f.kept_name);
	informer_factory_free(fac);
	env_sim_run(env, NS_PER_SEC);
	env_sim_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_life), cmocka_unit_test(test_pauses),
					    cmocka_unit_test(test_index), cmocka_unit_test(test_keep) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
