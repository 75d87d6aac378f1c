/* The client suite: what every struct client_ops must do, on the transport named by $CLIENT.
 *
 * Both transports meet the same API server on the mem store: `local` by function calls, `https`
 * through a listener of this process, TLS and client certificates included. */
#include "client_kit.h"
#include "store/store.h"

#include "client/informer.h"

#include <stdio.h>

/* --- objects --- */

static void create_get(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *made = NULL, *got = NULL, *none = NULL;

	made = make_cm(r, "one", "a", "1");
	assert_sv(obj_name(made), "one");
	assert_true(obj_rev(made) > 0 && obj_uid(made).n > 0);
	assert_sv(obj_get(made, F_kind) ? val_get_str(obj_root(made), F_kind) : SV(""), "ConfigMap");
	/* Who writes is the client's name, unless it says otherwise. */
	assert_sv(val_get_str(val_at(obj_get(made, F_metadata, F_managedFields), 0), F_manager), "conformance");

	assert_int_equal(client_get(r->c, CM, SV("conf"), SV("one"), &got, &err), 0);
	assert_true(obj_same_version(made, got));
	assert_true(val_equal(obj_get(made, F_data), obj_get(got, F_data)));
	assert_sv(val_get_str(obj_root(got), F_apiVersion), "v1");

	assert_int_equal(client_get(r->c, CM, SV("conf"), SV("two"), &none, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	assert_int_equal(err_code(&err), 404);
	assert_string_equal(err_msg(&err), "configmaps \"two\" not found");
	assert_string_equal(err.name, "two");
	assert_string_equal(err.kind, "configmaps");
	assert_null(none);
}

static void already_exists_is_no_conflict(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *made = make_cm(r, "one", "a", "1"), *stale = NULL, *newer = NULL;

	assert_int_equal(
	    client_create(r->c, CM, SV("conf"), obj_root(stale = cm(r, "one", "a", "2")), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	assert_int_equal(err_code(&err), 409);
	err_release(&err);

	{
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct val *doc = obj_edit(&a, made);

		val_set_str_sv(&a, val_ensure_map(&a, doc, F_data), SV("a"), SV("2"));
		assert_int_equal(client_update(r->c, CM, doc, NULL, &newer, &err), 0);
		assert_true(obj_rev(newer) > obj_rev(made));
		/* made is the past now. */
		assert_int_equal(client_update(r->c, CM, doc, NULL, NULL, &err), -1);
		assert_int_equal(err.reason, ERR_CONFLICT);
		assert_int_equal(err_code(&err), 409);
		assert_true(strstr(err_msg(&err), "the object has been modified") != NULL);
		assert_string_equal(err.name, "one");
	}
}

static void update_of_nothing(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *doc = cm(r, "absent", "a", "1");

	assert_int_equal(client_update(r->c, CM, obj_root(doc), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
}

static void invalid_has_causes(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *doc = parse(
	    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[]}}");
	bool found = false;

	assert_int_equal(client_create(r->c, RES(core_pods), SV("conf"), obj_root(doc), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_INVALID);
	assert_int_equal(err_code(&err), 422);
	for (size_t i = 0; i < err.n_causes; i++)
		found |= err.causes[i].field && strcmp(err.causes[i].field, "spec.containers") == 0 &&
			 strcmp(err.causes[i].reason, "FieldValueRequired") == 0;
	assert_true(found);
	assert_string_equal(err.kind, "Pod");
}

static void dry_run_leaves_nothing(void **state)
{
	struct rig *r = *state;
	const struct client_write_opts dry = { .dry_run = true };
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *doc = cm(r, "dry", "a", "1"), *got = NULL, *made = make_cm(r, "wet", "a", "1");

	assert_int_equal(client_create(r->c, CM, SV("conf"), obj_root(doc), &dry, &got, &err), 0);
	assert_sv(obj_name(got), "dry");
	assert_int_equal(client_get(r->c, CM, SV("conf"), SV("dry"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);

	got = obj_unref(got);
	assert_int_equal(patch_text(r, CM, "wet", PATCH_MERGE, "{\"data\":{\"a\":\"2\"}}", &dry, &got, &err), 0);
	assert_sv(val_str(val_member_sv(obj_get(got, F_data), SV("a"))), "2");
	got = obj_unref(got);
	assert_int_equal(client_get(r->c, CM, SV("conf"), SV("wet"), &got, &err), 0);
	assert_true(obj_same_version(made, got));
}

static void four_kinds_of_patch(void **state)
{
	struct rig *r = *state;
	const struct client_write_opts us = { .field_manager = "us" }, them = { .field_manager = "them" },
				       force = { .field_manager = "them", .force = true };
	static const char apply[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"applied\"},"
				    "\"data\":{\"a\":\"%s\"}}";
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *made = make_cm(r, "patched", "a", "1"), *got = NULL;
	char text[256];

	assert_true(obj_rev(made) > 0);
	assert_int_equal(
	    patch_text(r, CM, "patched", PATCH_MERGE, "{\"data\":{\"a\":null,\"b\":\"2\"}}", NULL, &got, &err), 0);
	assert_null(val_member_sv(obj_get(got, F_data), SV("a")));
	got = obj_unref(got);
	assert_int_equal(patch_text(r, CM, "patched", PATCH_JSON,
				    "[{\"op\":\"test\",\"path\":\"/data/b\",\"value\":\"2\"},"
				    "{\"op\":\"add\",\"path\":\"/data/c\",\"value\":\"3\"}]",
				    NULL, &got, &err),
			 0);
	assert_int_equal(val_len(obj_get(got, F_data)), 2);
	got = obj_unref(got);
	assert_int_equal(patch_text(r, CM, "patched", PATCH_STRATEGIC, "{\"metadata\":{\"labels\":{\"l\":\"x\"}}}",
				    NULL, &got, &err),
			 0);
	assert_sv(val_str(val_member_sv(obj_labels(got), SV("l"))), "x");
	got = obj_unref(got);

	(void)snprintf(text, sizeof(text), apply, "1");
	assert_int_equal(patch_text(r, CM, "applied", PATCH_APPLY, text, &us, &got, &err), 0);
	got = obj_unref(got);
	(void)snprintf(text, sizeof(text), apply, "2");
	assert_int_equal(patch_text(r, CM, "applied", PATCH_APPLY, text, &them, &got, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	assert_true(err.n_causes == 1);
	assert_string_equal(err.causes[0].reason, "FieldManagerConflict");
	assert_string_equal(err.causes[0].field, ".data.a");
	err_release(&err);
	assert_int_equal(patch_text(r, CM, "applied", PATCH_APPLY, text, &force, &got, &err), 0);
	assert_sv(val_str(val_member_sv(obj_get(got, F_data), SV("a"))), "2");

	err_release(&err);
	assert_int_equal(patch_text(r, CM, "absent", PATCH_MERGE, "{}", NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
}

static void deleting(void **state)
{
	struct rig *r = *state;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *made = make_cm(r, "gone", "a", "1");

	o.precondition_uid = SV("not-its-uid");
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("gone"), &o, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	o.precondition_uid = obj_uid(made);
	o.precondition_rev = obj_rev(made) + 100;
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("gone"), &o, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	o.precondition_rev = obj_rev(made);
	o.propagation = "Background";
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("gone"), &o, &err), 0);
	assert_int_equal(client_get(r->c, CM, SV("conf"), SV("gone"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("gone"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	o = CLIENT_DELETE_OPTS;
	o.propagation = "Sideways";
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("gone"), &o, &err), -1);
	assert_true(err_code(&err) >= 400 && err_code(&err) < 500);
}

static void subresources(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *pod = make_pod(r, "sub"), *got = NULL, *binding = NULL, *ask = NULL, *token = NULL;
	struct val *doc = obj_edit(&a, pod);

	val_set_cstr(&a, val_ensure_map(&a, doc, F_status), F_message, "from the kubelet");
	val_set_str_sv(&a, val_ensure_map(&a, val_ensure_map(&a, doc, F_metadata), F_annotations), SV("n"), SV("v"));
	assert_int_equal(client_update_status(r->c, RES(core_pods), doc, &got, &err), 0);
	assert_sv(val_get_str(obj_root(got), F_status, F_message), "from the kubelet");

	binding = parse("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"sub\"},"
			"\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"node-1\"}}");
	assert_int_equal(
	    client_create_sub(r->c, RES(core_pods), SV("conf"), SV("sub"), "binding", obj_root(binding), NULL, &err),
	    0);
	got = obj_unref(got);
	assert_int_equal(client_get(r->c, RES(core_pods), SV("conf"), SV("sub"), &got, &err), 0);
	assert_sv(val_get_str(obj_root(got), F_spec, F_nodeName), "node-1");

	ask = parse("{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
		    "\"spec\":{\"audiences\":[\"api\"],\"expirationSeconds\":600}}");
	make_sa(r, "robot");
	assert_int_equal(client_create_sub(r->c, RES(core_serviceaccounts), SV("conf"), SV("robot"), "token",
					   obj_root(ask), &token, &err),
			 0);
	assert_true(val_get_str(obj_root(token), F_status, F_token).n > 20);
}

static void cluster_scoped(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *role = NULL, *got = NULL;

	role = parse("{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\","
		     "\"metadata\":{\"name\":\"conf:reader\"},\"rules\":[]}");
	assert_int_equal(client_create(r->c, RES(rbac_clusterroles), SV(""), obj_root(role), NULL, NULL, &err), 0);
	assert_int_equal(client_get(r->c, RES(rbac_clusterroles), SV(""), SV("conf:reader"), &got, &err), 0);
	assert_sv(obj_name(got), "conf:reader");
	assert_int_equal(client_delete(r->c, RES(rbac_clusterroles), SV(""), SV("conf:reader"), NULL, &err), 0);
}

static void strangers_are_refused(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	_cleanup_obj_ struct obj *doc = cm(r, "x", "a", "1");
	struct seen seen;

	assert_int_equal(client_get(r->stranger, CM, SV("conf"), SV("one"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	assert_true(strstr(err_msg(&err), "User \"stranger\" cannot get resource \"configmaps\"") != NULL);
	err_release(&err);
	assert_int_equal(client_list(r->stranger, CM, SV("conf"), NULL, &l, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	err_release(&err);
	assert_int_equal(client_create(r->stranger, CM, SV("conf"), obj_root(doc), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);

	seen_watch(&seen, r->stranger, CM, "conf", NULL);
	assert_int_equal(seen_end(&seen), ERR_FORBIDDEN);
	seen_close(&seen);
}

/* --- lists --- */

static size_t count(struct rig *r, const char *ns, const struct client_list_opts *o)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };

	if (client_list(r->c, CM, sv_from(ns), o, &l, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return l.n;
}

static void lists(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	_cleanup_obj_ struct obj *first = make_cm_labelled(r, "l1", "color", "red"),
				 *second = make_cm_labelled(r, "l2", "color", "blue"),
				 *third = make_cm_labelled(r, "l3", "color", "red");

	assert_int_equal(
	    client_list(r->c, CM, SV("conf"), &(struct client_list_opts){ .label_selector = "color" }, &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_true(l.rev >= obj_rev(third));
	assert_true(obj_same_version(l.items[0], first));
	assert_true(obj_same_version(l.items[1], second));
	/* Items know what they are, whatever the wire leaves out. */
	assert_sv(val_get_str(obj_root(l.items[0]), F_kind), "ConfigMap");
	assert_sv(val_get_str(obj_root(l.items[0]), F_apiVersion), "v1");

	assert_int_equal(count(r, "conf", &(struct client_list_opts){ .label_selector = "color=red" }), 2);
	assert_int_equal(count(r, "conf", &(struct client_list_opts){ .label_selector = "color in (blue, green)" }), 1);
	assert_int_equal(count(r, "conf", &(struct client_list_opts){ .field_selector = "metadata.name=l2" }), 1);
	assert_int_equal(count(r, "", &(struct client_list_opts){ .label_selector = "color!=red,color" }), 1);
	assert_int_equal(count(r, "elsewhere", NULL), 0);
	/* What is not older than a version we know holds that version. */
	assert_int_equal(
	    count(r, "conf",
		  &(struct client_list_opts){ .label_selector = "color", .resource_version = obj_rev(third) }),
	    3);
	assert_int_equal(
	    count(r, "conf", &(struct client_list_opts){ .label_selector = "color", .resource_version = -1 }), 3);

	obj_list_release(&l);
	assert_int_equal(
	    client_list(r->c, CM, SV("conf"), &(struct client_list_opts){ .label_selector = "a in (" }, &l, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	assert_int_equal(
	    client_list(r->c, CM, SV("conf"), &(struct client_list_opts){ .field_selector = "spec.x=1" }, &l, &err),
	    -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
}

static void long_lists_are_whole(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	char name[32], last[32] = "";

	for (int i = 0; i < 1203; i++) {
		(void)snprintf(name, sizeof(name), "long-%04d", i);
		obj_unref(make_cm_labelled(r, name, "size", "long"));
	}
	assert_int_equal(
	    client_list(r->c, CM, SV("conf"), &(struct client_list_opts){ .label_selector = "size=long" }, &l, &err),
	    0);
	assert_int_equal(l.n, 1203);
	for (size_t i = 0; i < l.n; i++) {
		(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(obj_name(l.items[i])));
		assert_true(strcmp(last, name) < 0);
		memcpy(last, name, sizeof(last));
		assert_true(obj_rev(l.items[i]) <= l.rev);
	}
}

/* --- watches --- */

static void watch_tells_in_order(void **state)
{
	struct rig *r = *state;
	_cleanup_obj_ struct obj *before = make_cm_labelled(r, "w1", "watch", "yes"), *later = NULL, *left = NULL;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client_list_opts o = { .label_selector = "watch=yes", .resource_version = obj_rev(before) };
	struct seen seen;

	seen_watch(&seen, r->c, CM, "conf", &o);
	later = make_cm_labelled(r, "w2", "watch", "yes");
	obj_unref(make_cm_labelled(r, "w3", "watch", "no"));
	assert_int_equal(patch_text(r, CM, "w2", PATCH_MERGE, "{\"data\":{\"a\":\"2\"}}", NULL, NULL, &err), 0);
	/* Leaving the selection is a deletion, coming back an addition. */
	assert_int_equal(
	    patch_text(r, CM, "w1", PATCH_MERGE, "{\"metadata\":{\"labels\":{\"watch\":\"no\"}}}", NULL, &left, &err),
	    0);
	assert_int_equal(
	    patch_text(r, CM, "w3", PATCH_MERGE, "{\"metadata\":{\"labels\":{\"watch\":\"yes\"}}}", NULL, NULL, &err),
	    0);
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("w2"), NULL, &err), 0);
	seen_wait(&seen, 5);
	seen_expect(&seen, 0, WATCH_ADDED, "w2");
	seen_expect(&seen, 1, WATCH_MODIFIED, "w2");
	seen_expect(&seen, 2, WATCH_DELETED, "w1");
	seen_expect(&seen, 3, WATCH_ADDED, "w3");
	seen_expect(&seen, 4, WATCH_DELETED, "w2");
	assert_true(obj_same_version(seen.events.p[0].o, later));
	assert_true(obj_rev(seen.events.p[2].o) == obj_rev(left));
	for (size_t i = 1; i < 5; i++)
		assert_true(obj_rev(seen.events.p[i - 1].o) < obj_rev(seen.events.p[i].o));
	seen_close(&seen);
}

static void watch_without_version_starts_with_what_is(void **state)
{
	struct rig *r = *state;
	struct seen seen;

	obj_unref(make_cm_labelled(r, "i1", "init", "yes"));
	obj_unref(make_cm_labelled(r, "i2", "init", "yes"));
	seen_watch(&seen, r->c, CM, "conf", &(struct client_list_opts){ .label_selector = "init=yes" });
	seen_wait(&seen, 2);
	seen_expect(&seen, 0, WATCH_ADDED, "i1");
	seen_expect(&seen, 1, WATCH_ADDED, "i2");
	obj_unref(make_cm_labelled(r, "i3", "init", "yes"));
	seen_wait(&seen, 3);
	seen_expect(&seen, 2, WATCH_ADDED, "i3");
	seen_close(&seen);
}

static char *big_text(size_t n)
{
	char *s = xmalloc(n + 1);

	memset(s, 'x', n);
	s[n] = '\0';
	return s;
}

/* More history than the server has in memory (8 MiB a resource) is still told; what the store forgot has expired. */
static void old_versions_have_expired(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *old = make_cm(r, "old", "a", "1");
	_cleanup_free_ char *big = big_text(900 * 1024);
	struct seen seen;

	for (int i = 0; i < 12; i++) {
		_cleanup_free_ char *text = xasprintf("{\"data\":{\"i\":\"%d\",\"big\":\"%s\"}}", i, big);

		assert_int_equal(patch_text(r, CM, "old", PATCH_MERGE, text, NULL, NULL, &err), 0);
	}
	seen_watch(&seen, r->c, CM, "conf", &(struct client_list_opts){ .resource_version = obj_rev(old) });
	seen_wait(&seen, 12);
	seen_close(&seen);
	assert_int_equal(store_compact(r->store, obj_rev(old) + 12, &err), 0);
	seen_watch(&seen, r->c, CM, "conf", &(struct client_list_opts){ .resource_version = obj_rev(old) });
	assert_int_equal(seen_end(&seen), ERR_EXPIRED);
	assert_int_equal(seen.events.n, 0);
	seen_close(&seen);
}

static void nothing_comes_after_unwatch(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct seen seen, other;
	size_t n = 0;

	obj_unref(make_cm_labelled(r, "u0", "un", "yes"));
	seen_watch(&seen, r->c, CM, "conf", &(struct client_list_opts){ .label_selector = "un=yes" });
	seen_watch(&other, r->c, CM, "conf", &(struct client_list_opts){ .label_selector = "un=yes" });
	seen_wait(&seen, 1);
	for (int i = 0; i < 50; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "{\"data\":{\"i\":\"%d\"}}", i);
		assert_int_equal(patch_text(r, CM, "u0", PATCH_MERGE, text, NULL, NULL, &err), 0);
		if (i == 25) {
			client_unwatch(r->c, TAKE(seen.w));
			n = seen.events.n; /* nobody writes it any more: no lock, and TSan looks on */
		}
	}
	seen_wait_rev(&other, r, "u0");
	assert_true(seen.events.n == n && !seen.ended);
	seen_close(&seen);
	seen_close(&other);
}

static void unwatch_from_a_callback(void **state)
{
	struct rig *r = *state;
	struct seen seen;

	seen_init(&seen, r->c);
	seen.stop_at = 1;
	obj_unref(make_cm_labelled(r, "cb1", "cb", "yes"));
	obj_unref(make_cm_labelled(r, "cb2", "cb", "yes"));
	seen_start(&seen, CM, "conf", &(struct client_list_opts){ .label_selector = "cb=yes" });
	seen_wait(&seen, 1);
	assert_int_equal(seen.events.n, 1);
	seen_close(&seen);
	assert_int_equal(seen.events.n, 0);
}

static void large_objects_and_slow_readers(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *big = big_text(700 * 1024), *text = NULL;
	struct seen seen;

	obj_unref(make_cm_labelled(r, "large", "large", "yes"));
	seen_init(&seen, r->c);
	seen.hold = true; /* the first callback waits, so that events pile up */
	seen_start(&seen, CM, "conf", &(struct client_list_opts){ .label_selector = "large=yes" });
	for (int i = 0; i < 10; i++) { /* 7 MB: a watch that leaves more unread is ended */
		free(text);
		text = xasprintf("{\"data\":{\"i\":\"%d\",\"big\":\"%s\"}}", i, big);
		assert_int_equal(patch_text(r, CM, "large", PATCH_MERGE, text, NULL, NULL, &err), 0);
	}
	seen_let_go(&seen);
	seen_wait_rev(&seen, r, "large");
	seen_close(&seen);
}

static void informers_run_on_it(void **state)
{
	struct rig *r = *state;
	struct informer_factory *f = informer_factory_new(r->c);
	struct informer *i = informer_get(f, CM, "conf", "inf=yes", NULL);
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct tally t;

	obj_unref(make_cm_labelled(r, "inf1", "inf", "yes"));
	tally_init(&t);
	informer_add_handler(i, &tally_handler, &t);
	informer_factory_start(f);
	tally_wait(&t, 1, 0);
	obj_unref(make_cm_labelled(r, "inf2", "inf", "yes"));
	tally_wait(&t, 2, 0);
	assert_int_equal(client_delete(r->c, CM, SV("conf"), SV("inf1"), NULL, &err), 0);
	tally_wait(&t, 2, 1);
	informer_factory_free(f);
	tally_release(&t);
}

/* Last: the server leaves. */
static void watches_end_with_the_server(void **state)
{
	struct rig *r = *state;
	struct seen seen;

	seen_watch(&seen, r->c, CM, "conf", &(struct client_list_opts){ .label_selector = "color=red" });
	seen_wait(&seen, 1);
	apiserver_shutdown(r->server);
	(void)seen_end(&seen);
	seen_close(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(create_get, clean),
		cmocka_unit_test_teardown(already_exists_is_no_conflict, clean),
		cmocka_unit_test_teardown(update_of_nothing, clean),
		cmocka_unit_test_teardown(invalid_has_causes, clean),
		cmocka_unit_test_teardown(dry_run_leaves_nothing, clean),
		cmocka_unit_test_teardown(four_kinds_of_patch, clean),
		cmocka_unit_test_teardown(deleting, clean),
		cmocka_unit_test_teardown(subresources, clean),
		cmocka_unit_test_teardown(cluster_scoped, clean),
		cmocka_unit_test_teardown(strangers_are_refused, clean),
		cmocka_unit_test_teardown(long_lists_are_whole, clean),
		cmocka_unit_test_teardown(watch_tells_in_order, clean),
		cmocka_unit_test_teardown(watch_without_version_starts_with_what_is, clean),
		cmocka_unit_test_teardown(old_versions_have_expired, clean),
		cmocka_unit_test_teardown(nothing_comes_after_unwatch, clean),
		cmocka_unit_test_teardown(unwatch_from_a_callback, clean),
		cmocka_unit_test_teardown(large_objects_and_slow_readers, clean),
		cmocka_unit_test_teardown(informers_run_on_it, clean),
		cmocka_unit_test(lists),
		cmocka_unit_test(watches_end_with_the_server),
	};

	return cmocka_run_group_tests_name(getenv("CLIENT") ? getenv("CLIENT") : "local", tests, rig_setup,
					   rig_teardown);
}
