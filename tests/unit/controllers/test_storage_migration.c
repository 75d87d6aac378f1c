/* StorageVersionMigrations on the real server: objects of a kind whose storage version has changed. */
#include "real.h"

#include "apiserver/encryption/encryption.h"
#include "base/file.h"
#include "store/store.h"

#include <stdio.h>
#include <unistd.h>

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define WIDGETS "/apis/example.com/v1/namespaces/default/widgets"
#define MIGRATIONS "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
#define MERGE "application/merge-patch+json"

#define VERSION(name, storage)                                                                            \
	"{\"name\":\"" name "\",\"served\":true,\"storage\":" storage ",\"schema\":{\"openAPIV3Schema\":" \
	"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}"
#define VERSIONS(first, second) "\"versions\":[" VERSION("v1", first) "," VERSION("v2", second) "]"

static struct cluster world(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", CRDS,
	       "{\"metadata\":{\"name\":\"widgets.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":"
	       "\"Namespaced\","
	       "\"names\":{\"plural\":\"widgets\",\"kind\":\"Widget\"}," VERSIONS("true", "false") "}}");
	cluster_run(&k, 2);
	return k;
}

static void migrate(struct rig *r, const char *name, const char *group, const char *resource)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	expect(r, 201, "POST", MIGRATIONS,
	       arena_printf(
		   &a,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"resource\":{\"group\":\"%s\",\"resource\":\"%s\"}}}",
		   name, group, resource));
}

/* The one condition of a migration that is over. */
static const struct val *ended(struct rig *r, const char *path, const char *type)
{
	const struct val *list = val_get(expect(r, 200, "GET", path, NULL), F_status, F_conditions);

	assert_int_equal(val_len(list), 1);
	assert_sv(val_get_str(val_at(list, 0), F_type), type);
	assert_sv(val_get_str(val_at(list, 0), F_status), "True");
	return val_at(list, 0);
}

static const struct val *migrating(struct rig *r, const struct val **ret_stored)
{
	const struct val *crd = expect(r, 200, "GET", CRDS "/widgets.example.com", NULL);

	*ret_stored = val_get(crd, F_status, F_storedVersions);
	VAL_EACH(val_get(crd, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), "StorageMigrating"))
			return c;
	return NULL;
}

static void test_custom(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	const struct val *stored, *said, *old, *now;
	int64_t rev;

	old = expect(r, 201, "POST", WIDGETS, "{\"metadata\":{\"name\":\"old\"},\"spec\":{\"x\":1}}");
	expect_type(r, 200, "PATCH", CRDS "/widgets.example.com", MERGE, "{\"spec\":{" VERSIONS("false", "true") "}}");
	cluster_run(&k, 2);
	now = expect(r, 201, "POST", WIDGETS, "{\"metadata\":{\"name\":\"young\"}}");
	rev = rev_of(now);
	(void)migrating(r, &stored);
	assert_int_equal(val_len(stored), 2);

	migrate(r, "m", "example.com", "widgets");
	cluster_run(&k, 5);
	assert_sv(val_get_str(ended(r, MIGRATIONS "/m", "Succeeded"), F_reason), "StorageVersionMigrationSucceeded");
	/* The old one is written, without any other change; the young one need not be. */
	now = expect(r, 200, "GET", WIDGETS "/old", NULL);
	assert_true(rev_of(now) > rev);
	assert_true(val_equal(val_get(now, F_spec), val_get(old, F_spec)));
	assert_int_equal(val_len(val_get(now, F_metadata, F_managedFields)),
			 val_len(val_get(old, F_metadata, F_managedFields)));
	assert_int_equal(rev_of(expect(r, 200, "GET", WIDGETS "/young", NULL)), rev);
	said = migrating(r, &stored);
	assert_sv(val_get_str(said, F_status), "False");
	assert_sv(val_get_str(said, F_reason), "MigrationSucceeded");
	assert_int_equal(val_get_int(said, 0, F_observedGeneration), 2);
	assert_int_equal(val_len(stored), 1);
	assert_sv(val_str(val_at(stored, 0)), "v2");

	/* Several of one resource: one after the other, and what is in order stays as it is. */
	rev = rev_of(now);
	migrate(r, "m2", "example.com", "widgets");
	migrate(r, "m3", "example.com", "widgets");
	cluster_run(&k, 5);
	ended(r, MIGRATIONS "/m2", "Succeeded");
	ended(r, MIGRATIONS "/m3", "Succeeded");
	assert_int_equal(rev_of(expect(r, 200, "GET", WIDGETS "/old", NULL)), rev);

	/* So the old version may go. */
	expect_type(r, 200, "PATCH", CRDS "/widgets.example.com", MERGE,
		    "{\"spec\":{\"versions\":[" VERSION("v2", "true") "]}}");
	cluster_run(&k, 2);
	expect(r, 200, "GET", "/apis/example.com/v2/namespaces/default/widgets/old", NULL);
	cluster_finish(&k);
}

static void test_unknown(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;

	/* A kind that is not there may come within a minute. */
	migrate(r, "m", "example.com", "gadgets");
	cluster_run(&k, 30);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", MIGRATIONS "/m", NULL), F_status, F_conditions)), 0);
	cluster_run(&k, 40);
	assert_sv(val_get_str(ended(r, MIGRATIONS "/m", "Failed"), F_message),
		  "migration encountered unhandled error: unable to obtain GVR from discovery");
	/* Built-in ones have no definition. */
	migrate(r, "s", "", "configmaps");
	cluster_run(&k, 5);
	ended(r, MIGRATIONS "/s", "Succeeded");
	cluster_finish(&k);
}

/* --- keys of encryption --- */

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "HxweHRobGBkWFxQVEhMQEQ4PDA0KCwgJBgcEBQIDAAE="
#define KEY(name, key) "{\"name\":\"" name "\",\"secret\":\"" key "\"}"
#define KEYS(keys)                                                                                             \
	"{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[{" \
	"\"resources\":[\"secrets\"],\"providers\":[{\"aesgcm\":{\"keys\":[" keys "]}}]}]}"
#define BOTH_KEYS KEYS(KEY("b", KEY_B) "," KEY("a", KEY_A))
#define SECRETS "/api/v1/namespaces/default/secrets"
#define STORED(name) "/registry/secrets/default/" name

/* The store below, and what seals for it: the write of STORED("late") is sealed at once and goes on behind the next
 * write of a migration. */
static struct {
	char path[40];
	struct encryption *e;
	struct store_transform t;
	struct store *inner;
	store_value_fn *done;
	void *ctx;
	struct buf sealed;
	bool hold;
} late;

static void late_keep(struct sv value, const struct err *err, void *ctx)
{
	(void)ctx;
	assert_null(err);
	buf_addsv(&late.sealed, value);
}

static void late_in(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(late.e);

	(void)t;
	if (late.hold && sv_is(key, STORED("late"))) {
		real->in(real, key, value, late_keep, NULL);
		late.done = done;
		late.ctx = ctx;
		return;
	}
	real->in(real, key, value, done, ctx);
	if (late.done && sv_starts(key, SV("/registry/storageversionmigrations/"))) {
		done = TAKE(late.done);
		done(buf_sv(&late.sealed), NULL, late.ctx);
	}
}

static void late_out(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(late.e);

	(void)t;
	real->out(real, key, value, done, ctx);
}

static struct store *late_store(struct env *env)
{
	struct err err = ERR_INIT;

	memset(&late, 0, sizeof(late));
	(void)snprintf(late.path, sizeof(late.path), "/tmp/caravel-migration-XXXXXX");
	close(mkstemp(late.path));
	assert_int_equal(file_write_again(late.path, SV(KEYS(KEY("a", KEY_A))), 0600, NULL), 0);
	late.t = (struct store_transform){ .in = late_in, .out = late_out };
	late.inner = store_mem_new(env);
	late.e = encryption_read(env, late.path, true, &err);
	assert_non_null(late.e);
	encryption_stored_in(late.e, late.inner);
	return store_transformed(late.inner, &late.t);
}

static int late_setup(void **state)
{
	int rc = rig_setup_on(state, late_store);
	struct rig *r = *state;

	r->encryption = late.e;
	rig_restart(r);
	return rc;
}

static int late_teardown(void **state)
{
	struct rig *r = *state;
	struct encryption *looks = late.e; /* its timer goes before the environment, the store behind it */
	int rc;

	late.e = encryption_parse(r->env, SV(BOTH_KEYS), NULL);
	encryption_free(looks);
	rc = rig_teardown(state);
	encryption_free(late.e);
	buf_release(&late.sealed);
	(void)unlink(late.path);
	return rc;
}

static int late_seen(const struct store_kv *kv, void *ctx)
{
	*(struct sv *)ctx = sv_starts(kv->value, SV("k8s:enc:aesgcm:v1:a:"))   ? SV("a")
			    : sv_starts(kv->value, SV("k8s:enc:aesgcm:v1:b:")) ? SV("b")
									       : SV("?");
	return 0;
}

static void assert_key(const char *stored, const char *name)
{
	struct sv seen = SV("");
	int64_t rev;

	assert_true(store_range(late.inner, sv_from(stored), SV(""), 0, 1, late_seen, &seen, &rev, NULL) >= 0);
	assert_sv(seen, name);
}

/* A write that is on its way while the key is changed: it is of the old key, and newer than the change. */
static void test_key_in_flight(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct answer *a;

	expect(r, 201, "POST", SECRETS, "{\"metadata\":{\"name\":\"early\"}}");
	env_sim_hold(r->env, ENV_CONTROL); /* the controller looks when all of this has happened */
	migrate(r, "m", "", "secrets");
	late.hold = true;
	a = api_start(r,
		      &(struct ask){ .method = "POST", .path = SECRETS, .body = "{\"metadata\":{\"name\":\"late\"}}" });
	assert_non_null(late.done);
	late.hold = false;
	assert_int_equal(file_write_again(late.path, SV(BOTH_KEYS), 0600, NULL), 0);
	encryption_poll(late.e);
	env_sim_release(r->env, ENV_CONTROL);
	cluster_run(&k, 5);
	assert_null(late.done);
	assert_int_equal(a->code, 201);
	answer_free(a);
	ended(r, MIGRATIONS "/m", "Succeeded");
	assert_key(STORED("early"), "b");
	assert_key(STORED("late"), "b");
	cluster_finish(&k);
}

static void test_node_ttl(void **state)
{
	struct cluster k = cluster_start(state);

	cluster_run(&k, 2);
	assert_sv(val_str(val_member_sv(
		      val_get(expect(k.rig, 200, "GET", "/api/v1/nodes/n1", NULL), F_metadata, F_annotations),
		      SV("node.alpha.kubernetes.io/ttl"))),
		  "0");
	cluster_finish(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_custom, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_unknown, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_key_in_flight, late_setup, late_teardown),
		cmocka_unit_test_setup_teardown(test_node_ttl, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
