/* The in-process client: calls, and watches as tasks of the env. */
#include "harness.h"

#include "client/informer.h"

static struct val *configmap(struct arena *a, const char *name, const char *value)
{
	struct val *doc = val_new_map(a);

	val_set_cstr(a, val_set_map(a, doc, F_metadata), F_name, name);
	val_set_str_sv(a, val_set_map(a, doc, F_data), SV("k"), sv_from(value));
	return doc;
}

static void test_calls(void **state)
{
	struct rig *r = *state;
	const struct resource *res = RES(core_configmaps);
	struct client *c = r->client;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	struct obj *o = NULL, *p = NULL;
	struct err err = ERR_INIT;
	struct val *doc;

	assert_int_equal(client_create(c, res, SV("default"), configmap(&r->arena, "a", "1"), NULL, &o, &err), 0);
	assert_sv(obj_name(o), "a");
	assert_int_equal(client_create(c, res, SV("default"), configmap(&r->arena, "a", "1"), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	assert_string_equal(err_msg(&err), "configmaps \"a\" already exists");
	err_release(&err);
	assert_int_equal(client_get(c, res, SV("default"), SV("a"), &p, &err), 0);
	assert_ptr_equal(o, p); /* the very same object, not a copy */
	obj_unref(p);

	doc = obj_edit(&r->arena, o);
	val_set_str_sv(&r->arena, val_ensure_map(&r->arena, doc, F_data), SV("k"), SV("2"));
	assert_int_equal(client_update(c, res, doc, NULL, &p, &err), 0);
	assert_true(obj_rev(p) > obj_rev(o));
	doc = obj_edit(&r->arena, o); /* the old version again */
	val_set_str_sv(&r->arena, val_ensure_map(&r->arena, doc, F_data), SV("k"), SV("3"));
	assert_int_equal(client_update(c, res, doc, NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	obj_unref(o);
	obj_unref(p);

	doc = val_new_map(&r->arena);
	val_set_str_sv(&r->arena, val_set_map(&r->arena, doc, F_data), SV("j"), SV("x"));
	assert_int_equal(client_patch(c, res, SV("default"), SV("a"), PATCH_MERGE, doc, NULL, &o, &err), 0);
	assert_int_equal(val_len(obj_get(o, F_data)), 2);
	obj_unref(o);
	assert_int_equal(client_list(c, res, SV("default"), NULL, &l, &err), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(client_delete(c, res, SV("default"), SV("a"), NULL, &err), 0);
	assert_int_equal(client_get(c, res, SV("default"), SV("a"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
}

static void test_identity(void **state)
{
	struct rig *r = *state;
	struct client *c = apiserver_client(r->server, "eve", "eve", NULL);
	struct err err = ERR_INIT;

	assert_int_equal(
	    client_create(c, RES(core_configmaps), SV("default"), configmap(&r->arena, "a", "1"), NULL, NULL, &err),
	    -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	err_release(&err);
	assert_int_equal(client_get(c, RES(core_configmaps), SV("default"), SV("a"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	err_release(&err);
	client_free(c);
}

struct seen {
	int events, ends;
	enum watch_type last;
	struct client *c;
	struct client_watch *w, *close_at_event;
};

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct seen *s = ctx;

	(void)o;
	s->events++;
	s->last = t;
	if (s->close_at_event) {
		client_unwatch(s->c, s->close_at_event);
		s->close_at_event = NULL;
	}
}

static void on_end(const struct err *why, void *ctx)
{
	struct seen *s = ctx;

	(void)why;
	s->ends++;
}

static void test_watch(void **state)
{
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	struct rig *r = *state;
	const struct resource *res = RES(core_configmaps);
	struct seen s = { .c = r->client };
	struct client_watch *w;
	struct err err = ERR_INIT;

	client_create(r->client, res, SV("default"), configmap(&r->arena, "a", "1"), NULL, NULL, &err);
	assert_int_equal(client_watch(r->client, res, SV("default"), NULL, &cb, &s, &w, &err), 0);
	assert_int_equal(s.events, 0); /* never from within the call */
	rig_run(r, 0);
	assert_int_equal(s.events, 1);
	client_delete(r->client, res, SV("default"), SV("a"), NULL, &err);
	rig_run(r, 0);
	assert_int_equal(s.events, 2);
	assert_int_equal(s.last, WATCH_DELETED);
	/* Closing from inside a callback. */
	s.close_at_event = w;
	client_create(r->client, res, SV("default"), configmap(&r->arena, "b", "1"), NULL, NULL, &err);
	client_create(r->client, res, SV("default"), configmap(&r->arena, "c", "1"), NULL, NULL, &err);
	rig_run(r, 0);
	assert_int_equal(s.events, 3);
	assert_int_equal(s.ends, 0);

	assert_int_equal(client_watch(r->client, res, SV("default"), NULL, &cb, &s, &w, &err), 0);
	apiserver_shutdown(r->server);
	rig_run(r, 0);
	assert_int_equal(s.ends, 1);
	client_unwatch(r->client, w);
}

static void test_informer(void **state)
{
	struct rig *r = *state;
	struct informer_factory *f = informer_factory_new(r->client);
	struct informer *i = informer_get(f, RES(core_configmaps), "default", NULL, NULL);
	struct err err = ERR_INIT;

	client_create(r->client, RES(core_configmaps), SV("default"), configmap(&r->arena, "a", "1"), NULL, NULL, &err);
	informer_factory_start(f);
	rig_run(r, NS_PER_SEC);
	assert_true(informer_synced(i));
	assert_int_equal(informer_count(i), 1);
	client_create(r->client, RES(core_configmaps), SV("default"), configmap(&r->arena, "b", "1"), NULL, NULL, &err);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(informer_count(i), 2);
	informer_factory_free(f);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_calls), T(test_identity), T(test_watch), T(test_informer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
