/* The kubelet's threads ask while informers bring changes: for ThreadSanitizer. */
#include "policy_kit.h"

#include "base/log.h"
#include "ev/ev.h"
#include "netd/policy/backend_recorder.h"
#include "netd/policy/netpol.h"

#include <unistd.h>

#define THREADS 4
#define ROUNDS 60

static struct netpol *netpol;
static _Atomic int said_yes;

static void quiet(_unused_ struct sv line, _unused_ void *ctx)
{
}

static void *kubelet_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_obj_ struct obj *o = kit_obj(
		    arena_printf(&a,
				 "{'kind':'Pod','metadata':{'name':'p%u-%u','namespace':'x','uid':'u%u-%u'},'spec':"
				 "{'nodeName':'n1'},'status':{}}",
				 me, i, me, i),
		    1);
		struct sv ip = arena_svf(&a, "10.42.%u.%u", me, i % 20);
		int rc;

		/* The first time as the kubelet: until what there is of policies is known. */
		while ((rc = netpol_ready(netpol, o, &ip, 1, &err)) < 0 && i == 0) {
			err_release(&err);
			err = ERR_INIT;
			usleep(1000);
		}
		said_yes += rc == 0;
		if (i % 3 == 0)
			netpol_gone(netpol, o);
	}
	return NULL;
}

static void test_threads(_unused_ void **state)
{
	struct env *env = env_real_new(4);
	struct netpol_record *rec;
	struct kit kit;
	struct netpol_opts o = { .env = env, .client = &kit.c, .node_name = "n1", .table = "tab" };
	pthread_t threads[THREADS];

	kit_init(&kit, env);
	o.backend = netpol_backend_recorder_new(&rec);
	kit_put(&kit, "{'kind':'Namespace','metadata':{'name':'x'}}");
	netpol = netpol_new(&o, NULL);
	while (!netpol_synced(netpol))
		usleep(1000);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, kubelet_thread, (void *)i), 0);
	for (unsigned i = 0; i < 30; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		kit_put(&kit, arena_printf(&a,
					   "{'kind':'NetworkPolicy','metadata':{'name':'p%u','namespace':'x'},'spec':"
					   "{'podSelector':{}}}",
					   i % 5));
		kit_put(&kit,
			arena_printf(&a,
				     "{'kind':'Pod','metadata':{'name':'p1-%u','namespace':'x','uid':'u1-%u'},'spec':"
				     "{'nodeName':'n1'},'status':{'podIPs':[{'ip':'10.42.1.%u'}]}}",
				     i, i, i % 20));
		if (i % 7 == 6)
			kit_del(&kit, "NetworkPolicy", arena_printf(&a, "p%u", i % 5));
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(said_yes >= THREADS);
	netpol = netpol_free(netpol);
	env_real_free(env);
	kit_release(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
