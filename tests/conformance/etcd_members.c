/* store/etcd/members.h against real etcds: who is refused, whose place is given to whom, who may go. */
#include "etcd_kit.h"
#include "store/etcd/etcd.h"
#include "store/etcd/members.h"
#include "store_kit.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct place {
	struct etcd_cluster c;
	struct store *s;
	struct arena a;
	char dir[64];
};

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	kit_mkdir(p->dir);
	etcd_cluster_start(&p->c, 3, p->dir);
	p->s = store_etcd_open(
	    &thread_env, &(struct store_etcd_opts){ .endpoints = p->c.endpoints, .patience = ETCD_PATIENCE }, NULL);
	*state = p;
	return p->s ? 0 : -1;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	store_close(p->s);
	etcd_cluster_stop(&p->c);
	arena_release(&p->a);
	kit_rmdir(p->dir);
	free(p);
	return 0;
}

static struct sv peer_of(struct place *p, int i)
{
	return arena_svf(&p->a, "http://127.0.0.1:%d", p->c.m[i].peer_port);
}

static const struct etcd_member *at(struct place *p, struct etcd_members *l, struct sv peer)
{
	assert_int_equal(etcd_members_list(p->s, &p->a, l, NULL), 0);
	for (size_t i = 0; i < l->n; i++)
		if (sv_eq(l->m[i].peer, peer))
			return &l->m[i];
	return NULL;
}

/* All three have said their names: the cluster refuses changes before. */
static void wait_names(struct place *p)
{
	struct etcd_members l;
	size_t named;

	do {
		named = 0;
		assert_int_equal(etcd_members_list(p->s, &p->a, &l, NULL), 0);
		for (size_t i = 0; i < l.n; i++)
			named += l.m[i].name.n > 0;
	} while (named < 3);
}

static void refused(struct place *p, struct sv peer, enum err_reason reason, const char *words)
{
	struct err err = ERR_INIT;
	struct etcd_members l;
	uint64_t id;

	assert_int_equal(etcd_members_join(p->s, &p->a, peer, &l, &id, &err), -1);
	if (err.reason != reason || !strstr(err_msg(&err), words))
		fail_msg("%s", err_msg(&err));
	err_release(&err);
}

/* etcd wants its members connected for some seconds before it adds one. */
static uint64_t joins(struct place *p, struct sv peer)
{
	struct err err = ERR_INIT;
	struct etcd_members l;
	uint64_t id;

	while (etcd_members_join(p->s, &p->a, peer, &l, &id, &err) < 0) {
		if (!strstr(err_msg(&err), "unhealthy cluster"))
			fail_msg("%s", err_msg(&err));
		err_release(&err);
	}
	return id;
}

static void nobody_alive_is_replaced(void **state)
{
	struct place *p = *state;
	struct etcd_members l;
	uint64_t before, id;

	wait_names(p);
	before = at(p, &l, peer_of(p, 2))->id;
	refused(p, peer_of(p, 2), ERR_CONFLICT, "the member 'm2' of this cluster runs at http://127.0.0.1:");
	assert_int_equal(at(p, &l, peer_of(p, 2))->id, before);
	assert_int_equal(l.n, 3);
	/* One that is gone is. */
	etcd_member_kill(&p->c.m[2]);
	id = joins(p, peer_of(p, 2));
	assert_true(id != before);
	assert_int_equal(at(p, &l, peer_of(p, 2))->id, id);
	assert_true(at(p, &l, peer_of(p, 2))->learner);
	assert_int_equal(l.n, 3);
}

/* While one is down etcd adds none. Who asks is told at once which one, and what others ask keeps its connection: with
 * ETCD_PATIENCE the question would be asked for minutes, at one member after the other. */
static void who_is_down_is_named(void **state)
{
	struct place *p = *state;
	struct etcd_members l;
	int64_t begun;

	wait_names(p);
	etcd_member_kill(&p->c.m[2]);
	assert_non_null(at(p, &l, peer_of(p, 2)));
	while (etcd_members_answers(p->s, at(p, &l, peer_of(p, 2))))
		;
	begun = env_mono_ns(&thread_env);
	refused(p, SV("http://127.0.0.9:1"), ERR_UNAVAILABLE, "the server 'm2' at http://127.0.0.1:");
	refused(p, SV("http://127.0.0.9:1"), ERR_UNAVAILABLE, "'caravel server remove m2'");
	assert_true(env_mono_ns(&thread_env) - begun < 60 * NS_PER_SEC);
	assert_true(put(p->s, "/registry/x", "1", STORE_ANY_REV) > 0);
	/* It is taken away, and the next one comes. */
	while (etcd_members_remove(p->s, at(p, &l, peer_of(p, 2))->id, NULL) < 0)
		;
	joins(p, SV("http://127.0.0.9:1"));
}

static void a_minute_is_over(struct place *p, uint64_t id)
{
	struct sv key = arena_svf(&p->a, ETCD_JOINING "%016" PRIx64, id);

	assert_true(del(p->s, arena_cstr(&p->a, key), STORE_ANY_REV) > 0);
}

static void who_never_came_makes_room(void **state)
{
	struct place *p = *state;
	struct sv stray = SV("http://127.0.0.9:1"), next = SV("http://127.0.0.9:2");
	struct etcd_members l;
	uint64_t id;

	wait_names(p);
	id = joins(p, stray);
	refused(p, next, ERR_UNAVAILABLE, "at http://127.0.0.9:1");
	assert_non_null(at(p, &l, stray));
	/* The same once more is its own place. */
	assert_true(joins(p, stray) != id);
	id = at(p, &l, stray)->id;
	a_minute_is_over(p, id);
	joins(p, next);
	assert_null(at(p, &l, stray));
	assert_non_null(at(p, &l, next));
}

struct noted {
	struct place *p;
	const char *key;
};

/* What the server that added it does, on a slow disk. */
static void *note_late(void *arg)
{
	struct noted *n = arg;

	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	return put(n->p->s, n->key, "", STORE_ANY_REV) > 0 ? n : NULL;
}

/* Somebody asked between the first one's being added and the note of its minute. */
static void who_has_just_come_keeps_its_place(void **state)
{
	struct place *p = *state;
	struct sv first = SV("http://127.0.0.9:1"), second = SV("http://127.0.0.9:2");
	struct noted n = { .p = p };
	struct etcd_members l;
	pthread_t thread;
	uint64_t id;
	void *made;

	wait_names(p);
	id = joins(p, first);
	a_minute_is_over(p, id);
	n.key = arena_cstr(&p->a, arena_svf(&p->a, ETCD_JOINING "%016" PRIx64, id));
	assert_int_equal(pthread_create(&thread, NULL, note_late, &n), 0);
	refused(p, second, ERR_UNAVAILABLE, "its place is given away when it has not come within a minute");
	pthread_join(thread, &made);
	assert_non_null(made);
	assert_int_equal(at(p, &l, first)->id, id);
	assert_null(at(p, &l, second));
}

static void who_may_go(void **state)
{
	struct place *p = *state;
	struct err err = ERR_INIT;
	struct etcd_members l;

	wait_names(p);
	assert_int_equal(etcd_members_list(p->s, &p->a, &l, NULL), 0);
	assert_int_equal(etcd_members_may_go(p->s, &l, at(p, &l, peer_of(p, 0))->id, NULL), 0);
	etcd_member_kill(&p->c.m[2]);
	/* The dead one may, no other one. */
	assert_int_equal(etcd_members_may_go(p->s, &l, at(p, &l, peer_of(p, 1))->id, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	assert_non_null(strstr(err_msg(&err), "1 of the 2 members that would be left"));
	err_release(&err);
	assert_int_equal(etcd_members_may_go(p->s, &l, at(p, &l, peer_of(p, 2))->id, NULL), 0);
	/* And not the last. */
	l.n = 1;
	assert_int_equal(etcd_members_may_go(p->s, &l, l.m[0].id, &err), -1);
	assert_non_null(strstr(err_msg(&err), "the only member"));
	err_release(&err);
}

/* URLs are what a member has said: with more of them than one, as many as a list of endpoints may have. */
static void of_many_urls_the_first_is_asked(void **state)
{
	struct place *p = *state;
	struct sv rest = sv_from(p->c.endpoints), url;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	assert_true(sv_split(&rest, ',', &url));
	buf_addsv(&b, url);
	for (int i = 1; i < 16; i++)
		buf_adds(&b, ",http://127.0.0.9:1");
	while (!etcd_members_answers(p->s, &(struct etcd_member){ .client = url })) /* it starts */
		kit_rest();
	assert_true(etcd_members_answers(p->s, &(struct etcd_member){ .client = buf_sv(&b) }));
	buf_adds(&b, ",http://127.0.0.9:1");
	assert_false(etcd_members_answers(p->s, &(struct etcd_member){ .client = buf_sv(&b) }));
}

static void names(void **state)
{
	struct etcd_members l = { .m = { { .id = 1, .name = SV("cp-1-0000abcd") },
					 { .id = 2, .name = SV("cp-1-0000abce") },
					 { .id = 3, .name = SV("cp-2-00000001") },
					 { .id = 4 } },
				  .n = 4 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(etcd_members_named(&l, SV("cp-1-0000abcd"), NULL)->id, 1);
	assert_int_equal(etcd_members_named(&l, SV("cp-2"), NULL)->id, 3);
	assert_int_equal(etcd_members_named(&l, SV("0000000000000004"), NULL)->id, 4);
	assert_null(etcd_members_named(&l, SV("cp-1"), &err));
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	assert_null(etcd_members_named(&l, SV("cp"), &err));
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_null(etcd_members_named(&l, SV(""), &err)); /* which one has not said its name is no name */
	err_release(&err);
}

#define PLACE(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		PLACE(nobody_alive_is_replaced),
		PLACE(who_is_down_is_named),
		PLACE(who_never_came_makes_room),
		PLACE(who_has_just_come_keeps_its_place),
		PLACE(who_may_go),
		PLACE(of_many_urls_the_first_is_asked),
	};

	if (!etcd_installed()) {
		puts("# there is no etcd: install etcd-server");
		return 77;
	}
	return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
