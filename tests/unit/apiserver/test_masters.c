/* bootstrap/masters.h: servers of one store are all in the endpoints of `kubernetes` as long as they live; one that
 * ends as planned goes at once, one that dies when its lease has run out, and an upstream's counts. */
#include "harness.h"

#include "apiserver/bootstrap/masters.h"
#include "base/buf.h"
#include "store/lease.h"

#define ENDPOINTS "/api/v1/namespaces/default/endpoints/kubernetes"
#define SLICE "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"

/* --- the objects, pure --- */

static struct master at(const char *ip, int port)
{
	struct master m = { .port = port };

	assert_true(ip_parse(sv_from(ip), &m.ip));
	return m;
}

/* "10.0.0.1 10.0.0.2:6443 ..." of Endpoints or a slice. */
static void where(struct buf *b, const struct val *doc)
{
	VAL_EACH(val_get(doc, F_subsets), s) {
		VAL_EACH(val_get(s, F_addresses), a)
			buf_printf(b, "%.*s ", SV_ARG(val_get_str(a, F_ip)));
		buf_printf(b, ":%d ", (int)val_get_int(val_at(val_get(s, F_ports), 0), 0, F_port));
	}
	VAL_EACH(val_get(doc, F_endpoints), e)
		buf_printf(b, "%.*s ", SV_ARG(val_str(val_at(val_get(e, F_addresses), 0))));
	if (val_get(doc, F_addressType))
		buf_printf(b, ":%d %.*s", (int)val_get_int(val_at(val_get(doc, F_ports), 0), 0, F_port),
			   SV_ARG(val_get_str(doc, F_addressType)));
}

static void says(struct master *list, size_t n, const char *endpoints, const char *slice)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf e = BUF_INIT, s = BUF_INIT;

	where(&e, masters_endpoints(&a, list, n));
	where(&s, masters_slice(&a, list, n));
	assert_string_equal(buf_cstr(&e), endpoints);
	assert_string_equal(buf_cstr(&s), slice);
}

static void objects(void **state)
{
	struct master one[] = { at("10.0.0.2", 6443) };
	struct master three[] = { at("10.0.0.3", 6443), at("10.0.0.1", 6443), at("10.0.0.2", 6443),
				  at("10.0.0.1", 6443) };
	struct master ports[] = { at("10.0.0.3", 7443), at("10.0.0.1", 7443), at("10.0.0.2", 6443) };
	struct master tie[] = { at("10.0.0.1", 7443), at("10.0.0.2", 6443) };
	struct master families[] = { at("fd00::1", 6443), at("10.0.0.2", 6443) };
	struct master six[] = { at("fd00::2", 6443), at("fd00::1", 6443), at("10.0.0.2", 6443) };

	(void)state;
	says(one, 1, "10.0.0.2 :6443 ", "10.0.0.2 :6443 IPv4");
	says(three, 4, "10.0.0.1 10.0.0.2 10.0.0.3 :6443 ", "10.0.0.1 10.0.0.2 10.0.0.3 :6443 IPv4");
	says(ports, 3, "10.0.0.2 :6443 10.0.0.1 10.0.0.3 :7443 ", "10.0.0.1 10.0.0.3 :7443 IPv4");
	says(tie, 2, "10.0.0.2 :6443 10.0.0.1 :7443 ", "10.0.0.2 :6443 IPv4");
	says(families, 2, "10.0.0.2 :6443 fd00::1 :6443 ", "10.0.0.2 :6443 IPv4");
	says(six, 3, "10.0.0.2 :6443 fd00::1 fd00::2 :6443 ", "fd00::1 fd00::2 :6443 IPv6");
}

static void keys(void **state)
{
	struct master m;

	(void)state;
	assert_false(master_read(SV("/registry/masterleases/"), SV("{}"), 1, &m));
	assert_false(master_read(SV("/registry/masterleases/name"), SV("{}"), 1, &m));
	assert_false(master_read(SV("/registry/pods/10.0.0.1"), SV("{}"), 1, &m));
	assert_true(master_read(SV("/registry/masterleases/10.0.0.1"), SV("k8s\0\n"), 1, &m));
	assert_int_equal(m.port, 1);
	assert_true(master_read(SV("/registry/masterleases/10.0.0.1"),
				SV("{\"subsets\":[{\"ports\":[{\"port\":70000}]}]}"), 1, &m));
	assert_int_equal(m.port, 1);
	assert_true(
	    master_read(SV("/registry/masterleases/fd00::1"), SV("{\"subsets\":[{\"ports\":[{\"port\":7}]}]}"), 1, &m));
	assert_int_equal(m.port, 7);
	assert_true(master_read(SV("/registry/masterleases/fd00::1"), SV("{\"subsets\":3"), 1, &m));
	assert_int_equal(m.port, 1);
}

/* --- servers --- */

struct shared {
	struct rig *rig; /* the environment and the store */
	struct store_ops ops;
	struct apiserver *servers[3];
};

static void shared_sync(struct store *s, store_sync_fn *done, void *ctx)
{
	struct store_stats stats;

	store_stats(s, &stats); /* the store in memory tells all within a commit */
	done(stats.rev, NULL, ctx);
}

static struct store *leased(struct env *env)
{
	return store_leased(store_mem_new(env), NULL);
}

static const char *addresses[] = { "192.0.2.11", "192.0.2.12", "192.0.2.13" };

static void server_up(struct shared *x, int i)
{
	struct err err = ERR_INIT;

	x->servers[i] = apiserver_new(&(struct apiserver_opts){ .env = x->rig->env,
								.store = x->rig->store,
								.insecure_in_memory = true,
								.anonymous_auth = true,
								.advertise_address = addresses[i] },
				      &err);
	if (!x->servers[i])
		fail_msg("%s", err_msg(&err));
}

static void server_ends(struct shared *x, int i)
{
	apiserver_leave(x->servers[i]);
	x->servers[i] = apiserver_free(x->servers[i]);
}

static int shared_setup(void **state)
{
	struct shared *x = xcalloc(1, sizeof(*x));
	void *rig;

	assert_int_equal(rig_setup_on(&rig, leased), 0);
	x->rig = rig;
	x->ops = *x->rig->store->ops;
	x->ops.sync = shared_sync;
	x->rig->store->ops = &x->ops;
	*state = x;
	return 0;
}

static int shared_teardown(void **state)
{
	struct shared *x = *state;
	void *rig = x->rig;

	for (int i = 0; i < 3; i++)
		x->servers[i] = apiserver_free(x->servers[i]);
	rig_teardown(&rig);
	free(x);
	return 0;
}

static void leads_to(struct shared *x, const char *list)
{
	_cleanup_(buf_release) struct buf e = BUF_INIT, s = BUF_INIT, want_e = BUF_INIT, want_s = BUF_INIT;

	where(&e, expect(x->rig, 200, "GET", ENDPOINTS, NULL));
	where(&s, expect(x->rig, 200, "GET", SLICE, NULL));
	buf_printf(&want_e, "%s :6443 ", list);
	buf_printf(&want_s, "%s :6443 IPv4", list);
	assert_string_equal(buf_cstr(&e), buf_cstr(&want_e));
	assert_string_equal(buf_cstr(&s), buf_cstr(&want_s));
}

static size_t leases(struct shared *x)
{
	size_t n = 0;

	VAL_EACH(val_get(expect(x->rig, 200, "GET", LEASES, NULL), F_items), l)
		n += sv_starts(val_get_str(l, F_metadata, F_name), SV("apiserver-"));
	return n;
}

static void come_and_go(void **state)
{
	struct shared *x = *state;

	server_up(x, 0);
	leads_to(x, "192.0.2.11");
	server_up(x, 1);
	server_up(x, 2);
	leads_to(x, "192.0.2.11 192.0.2.12 192.0.2.13");
	assert_int_equal(leases(x), 3);
	server_ends(x, 1);
	leads_to(x, "192.0.2.11 192.0.2.13");
	assert_int_equal(leases(x), 2);
	/* Nobody writes one that has gone again. */
	rig_run(x->rig, 60 * NS_PER_SEC);
	leads_to(x, "192.0.2.11 192.0.2.13");
	server_up(x, 1);
	leads_to(x, "192.0.2.11 192.0.2.12 192.0.2.13");
	/* Somebody's change is set right. */
	expect_type(x->rig, 200, "PATCH", ENDPOINTS, "application/merge-patch+json", "{\"subsets\":null}");
	expect(x->rig, 200, "DELETE", SLICE, NULL);
	rig_run(x->rig, 6 * NS_PER_SEC);
	leads_to(x, "192.0.2.11 192.0.2.12 192.0.2.13");
}

static void others_are_counted(void **state)
{
	struct shared *x = *state;
	struct store_write w = { .key = SV(MASTERS_KEYS "192.0.2.99"), .value = SV("k8s\0\n") };
	int64_t rev;

	server_up(x, 0);
	assert_int_equal(store_lease_grant(x->rig->store, 0, 15, &w.lease, NULL), 0);
	assert_int_equal(store_commit_wait(x->rig->store, &w, &rev, NULL), 1);
	rig_run(x->rig, 6 * NS_PER_SEC);
	leads_to(x, "192.0.2.11 192.0.2.99");
	/* It has died. */
	rig_run(x->rig, 21 * NS_PER_SEC);
	leads_to(x, "192.0.2.11");
	rig_run(x->rig, 3600 * NS_PER_SEC);
	leads_to(x, "192.0.2.11");
}

static const char *moved;

static const char *find(void *ctx)
{
	(void)ctx;
	return moved;
}

static void another_address(void **state)
{
	struct shared *x = *state;

	moved = "192.0.2.21";
	server_up(x, 0);
	x->servers[1] = apiserver_new(&(struct apiserver_opts){ .env = x->rig->env,
								.store = x->rig->store,
								.insecure_in_memory = true,
								.anonymous_auth = true,
								.find_address = find,
								.advertise_address = "192.0.2.21" },
				      NULL);
	assert_non_null(x->servers[1]);
	leads_to(x, "192.0.2.11 192.0.2.21");
	moved = "192.0.2.22";
	rig_run(x->rig, 6 * NS_PER_SEC);
	leads_to(x, "192.0.2.11 192.0.2.22");
	moved = ""; /* for now none at all */
	rig_run(x->rig, 6 * NS_PER_SEC);
	leads_to(x, "192.0.2.11");
}

static void old_leases_go(void **state)
{
	struct shared *x = *state;

	server_up(x, 0);
	expect(x->rig, 201, "POST", LEASES,
	       "{\"metadata\":{\"name\":\"apiserver-gone\",\"labels\":{\"apiserver.kubernetes.io/identity\":"
	       "\"kube-apiserver\"}},\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":3600,\"renewTime\":"
	       "\"2020-01-01T00:00:00.000000Z\"}}");
	expect(x->rig, 201, "POST", LEASES,
	       "{\"metadata\":{\"name\":\"apiserver-not-ours\"},\"spec\":{\"holderIdentity\":\"x\","
	       "\"leaseDurationSeconds\":1,\"renewTime\":\"2020-01-01T00:00:00.000000Z\"}}");
	assert_int_equal(leases(x), 3);
	rig_run(x->rig, 310 * NS_PER_SEC);
	assert_int_equal(leases(x), 2);
	expect(x->rig, 200, "GET", LEASES "/apiserver-not-ours", NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, shared_setup, shared_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects), cmocka_unit_test(keys), T(come_and_go),
		T(others_are_counted),	   T(another_address),	   T(old_leases_go),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
