/* The garbage collector and kinds that another server answers: theirs go with their owners and own what is here, and
 * nothing goes because their server does not say. */
#include "real.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/webhook.h"
#include "client/workq.h"

#include <stdio.h>
#include <stdlib.h>

#define MAPS "/api/v1/namespaces/default/configmaps"
#define THINGS ((size_t)8)

/* What the other server has, in namespace default. */
static struct {
	struct thing {
		char name[32], uid[64], owners[400], finalizers[64];
		bool there, deleting;
	} things[THINGS];
	bool down;	 /* it answers 500 */
	bool hang;	 /* about its objects it says nothing, until released */
	bool whole;	 /* it knows of no metadata alone */
	char said[1024]; /* "DELETE a {...};" */
	struct webhook_call *held[100];
	size_t n_held;
	bool slow;	     /* about slows it says nothing, until released */
	size_t gets, counts; /* of things, so far: GETs of one, lists of a namespace */
} far;

static struct thing *thing_named(struct sv name)
{
	for (size_t i = 0; i < THINGS; i++)
		if (far.things[i].there && sv_is(name, far.things[i].name))
			return &far.things[i];
	return NULL;
}

static struct thing *thing(const char *name, const char *uid, const char *owners)
{
	struct thing *t = far.things;

	while (t->there)
		t++;
	assert_true(t < far.things + THINGS);
	*t = (struct thing){ .there = true };
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	(void)snprintf(t->uid, sizeof(t->uid), "%s", uid);
	(void)snprintf(t->owners, sizeof(t->owners), "%s", owners);
	return t;
}

static void thing_text(struct buf *b, const struct thing *t)
{
	buf_printf(b,
		   "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"%s\",\"resourceVersion\":\"x7\","
		   "\"ownerReferences\":[%s]%s%s},\"spec\":{\"any\":[1,2]}}",
		   t->name, t->uid, t->owners, t->finalizers,
		   t->deleting ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"" : "");
}

static void far_object(struct webhook_call *c, const struct webhook_sent *sent, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct thing *t = thing_named(name);
	size_t n = strlen(far.said);

	far.gets += strcmp(sent->method, "GET") == 0;
	if (strcmp(sent->method, "GET") != 0)
		(void)snprintf(far.said + n, sizeof(far.said) - n, "%s %.*s %.*s;", sent->method, SV_ARG(name),
			       SV_ARG(sent->body));
	if (!t) {
		webhook_call_answer(c, 404, SV("application/json"), SV(""), NULL);
		return;
	}
	if (strcmp(sent->method, "DELETE") == 0) {
		assert_true(sv_find_sv(sent->body, sv_from(t->uid)) >= 0);
		t->there = t->finalizers[0];
		t->deleting = t->there;
	} else if (strcmp(sent->method, "PATCH") == 0 && sv_find_sv(sent->body, SV("ownerReferences")) >= 0) {
		t->owners[0] = '\0';
	}
	thing_text(&b, t);
	webhook_call_answer(c, 200, SV("application/json"), buf_sv(&b), NULL);
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *path = strstr(sent->url, ".svc:443") + strlen(".svc:443"), *name = strstr(path, "/things/");
	bool list = strcmp(path, "/apis/far.example.io/v1/things") == 0 ||
		    strcmp(path, "/apis/far.example.io/v1/namespaces/default/things") == 0,
	     slows = strcmp(path, "/apis/far.example.io/v1/namespaces/default/slows") == 0;

	(void)ctx;
	far.counts += list && strstr(path, "/namespaces/");
	if (far.down) {
		webhook_call_answer(c, 500, SV("text/plain"), SV(""), NULL);
	} else if (strcmp(path, "/apis/far.example.io/v1") == 0) {
		webhook_call_answer(
		    c, 200, SV("application/json"),
		    SV("{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"things\",\"kind\":\"Thing\","
		       "\"namespaced\":true,\"verbs\":[\"get\",\"list\",\"watch\",\"delete\",\"patch\"]},"
		       "{\"name\":\"slows\",\"kind\":\"Slow\",\"namespaced\":true,\"verbs\":[\"get\",\"list\","
		       "\"watch\","
		       "\"delete\"]}]}"),
		    NULL);
	} else if ((far.hang && (list || name)) || (far.slow && slows)) {
		assert_true(far.n_held < ARRAY_LEN(far.held));
		far.held[far.n_held++] = c;
	} else if (list) {
		buf_adds(&b, "{\"kind\":\"ThingList\",\"items\":[");
		for (size_t i = 0, n = 0; i < THINGS; i++) {
			if (!far.things[i].there)
				continue;
			buf_adds(&b, n++ ? "," : "");
			thing_text(&b, &far.things[i]);
		}
		buf_adds(&b, "]}");
		webhook_call_answer(c, 200, SV("application/json"), buf_sv(&b), NULL);
	} else if (name) {
		far_object(c, sent, sv_from(name + strlen("/things/")));
	} else {
		webhook_call_answer(c, 404, SV("text/plain"), SV(""), NULL);
	}
}

static const struct webhook_network far_network = { .call = far_call };

static int setup(void **state)
{
	struct rig *r;

	memset(&far, 0, sizeof(far));
	if (rig_setup(state))
		return -1;
	r = *state;
	webhook_set_network(r->server, &far_network);
	return 0;
}

static struct cluster start(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", "/api/v1/namespaces/default/services",
	       "{\"metadata\":{\"name\":\"far\"},\"spec\":{\"ports\":[{\"name\":\"https\",\"port\":443}]}}");
	expect(
	    r, 201, "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
	    "{\"metadata\":{\"name\":\"far\",\"labels\":{\"kubernetes.io/service-name\":\"far\"}},\"addressType\":"
	    "\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.9.9.9\"]}],\"ports\":[{\"name\":\"https\",\"port\":8443}]}");
	expect(
	    r, 201, "POST", "/apis/apiregistration.k8s.io/v1/apiservices",
	    "{\"metadata\":{\"name\":\"v1.far.example.io\"},\"spec\":{\"group\":\"far.example.io\",\"version\":\"v1\","
	    "\"groupPriorityMinimum\":19000,\"versionPriority\":10,\"service\":{\"namespace\":\"default\",\"name\":"
	    "\"far\"}}}");
	cluster_run(&k, 40);
	return k;
}

static const char *of(struct arena *a, const char *api_version, const char *kind, const char *name, struct sv uid)
{
	return arena_printf(a,
			    "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",\"uid\":\"%.*s\","
			    "\"blockOwnerDeletion\":true}",
			    api_version, kind, name, SV_ARG(uid));
}

static struct sv map(struct rig *r, struct arena *a, const char *name, const char *owners)
{
	const struct val *m =
	    expect(r, 201, "POST", MAPS,
		   arena_printf(a, "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[%s]}}", name, owners));

	return arena_sv(a, val_get_str(m, F_metadata, F_uid));
}

static void theirs_go_with_their_owner(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = map(r, &a, "m", "");

	(void)thing("a", "uid-a", of(&a, "v1", "ConfigMap", "m", uid));
	(void)thing("b", "uid-b", "");
	cluster_run(&k, 70);
	assert_string_equal(far.said, "");
	expect(r, 200, "DELETE", MAPS "/m", NULL);
	cluster_run(&k, 40);
	assert_null(thing_named(SV("a")));
	assert_non_null(thing_named(SV("b")));
	assert_non_null(strstr(far.said, "\"propagationPolicy\":\"Background\""));
	cluster_finish(&k);
}

static void ours_go_with_theirs(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct thing *t = thing("a", "uid-a", "");

	cluster_run(&k, 40);
	(void)map(r, &a, "m", of(&a, "far.example.io/v1", "Thing", "a", SV("uid-a")));
	(void)map(r, &a, "other", of(&a, "far.example.io/v1", "Nothing", "a", SV("uid-x")));
	cluster_run(&k, 100);
	expect(r, 200, "GET", MAPS "/m", NULL);
	t->there = false;
	cluster_run(&k, 100);
	expect(r, 404, "GET", MAPS "/m", NULL);
	expect(r, 200, "GET", MAPS "/other", NULL); /* of a kind that nobody has: it may well be there */
	/* One that was never there. */
	(void)map(r, &a, "late", of(&a, "far.example.io/v1", "Thing", "a", SV("uid-a")));
	cluster_run(&k, 40);
	expect(r, 404, "GET", MAPS "/late", NULL);
	cluster_finish(&k);
}

static void nothing_goes_while_their_server_does_not_say(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct thing *t = thing("a", "uid-a", "");

	cluster_run(&k, 40);
	(void)map(r, &a, "m", of(&a, "far.example.io/v1", "Thing", "a", SV("uid-a")));
	cluster_run(&k, 40);
	far.down = true;
	t->there = false;
	cluster_run(&k, 200);
	expect(r, 200, "GET", MAPS "/m", NULL);
	(void)map(r, &a, "n", of(&a, "far.example.io/v1", "Thing", "b", SV("uid-b")));
	cluster_run(&k, 200);
	expect(r, 200, "GET", MAPS "/n", NULL);
	/* Its APIService goes: nobody knows of such a kind any more. */
	expect(r, 200, "DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.far.example.io", NULL);
	cluster_run(&k, 100);
	expect(r, 200, "GET", MAPS "/m", NULL);
	expect(r, 200, "GET", MAPS "/n", NULL);
	cluster_finish(&k);
}

/* One that hangs holds nobody else up. */
static void others_are_collected_meanwhile(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = map(r, &a, "owner", "");

	cluster_run(&k, 40);
	far.hang = true;
	(void)map(r, &a, "theirs", of(&a, "far.example.io/v1", "Thing", "a", SV("uid-a")));
	(void)map(r, &a, "ours", of(&a, "v1", "ConfigMap", "owner", uid));
	cluster_run(&k, 20);
	expect(r, 200, "DELETE", MAPS "/owner", NULL);
	cluster_run(&k, 20);
	expect(r, 404, "GET", MAPS "/ours", NULL);
	expect(r, 200, "GET", MAPS "/theirs", NULL);
	assert_true(far.n_held >= 1 && far.n_held <= 2); /* the object, and the list; not again and again */
	far.hang = false;
	while (far.n_held) {
		struct err err = ERR_INIT;

		err_set(&err, ERR_TIMEOUT, "context deadline exceeded");
		webhook_call_answer(far.held[--far.n_held], 0, SV(""), SV(""), &err);
	}
	cluster_run(&k, 100);
	expect(r, 404, "GET", MAPS "/theirs", NULL);
	cluster_finish(&k);
}

static void orphans_stay(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = map(r, &a, "m", "");

	(void)thing("a", "uid-a", of(&a, "v1", "ConfigMap", "m", uid));
	cluster_run(&k, 70);
	expect(r, 200, "DELETE", MAPS "/m", "{\"propagationPolicy\":\"Orphan\"}");
	cluster_run(&k, 100);
	expect(r, 404, "GET", MAPS "/m", NULL);
	assert_non_null(thing_named(SV("a")));
	assert_string_equal(thing_named(SV("a"))->owners, "");
	assert_null(strstr(far.said, "DELETE"));
	cluster_finish(&k);
}

static void an_owner_waits_for_theirs(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = map(r, &a, "m", "");
	struct thing *t = thing("a", "uid-a", of(&a, "v1", "ConfigMap", "m", uid));

	(void)snprintf(t->finalizers, sizeof(t->finalizers), ",\"finalizers\":[\"example.com/wait\"]");
	cluster_run(&k, 70);
	expect(r, 200, "DELETE", MAPS "/m", "{\"propagationPolicy\":\"Foreground\"}");
	cluster_run(&k, 100);
	expect(r, 200, "GET", MAPS "/m", NULL);
	assert_true(t->deleting);
	t->there = false;
	cluster_run(&k, 70);
	expect(r, 404, "GET", MAPS "/m", NULL);
	cluster_finish(&k);
}

/* It says a uid that is ours, and then that this is gone. */
static void what_is_ours_is_not_theirs_to_say(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = map(r, &a, "owner", "");
	struct thing *t;

	(void)map(r, &a, "m", of(&a, "v1", "ConfigMap", "owner", uid));
	t = thing("evil", arena_cstr(&a, uid), of(&a, "v1", "ConfigMap", "none", SV("uid-none")));
	cluster_run(&k, 70);
	t->there = false;
	cluster_run(&k, 70);
	expect(r, 200, "GET", MAPS "/owner", NULL);
	expect(r, 200, "GET", MAPS "/m", NULL);
	expect(r, 200, "DELETE", MAPS "/owner", "{\"propagationPolicy\":\"Orphan\"}");
	cluster_run(&k, 40);
	expect(r, 404, "GET", MAPS "/owner", NULL);
	expect(r, 200, "GET", MAPS "/m", NULL);
	cluster_finish(&k);
}

/* A quota counts what others have; it refuses nothing there, and keeps what it knew while they do not say. */
static void quotas_count_theirs(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/resourcequotas/q";
	struct cluster k = start(state);
	struct rig *r = k.rig;
	const struct val *used;

	(void)thing("a", "uid-a", "");
	(void)thing("b", "uid-b", "");
	expect(r, 201, "POST", "/api/v1/namespaces/default/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/things.far.example.io\":\"5\",\"count/"
	       "configmaps\":\"9\","
	       "\"count/nothings.far.example.io\":\"1\"}}}");
	cluster_run(&k, 10);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/things.far.example.io")), "2");
	assert_non_null(val_member_sv(used, SV("count/configmaps")));
	assert_null(val_member_sv(used, SV("count/nothings.far.example.io")));
	(void)thing("c", "uid-c", "");
	cluster_run(&k, 40);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/things.far.example.io")), "3");
	far.hang = true;
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	cluster_run(&k, 40);
	far.hang = false;
	while (far.n_held) {
		struct err err = ERR_INIT;

		err_set(&err, ERR_TIMEOUT, "context deadline exceeded");
		webhook_call_answer(far.held[--far.n_held], 0, SV(""), SV(""), &err);
	}
	cluster_run(&k, 5);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/things.far.example.io")), "3");
	cluster_finish(&k);
}

static void release(int status, const char *body)
{
	while (far.n_held)
		webhook_call_answer(far.held[--far.n_held], status, SV("application/json"), sv_from(body), NULL);
}

/* One that does not say holds up neither what is here, nor the others, which are not asked again meanwhile. */
static void quotas_wait_for_nobody(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/resourcequotas/q";
	struct cluster k = start(state);
	struct rig *r = k.rig;
	const struct val *used;

	(void)thing("a", "uid-a", "");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	far.slow = true;
	far.counts = 0;
	expect(r, 201, "POST", "/api/v1/namespaces/default/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/slows.far.example.io\":\"5\",\"count/"
	       "things.far.example.io\":\"5\",\"count/configmaps\":\"9\"}}}");
	cluster_run(&k, 1);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_non_null(val_member_sv(used, SV("count/configmaps")));
	assert_val(val_member_sv(used, SV("count/things.far.example.io")), "1");
	assert_null(val_member_sv(used, SV("count/slows.far.example.io")));
	cluster_run(&k, 4);
	assert_int_equal(far.counts, 1);
	assert_int_equal(far.n_held, 1);
	release(200, "{\"kind\":\"SlowList\",\"items\":[{},{},{}]}");
	cluster_run(&k, 6);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/slows.far.example.io")), "3");
	assert_val(val_member_sv(used, SV("count/things.far.example.io")), "1");
	assert_int_equal(far.counts, 1);
	/* It is silent at the next count: what goes here is counted all the same, and its amount stays. */
	cluster_run(&k, 40);
	assert_int_equal(far.n_held, 1);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/configmaps")), "2"); /* with kube-root-ca.crt */
	expect(r, 200, "DELETE", MAPS "/m", NULL);
	cluster_run(&k, 1);
	used = val_get(expect(r, 200, "GET", path, NULL), F_status, F_used);
	assert_val(val_member_sv(used, SV("count/configmaps")), "1");
	assert_val(val_member_sv(used, SV("count/slows.far.example.io")), "3");
	release(404, "");
	cluster_finish(&k);
}

static size_t gc_runs(void)
{
	static const char name[] = "\nworkqueue_adds_total{name=\"garbage-collector-controller\"} ";
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *at;

	workq_metrics(&b);
	at = strstr(buf_cstr(&b), name);
	assert_non_null(at);
	return strtoul(at + strlen(name), NULL, 10);
}

#define MANY 1500 /* more than there is room for answers */

static void make_many(struct rig *r)
{
	for (int i = 0; i < MANY; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		(void)map(r, &a, arena_printf(&a, "m%d", i),
			  of(&a, "far.example.io/v1", "Thing", arena_printf(&a, "t%d", i), SV("uid-t")));
	}
}

static size_t many_left(struct rig *r)
{
	return val_len(val_get(expect(r, 200, "GET", MAPS, NULL), F_items));
}

/* Each owner is asked for once, and who waits does not keep a core busy. */
static void many_owners_are_asked_for_in_turn(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	size_t others = many_left(r), runs;

	cluster_run(&k, 40); /* its kinds are known */
	far.hang = true;     /* it takes a second */
	runs = gc_runs();
	make_many(r);
	for (int i = 0; i < 60 && many_left(r) > others; i++) {
		cluster_run(&k, 1);
		assert_true(far.n_held <= 80);
		release(404, "");
	}
	assert_int_equal(many_left(r), others);
	assert_true(gc_runs() - runs < (size_t)10 * MANY);
	/* And one that answers at once: more than 100 a second. */
	far.hang = false;
	far.gets = 0;
	make_many(r);
	cluster_run(&k, MANY / 100);
	assert_int_equal(many_left(r), others);
	assert_int_equal(far.gets, MANY);
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_goes_while_their_server_does_not_say, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(what_is_ours_is_not_theirs_to_say, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(others_are_collected_meanwhile, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(quotas_count_theirs, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(quotas_wait_for_nobody, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(many_owners_are_asked_for_in_turn, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(theirs_go_with_their_owner, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(ours_go_with_theirs, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(orphans_stay, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(an_owner_waits_for_theirs, setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
