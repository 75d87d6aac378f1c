/* Drivers that come and go by their sockets, and what the Node and its CSINode say of them. */
#include "csi.h"

#define NODE "/api/v1/nodes/n1"
#define CSINODE "/apis/storage.k8s.io/v1/csinodes/n1"

struct world {
	struct rig *rig;
	struct client *client;
	struct csi *csi;
	char dir[32];
	char *socket;
};

static void start(struct world *w)
{
	w->csi = csi_new(&(struct csi_opts){
	    .env = w->rig->env, .client = w->client, .node_name = "n1", .root_dir = w->dir, .ask = driver_ask });
	rig_run(w->rig, NS_PER_SEC);
}

static int begin(void **state)
{
	static const char *const nodes[] = { "system:nodes", NULL };
	struct world *w = xcalloc(1, sizeof(*w));

	if (rig_setup(state))
		return -1;
	w->rig = *state;
	*state = w;
	strcpy(w->dir, "/tmp/caravel-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->socket = xasprintf("%s/plugins_registry/test-reg.sock", w->dir);
	driver = (struct driver){ .name = "test.csi.io",
				  .type = "CSIPlugin",
				  .version = "1.0.0",
				  .endpoint = "/run/test.sock",
				  .node_id = "node-7",
				  .zone = "",
				  .can = CSI_CAN_STAGE };
	expect(w->rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.test/"
	       "other\":\"x\"}}}");
	w->client = apiserver_client(w->rig->server, "kubelet", "system:node:n1", nodes);
	start(w);
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;

	csi_free(w->csi);
	client_free(w->client);
	(void)tree_remove(w->dir, NULL);
	free(w->socket);
	driver_forget();
	*state = w->rig;
	free(w);
	return rig_teardown(state);
}

static void come(struct world *w)
{
	socket_make(w->socket);
	rig_run(w->rig, 10 * NS_PER_SEC);
}

static const struct val *drivers(struct world *w)
{
	return val_get(expect(w->rig, 200, "GET", CSINODE, NULL), F_spec, F_drivers);
}

static struct sv note(struct world *w)
{
	const struct val *notes = val_get(expect(w->rig, 200, "GET", NODE, NULL), F_metadata, F_annotations);

	return val_str(val_member_sv(notes, SV("csi.volume.kubernetes.io/nodeid")));
}

/* Nothing is said of who was refused. */
static void refused(struct world *w, const char *why)
{
	come(w);
	assert_int_equal(driver.registered, 0);
	assert_true(driver.refused > 0);
	if (!strstr(driver.why, why))
		fail_msg("it was told \"%s\" instead of \"%s\"", driver.why, why);
	expect(w->rig, 404, "GET", CSINODE, NULL);
	assert_sv(note(w), "");
}

static void test_bad_names(void **state)
{
	struct world *w = *state;

	driver.name = "../../etc";
	refused(w, "is no name of a CSI driver");
}

static void test_name_rules(void **state)
{
	static const char *const bad[] = { "",
					   ".",
					   "..",
					   "a/b",
					   "a..b",
					   "-a",
					   "a-",
					   ".a",
					   "a.",
					   "a b",
					   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	bool csi_driver_name_ok(struct sv name);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(csi_driver_name_ok(sv_from(bad[i])));
	assert_true(csi_driver_name_ok(SV("ebs.csi.aws.com")));
}

static void test_other_version(void **state)
{
	driver.version = "0.3.0";
	refused(*state, "None of the versions specified are supported");
}

static void test_no_version(void **state)
{
	driver.version = "";
	refused(*state, "empty list for supported versions");
}

static void test_other_type(void **state)
{
	struct world *w = *state;

	driver.type = "DRAPlugin";
	refused(w, "no handler registered for plugin type: DRAPlugin");
	rig_run(w->rig, 600 * NS_PER_SEC);
	assert_int_equal(driver.refused, 1);
}

static void test_no_node_id(void **state)
{
	driver.node_id = "";
	refused(*state, "gave no node_id");
}

/* A label of the Node that says otherwise is not the driver's to change. */
static void test_topology_collides(void **state)
{
	struct world *w = *state;

	expect_type(w->rig, 200, "PATCH", NODE, "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"topology.test/zone\":\"b\"}}}");
	driver.zone = "a";
	refused(w,
		"detected topology value collision: driver reported \"topology.test/zone\":\"a\" but existing label is "
		"\"topology.test/zone\":\"b\"");
}

/* What is no socket is not called, and no link is followed to one. */
static void test_no_socket(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *real = xasprintf("%s/real.sock", w->dir), *file = xasprintf("%s.txt", w->socket);

	socket_make(real);
	assert_int_equal(symlink(real, w->socket), 0);
	assert_int_equal(file_write(file, SV("x"), 0600, NULL), 0);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_int_equal(driver.calls.n, 0);
}

static void test_comes_and_goes(void **state)
{
	struct world *w = *state;
	const struct val *d;

	driver.zone = "a";
	driver.max_volumes = 25;
	come(w);
	assert_int_equal(driver.registered, 1);
	d = val_at(drivers(w), 0);
	assert_val(val_get(d, F_name), "test.csi.io");
	assert_val(val_get(d, F_nodeID), "node-7");
	assert_int_equal(val_get_int(d, 0, F_allocatable, F_count), 25);
	assert_val(val_at(val_get(d, F_topologyKeys), 0), "topology.test/zone");
	assert_sv(note(w), "{\"test.csi.io\":\"node-7\"}");
	assert_val(val_member_sv(val_get(expect(w->rig, 200, "GET", NODE, NULL), F_metadata, F_labels),
				 SV("topology.test/zone")),
		   "a");
	assert_val(val_get(val_at(val_get(expect(w->rig, 200, "GET", CSINODE, NULL), F_metadata, F_ownerReferences), 0),
			   F_kind),
		   "Node");
	/* Nothing more is asked of one that is there. */
	buf_clear(&driver.calls);
	rig_run(w->rig, 600 * NS_PER_SEC);
	assert_int_equal(driver.calls.n, 0);
	assert_int_equal(unlink(w->socket), 0);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(val_len(drivers(w)), 0);
	assert_sv(note(w), "");
}

/* Another socket at the same place is another driver, or the same one started anew. */
static void test_started_anew(void **state)
{
	struct world *w = *state;

	come(w);
	assert_int_equal(unlink(w->socket), 0);
	driver.node_id = "node-8";
	driver.name = "other.csi.io";
	come(w);
	assert_int_equal(driver.registered, 2);
	assert_int_equal(val_len(drivers(w)), 1);
	assert_sv(note(w), "{\"other.csi.io\":\"node-8\"}");
}

/* One that fails is tried again, ever later, and has what it takes when it can. */
static void test_tried_again(void **state)
{
	struct world *w = *state;
	int refusals;

	driver.fails = CSI_NODE_INFO;
	come(w);
	refusals = driver.refused;
	assert_true(refusals >= 3 && refusals <= 6);
	assert_non_null(strstr(driver.why, "plugin registration failed with err: NodeGetInfo failed: rpc error"));
	rig_run(w->rig, 600 * NS_PER_SEC);
	assert_true(driver.refused - refusals <= 12);
	driver.fails = NULL;
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_int_equal(driver.registered, 1);
	assert_int_equal(val_len(drivers(w)), 1);
}

/* The agent was away: the driver is registered again, and what is said stays. */
static void test_agent_anew(void **state)
{
	struct world *w = *state;

	come(w);
	w->csi = csi_free(w->csi);
	assert_int_equal(val_len(drivers(w)), 1);
	start(w);
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(driver.registered, 2);
	assert_int_equal(val_len(drivers(w)), 1);
}

/* A second driver of the same name is refused while the first one is there. */
static void test_same_name(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *second = xasprintf("%s/plugins_registry/second.sock", w->dir);

	come(w);
	socket_make(second);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(driver.registered, 1);
	assert_non_null(strstr(driver.why, "Another driver with the same name is already registered"));
	assert_int_equal(unlink(w->socket), 0);
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_int_equal(driver.registered, 2);
}

/* How many volumes it takes is asked again where its CSIDriver says so. */
static void test_allocatable_changes(void **state)
{
	struct world *w = *state;

	expect(w->rig, 201, "POST", "/apis/storage.k8s.io/v1/csidrivers",
	       "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSIDriver\",\"metadata\":{\"name\":\"test.csi.io\"},"
	       "\"spec\":{\"nodeAllocatableUpdatePeriodSeconds\":30}}");
	driver.max_volumes = 3;
	come(w);
	driver.max_volumes = 5;
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(val_get_int(val_at(drivers(w), 0), 0, F_allocatable, F_count), 5);
}

/* The CSINode is there with its Node, and there again when that is made anew. */
static void test_with_its_node(void **state)
{
	struct world *w = *state;
	const struct val *node, *csi;

	csi_node_registered(w->csi);
	rig_run(w->rig, NS_PER_SEC);
	node = expect(w->rig, 200, "GET", NODE, NULL);
	csi = expect(w->rig, 200, "GET", "/apis/storage.k8s.io/v1/csinodes/n1", NULL);
	assert_int_equal(val_len(val_get(csi, F_spec, F_drivers)), 0);
	assert_sv(val_get_str(val_at(val_get(csi, F_metadata, F_ownerReferences), 0), F_uid),
		  arena_cstr(&w->rig->arena, val_get_str(node, F_metadata, F_uid)));
	come(w);
	assert_int_equal(val_len(drivers(w)), 1);
	expect(w->rig, 200, "DELETE", NODE, NULL);
	expect(w->rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	csi_node_registered(w->csi);
	rig_run(w->rig, 5 * NS_PER_SEC);
	node = expect(w->rig, 200, "GET", NODE, NULL);
	assert_non_null(val_member_sv(val_get(node, F_metadata, F_annotations), SV("csi.volume.kubernetes.io/nodeid")));
	/* Whether or not the old one is gone by then: this is the new Node's. */
	csi = expect(w->rig, 200, "GET", "/apis/storage.k8s.io/v1/csinodes/n1", NULL);
	assert_int_equal(val_len(val_get(csi, F_metadata, F_ownerReferences)), 1);
	assert_sv(val_get_str(val_at(val_get(csi, F_metadata, F_ownerReferences), 0), F_uid),
		  arena_cstr(&w->rig->arena, val_get_str(node, F_metadata, F_uid)));
	assert_int_equal(val_len(drivers(w)), 1);
	expect(w->rig, 200, "DELETE", "/apis/storage.k8s.io/v1/csinodes/n1", NULL);
	csi_node_registered(w->csi);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(val_len(drivers(w)), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(test_bad_names),	T(test_name_rules),	     T(test_other_version),	T(test_no_version),
		T(test_other_type),	T(test_no_node_id),	     T(test_topology_collides), T(test_no_socket),
		T(test_comes_and_goes), T(test_started_anew),	     T(test_tried_again),	T(test_agent_anew),
		T(test_same_name),	T(test_allocatable_changes), T(test_with_its_node)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
