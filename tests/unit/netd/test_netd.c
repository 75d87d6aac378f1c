/* netd on virtual time, a scripted cluster, and a kernel made of a list. */
#include "netd_kit.h"

#include "base/log.h"
#include "netd/backend_recorder.h"
#include "sim/env_sim.h"

#include <stdio.h>

struct world {
	struct env *env;
	struct kit kit;
	struct netd_record *rec;
	struct netd *n;
	struct arena a;
};

static size_t events;
static char last_event[512]; /* "Reason of node: message" */

static int on_create(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		     _unused_ struct sv name, const struct val *doc, _unused_ const struct client_write_opts *o,
		     struct obj **ret, _unused_ struct err *err)
{
	struct sv reason = val_get_str(doc, F_reason), node = val_get_str(doc, F_involvedObject, F_name),
		  message = val_get_str(doc, F_message);

	events++;
	(void)snprintf(last_event, sizeof(last_event), "%.*s of %.*s: %.*s", SV_ARG(reason), SV_ARG(node),
		       SV_ARG(message));
	if (ret)
		*ret = obj_new(doc, 1);
	return 0;
}

/* The same event again. */
static int on_patch(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		    _unused_ struct sv name, _unused_ enum patch_type t, _unused_ const struct val *patch,
		    _unused_ const struct client_write_opts *o, _unused_ struct obj **ret, _unused_ struct err *err)
{
	events++;
	return 0;
}

static void quiet(_unused_ struct sv line, _unused_ void *ctx)
{
}

#define SELF KIT_PEER("n1", "'10.42.0.0/24'", KIT_ADDR("192.0.2.1"))
#define SEVEN KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("192.0.2.7"))
#define EIGHT KIT_PEER("n8", "'10.42.8.0/24'", KIT_ADDR("198.51.100.8"))

static void start_kind(struct world *w, enum netd_kind kind)
{
	struct netd_opts o = { .kind = kind, .node_name = "n1", .cluster_cidr = "10.42.0.0/16" };
	static struct client_ops ops;
	struct err err = ERR_INIT;

	*w = (struct world){ .env = env_sim_new(3, 0, false) };
	kit_init(&w->kit, w->env);
	ops = kit_ops;
	ops.create = on_create;
	ops.patch = on_patch;
	w->kit.c.ops = &ops;
	events = 0;
	o.env = w->env;
	o.client = &w->kit.c;
	o.backend = netd_backend_recorder_new(&w->rec);
	vec_push(&w->rec->machine.addrs, ((struct netd_addr){ kit_ip("192.0.2.1"), 2 }));
	vec_push(&w->rec->machine.onlink, ((struct netd_onlink){ { kit_ip("192.0.2.0"), 96 + 24 }, 2 }));
	w->rec->machine.mtu[NETD_V4] = 1500;
	w->rec->machine.link[NETD_V4] = 2;
	w->n = netd_new(&o, &err);
	assert_non_null(w->n);
}

static void start(struct world *w)
{
	start_kind(w, NETD_VXLAN);
	kit_put(&w->kit, SELF);
}

static void stop(struct world *w)
{
	w->n = netd_free(w->n);
	env_sim_run(w->env, NS_PER_SEC);
	kit_release(&w->kit);
	env_sim_free(w->env);
	arena_release(&w->a);
}

/* Is that line among the kernel's entries? */
static bool has(struct world *w, const char *line)
{
	for (size_t i = 0; i < w->rec->have.entries.n; i++)
		if (strcmp(kit_entry(&w->a, &w->rec->have.entries.p[i]), line) == 0)
			return true;
	return false;
}

static void test_follows_the_nodes(_unused_ void **state)
{
	struct world w;

	start(&w);
	assert_false(netd_synced(w.n));
	env_sim_run(w.env, NS_PER_SEC);
	/* A node alone: nothing on its machine is touched. */
	assert_true(netd_synced(w.n));
	assert_int_equal(w.rec->devices + w.rec->prepared + w.rec->changes, 0);
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->devices, 0);

	kit_put(&w.kit, SEVEN);
	env_sim_run(w.env, NS_PER_MS);
	assert_int_equal(w.rec->devices, 1);
	assert_int_equal(w.rec->prepared, 1);
	assert_int_equal(w.rec->have.device.mtu, 1450);
	assert_int_equal(w.rec->have.entries.n, 3);
	assert_true(has(&w, "route 10.42.7.0/24 by 10.42.7.0"));
	assert_true(has(&w, "neigh 10.42.7.0 at ee:ca:0a:2a:07:00"));
	assert_true(has(&w, "fdb ee:ca:0a:2a:07:00 by 192.0.2.7"));

	/* One more costs its own, and no look at the rest. */
	{
		size_t reads = w.rec->reads, changes = w.rec->changes;

		kit_put(&w.kit, EIGHT);
		env_sim_run(w.env, NS_PER_MS);
		assert_int_equal(w.rec->reads, reads);
		assert_int_equal(w.rec->changes, changes + 3);
		/* A heartbeat is no news, another address is one entry. */
		kit_put(&w.kit, EIGHT);
		env_sim_run(w.env, NS_PER_MS);
		assert_int_equal(w.rec->changes, changes + 3);
		kit_put(&w.kit, KIT_PEER("n8", "'10.42.8.0/24'", KIT_ADDR("198.51.100.9")));
		env_sim_run(w.env, NS_PER_MS);
		assert_int_equal(w.rec->changes, changes + 4);
		assert_true(has(&w, "fdb ee:ca:0a:2a:08:00 by 198.51.100.9"));
	}
	kit_del(&w.kit, "Node", "n8");
	env_sim_run(w.env, NS_PER_MS);
	assert_int_equal(w.rec->have.entries.n, 3);
	/* With the last peer the device goes. */
	kit_del(&w.kit, "Node", "n7");
	env_sim_run(w.env, NS_PER_MS);
	assert_false(w.rec->have.present);
	stop(&w);
}

/* Two that name one range, met at once: as long as both are there it is the older one's, whatever they are called. */
static void test_the_older_one_has_it(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, "{'kind':'Node','metadata':{'name':'a','creationTimestamp':'2026-11-29T10:00:01Z'},"
			"'spec':{'podCIDRs':['10.42.7.0/25']},'status':{'addresses':[" KIT_ADDR("192.0.2.9") "]}}");
	kit_put(&w.kit, "{'kind':'Node','metadata':{'name':'z','creationTimestamp':'2026-11-29T10:00:00Z'},"
			"'spec':{'podCIDRs':['10.42.7.0/24']},'status':{'addresses':[" KIT_ADDR("192.0.2.7") "]}}");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(has(&w, "route 10.42.7.0/24 by 10.42.7.0"));
	assert_true(has(&w, "fdb ee:ca:0a:2a:07:00 by 192.0.2.7"));
	assert_int_equal(w.rec->have.entries.n, 3);
	assert_string_equal(last_event, "PodNetworkUnreachable of a: Pods of this node are not reached from node n1: "
					"its Pod range belongs to a node that had it first");
	kit_del(&w.kit, "Node", "z");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(has(&w, "route 10.42.7.0/25 by 10.42.7.0"));
	stop(&w);
}

static void test_put_back(_unused_ void **state)
{
	struct world w;
	size_t changes;

	start(&w);
	kit_put(&w.kit, SEVEN);
	env_sim_run(w.env, 60 * NS_PER_SEC);
	changes = w.rec->changes;
	/* A flush that nobody tells of: at the next look. */
	w.rec->have.entries.n = 0;
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_int_equal(w.rec->changes, changes + 3);
	/* One that the kernel tells of, not right after our own doing: within a second. */
	env_sim_run(w.env, 3 * NS_PER_SEC);
	w.rec->have.entries.n = 1;
	w.rec->changed(w.rec->ctx);
	w.rec->changed(w.rec->ctx);
	env_sim_run(w.env, NS_PER_SEC + NS_PER_MS);
	assert_int_equal(w.rec->have.entries.n, 3);
	/* The device, and all that was on it. */
	env_sim_run(w.env, 3 * NS_PER_SEC);
	w.rec->have.present = false;
	w.rec->have.entries.n = 0;
	w.rec->changed(w.rec->ctx);
	env_sim_run(w.env, NS_PER_SEC + NS_PER_MS);
	assert_true(w.rec->have.present);
	assert_int_equal(w.rec->have.entries.n, 3);
	env_sim_run(w.env, NS_PER_SEC);
	/* Turned down, or its MTU, or its MAC. */
	w.rec->have.right = false;
	w.rec->have.device.mtu = 9000;
	w.rec->changed(w.rec->ctx);
	env_sim_run(w.env, NS_PER_SEC + NS_PER_MS);
	assert_true(w.rec->have.right);
	assert_int_equal(w.rec->have.device.mtu, 1450);
	assert_int_equal(w.rec->have.entries.n, 3);
	stop(&w);
}

/* The machine's own address, MTU and range. */
static void test_own_changes(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, SEVEN);
	env_sim_run(w.env, NS_PER_SEC);
	/* It has another address before its Node says so: what there is serves on. */
	w.rec->machine.addrs.p[0].addr = kit_ip("192.0.2.99");
	env_sim_run(w.env, 20 * NS_PER_SEC);
	assert_string_equal(ip_text(w.rec->have.device.local).s, "192.0.2.1");
	assert_int_equal(w.rec->have.entries.n, 3);
	kit_put(&w.kit, KIT_PEER("n1", "'10.42.0.0/24'", KIT_ADDR("192.0.2.99")));
	env_sim_run(w.env, NS_PER_MS);
	assert_string_equal(ip_text(w.rec->have.device.local).s, "192.0.2.99");
	assert_int_equal(w.rec->have.entries.n, 3);
	w.rec->machine.mtu[NETD_V4] = 1400;
	env_sim_run(w.env, 11 * NS_PER_SEC);
	assert_int_equal(w.rec->have.device.mtu, 1350);
	/* A Node that is deleted and comes with another range. */
	kit_del(&w.kit, "Node", "n1");
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->have.entries.n, 3);
	kit_put(&w.kit, KIT_PEER("n1", "'10.42.5.0/24'", KIT_ADDR("192.0.2.99")));
	env_sim_run(w.env, NS_PER_MS);
	assert_string_equal(ip_text(w.rec->have.device.vtep[NETD_V4]).s, "10.42.5.0");
	stop(&w);
}

static void test_retries(_unused_ void **state)
{
	struct world w;

	start(&w);
	w.rec->fail_next = 5;
	kit_put(&w.kit, SEVEN);
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_true(netd_synced(w.n));
	assert_int_equal(w.rec->have.entries.n, 3);
	w.rec->fail_next = 1;
	kit_put(&w.kit, EIGHT);
	env_sim_run(w.env, NS_PER_MS);
	assert_int_equal(w.rec->have.entries.n, 5); /* the others are not held up */
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_int_equal(w.rec->have.entries.n, 6);
	/* A device that cannot be made (flannel's is there) is tried again for ever. */
	w.rec->no_device = true;
	w.rec->have.present = false;
	w.rec->have.entries.n = 0;
	events = 0;
	env_sim_run(w.env, 300 * NS_PER_SEC);
	assert_int_equal(w.rec->have.entries.n, 0);
	assert_int_equal(events, 1);
	assert_string_equal(last_event,
			    "PodNetworkBroken of n1: Pods of other nodes are not all reached: told to fail");
	w.rec->no_device = false;
	env_sim_run(w.env, 31 * NS_PER_SEC);
	assert_int_equal(w.rec->have.entries.n, 6);
	stop(&w);
}

/* Docker's, and not before there is a Node to tell it of; once, until it was away. */
static void test_firewall_is_told(_unused_ void **state)
{
	struct world w;

	start_kind(&w, NETD_VXLAN);
	w.rec->drops = "ip filter FORWARD";
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(events, 0);
	kit_put(&w.kit, SELF);
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(events, 1);
	assert_non_null(strstr(last_event, "PodNetworkBlocked of n1: The firewall's chain 'ip filter FORWARD' drops"));
	assert_non_null(strstr(last_event, "nft insert rule ip filter FORWARD ip daddr 10.42.0.0/16 accept"));
	w.rec->drops = NULL;
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(events, 1);
	w.rec->drops = "inet fw fwd";
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(events, 2);
	stop(&w);
}

static void test_host_gw(_unused_ void **state)
{
	struct world w;

	start_kind(&w, NETD_HOST_GW);
	kit_put(&w.kit, SELF);
	kit_put(&w.kit, EIGHT); /* not on our link: refused, the other goes on */
	kit_put(&w.kit, SEVEN);
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(netd_synced(w.n));
	assert_int_equal(w.rec->devices, 0);
	assert_int_equal(w.rec->have.entries.n, 1);
	assert_true(has(&w, "route 10.42.7.0/24 by 192.0.2.7 link 2"));
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(events, 1); /* said once */
	assert_true(
	    sv_starts(sv_from(last_event), SV("PodNetworkUnreachable of n8: Pods of this node are not reached "
					      "from node n1: with --flannel-backend=host-gw nodes have to be")));
	/* Its link comes. */
	vec_push(&w.rec->machine.onlink, ((struct netd_onlink){ { kit_ip("198.51.100.0"), 96 + 24 }, 3 }));
	w.rec->changed(w.rec->ctx);
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_true(has(&w, "route 10.42.8.0/24 by 198.51.100.8 link 3"));
	stop(&w);
}

static void test_device_name(_unused_ void **state)
{
	char a[16], b[16];

	netd_device_name("/var/lib/caravel", a);
	netd_device_name("/tmp/other", b);
	assert_string_not_equal(a, b);
	assert_true(strlen(a) == 14 && strncmp(a, "cvl", 3) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows_the_nodes), cmocka_unit_test(test_the_older_one_has_it),
		cmocka_unit_test(test_put_back),	  cmocka_unit_test(test_own_changes),
		cmocka_unit_test(test_retries),		  cmocka_unit_test(test_host_gw),
		cmocka_unit_test(test_device_name),	  cmocka_unit_test(test_firewall_is_told),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests_name("netd", tests, NULL, NULL);
}
