/* Keys that go by themselves on an etcd: whose leases they have, and how many there are. Against a real one. */
#include "etcd_kit.h"
#include "store/etcd/etcd-internal.h"
#include "store_kit.h"

#include "codec/pbwire.h"

#include <signal.h>
#include <stdlib.h>

struct place {
	struct etcd_cluster c;
	char dir[64];
	struct store *s;
};

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;

	kit_mkdir(p->dir);
	etcd_cluster_start(&p->c, 1, p->dir);
	p->s = store_etcd_open(
	    &thread_env, &(struct store_etcd_opts){ .endpoints = p->c.endpoints, .patience = ETCD_PATIENCE }, &err);
	if (!p->s)
		fail_msg("open: %s", err_msg(&err));
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	store_close(p->s);
	etcd_cluster_stop(&p->c);
	kit_rmdir(p->dir);
	free(p);
	return 0;
}

/* The lease that it went with; of the loop, which has answered by then. */
static int64_t put_for(struct store *s, const char *key, int64_t ttl_s)
{
	struct store_write w = { .key = sv_from(key), .value = SV("v"), .expect_rev = STORE_ANY_REV, .ttl_s = ttl_s };

	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	return ES(s)->ttl.id;
}

/* How many leases etcd has. */
static size_t leases(struct store *s)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	struct pb_reader r;
	struct pb_field f;
	size_t n = 0;

	assert_int_equal(es_ask(ES(s), "/etcdserverpb.Lease/LeaseLeases", &request, 60 * NS_PER_SEC, &answer, NULL), 0);
	r = pb_reader(buf_sv(&answer));
	while (pb_next(&r, &f))
		n += f.no == 2;
	return n;
}

static void test_refused(void **state)
{
	struct store *s = ((struct place *)*state)->s;
	struct store_write w = { .key = SV("a"), .value = SV("v"), .ttl_s = 60, .lease = 7 };
	struct err err = ERR_INIT;

	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	assert_int_equal(leases(s), 0);
}

static void test_shared(void **state)
{
	struct store *s = ((struct place *)*state)->s;
	struct store_write beside = { .key = SV("n"), .value = SV("1") },
			   w = { .key = SV("d"), .value = SV("v"), .ttl_s = 3600, .also = &beside, .n_also = 1 };
	int64_t a = put_for(s, "a", 3600), other;

	assert_true(a != 0);
	assert_true(put_for(s, "b", 3600) == a);
	assert_true(put_for(s, "a", 3600) == a);
	assert_int_equal(put(s, "b", "stays", STORE_ANY_REV), 5);
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	assert_true(ES(s)->ttl.id == a);
	assert_int_equal(leases(s), 1);
	other = put_for(s, "c", 7200);
	assert_true(other != a);
	assert_int_equal(leases(s), 2);
	/* It does not hold: nothing is written, and the key that is there goes with its lease. */
	w = (struct store_write){ .key = SV("a"), .value = SV("x"), .ttl_s = 7200 };
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 0);
	/* All that a lease has goes at one revision; of a key that is written with another, the last counts. */
	assert_int_equal(store_lease_revoke(s, a, NULL), 0);
	assert_list(s, "", "z", 0, 0, "b=stays@3/5 c=v@7/7 n=1@6/6 ");
	/* What was remembered of it was the other one's. */
	assert_true(put_for(s, "e", 7200) == other);
}

static void test_gone(void **state)
{
	struct store *s = ((struct place *)*state)->s;
	int64_t first = put_for(s, "a", 3600), next;

	assert_int_equal(store_lease_revoke(s, first, NULL), 0);
	assert_list(s, "", "z", 0, 0, "");
	next = put_for(s, "b", 3600);
	assert_true(next != first);
	assert_list(s, "", "z", 0, 0, "b=v@4/4 ");
	assert_true(put_for(s, "c", 3600) == next);
	assert_int_equal(leases(s), 1);
}

struct many {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	size_t open, ok;
};

static void many_done(const struct store_result *r, void *ctx)
{
	struct many *m = ctx;

	pthread_mutex_lock(&m->mu);
	m->ok += r->outcome == STORE_OK;
	if (--m->open == 0)
		pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->mu);
}

static void many_begin(struct many *m, struct store *s, size_t n)
{
	*m = (struct many){ PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, n, 0 };
	for (size_t i = 0; i < n; i++) {
		char key[16];
		int len = snprintf(key, sizeof(key), "k%zu", i);

		store_commit(s,
			     &(struct store_write){ .key = sv_make(key, (size_t)len), .value = SV("v"), .ttl_s = 3600 },
			     many_done, m);
	}
}

static void many_wait(struct many *m)
{
	pthread_mutex_lock(&m->mu);
	while (m->open)
		pthread_cond_wait(&m->cond, &m->mu);
	pthread_mutex_unlock(&m->mu);
}

/* At once and before there is any lease: a thousand to each. */
static void test_many(void **state)
{
	struct store *s = ((struct place *)*state)->s;
	struct many m;

	many_begin(&m, s, 2500);
	many_wait(&m);
	assert_int_equal(m.ok, 2500);
	assert_int_equal(leases(s), 3);
}

/* Whoever waits for a lease that nobody grants is told when the store has to end. */
static void test_nobody_grants(void **state)
{
	struct place *p = *state;
	struct many m;

	etcd_member_signal(&p->c.m[0], SIGSTOP);
	many_begin(&m, p->s, 3);
	store_hurry(p->s);
	many_wait(&m);
	assert_int_equal(m.ok, 0);
	p->s = store_close(p->s);
	etcd_member_signal(&p->c.m[0], SIGCONT);
}

#define PLACE(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		PLACE(test_refused), PLACE(test_shared), PLACE(test_gone), PLACE(test_many), PLACE(test_nobody_grants),
	};

	if (!etcd_installed()) {
		puts("# there is no etcd: install etcd-server");
		return 77;
	}
	return cmocka_run_group_tests_name("etcd-ttl", tests, NULL, NULL);
}
