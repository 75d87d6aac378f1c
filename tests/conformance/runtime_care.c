/* What is done to containers: the way they are run, new limits, logs, what they use, images, ends of the daemon. */
#include "runtime_kit.h"

#include "kubelet/fsutil.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

void test_handlers(void **state)
{
	struct one o = { 0 };
	struct err err = ERR_INIT;
	struct rt_sandbox *list;
	struct rt_status st;
	size_t n;

	(void)state;
	o.sc = sandbox_config("handled", "uid-handled");
	o.sc->handler = SV("no-such");
	assert_int_equal(rt->ops->run_sandbox(rt, &A, o.sc, &o.sid, &err), -1);
	if (!strstr(err_msg(&err), "no runtime for \"no-such\" is configured"))
		fail_msg("%s", err_msg(&err));
	err_release(&err);
	OK(rt->ops->list_sandboxes(rt, &A, SV("uid-handled"), &list, &n, &e_));
	assert_int_equal(n, 0);
	OK(rt->ops->status(rt, &A, &st, &e_));
	for (size_t i = 0; i < st.features.n_handlers; i++) { /* what it names, it has */
		o.sc->handler = st.features.handlers[i].name;
		OK(rt->ops->run_sandbox(rt, &A, o.sc, &o.sid, &e_));
		end_one(&o);
	}
	if (!real)
		return;
	o.sc->handler = SV("runc");
	o.sid = SV("");
	run_one(&o, "handled", "exec sleep 1000");
	assert_sv(inside(o.cid, "echo ahoy"), "ahoy");
	end_one(&o);
}

#define MEMORY "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
#define QUOTA "cut -d' ' -f1 /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"

static void tweak_limits(struct one *o)
{
	o->cc.cpu_period = 100000;
	o->cc.cpu_quota = 50000;
	o->cc.memory_limit_bytes = 64 << 20;
}

void test_limits_change(void **state)
{
	struct one o = { .tweak = tweak_limits };
	struct rt_container before, after;

	(void)state;
	run_one(&o, "limits", "exec sleep 1000");
	assert_sv(inside(o.cid, MEMORY), "67108864");
	assert_sv(inside(o.cid, QUOTA), "50000");
	OK(rt->ops->container_status(rt, &A, o.cid, &before, &e_));
	o.cc.memory_limit_bytes = 96 << 20;
	o.cc.cpu_quota = 25000;
	OK(rt->ops->update_resources(rt, o.cid, &o.cc, &e_));
	assert_sv(inside(o.cid, MEMORY), "100663296");
	assert_sv(inside(o.cid, QUOTA), "25000");
	o.cc.memory_limit_bytes = 32 << 20;
	OK(rt->ops->update_resources(rt, o.cid, &o.cc, &e_));
	assert_sv(inside(o.cid, MEMORY), "33554432");
	OK(rt->ops->container_status(rt, &A, o.cid, &after, &e_));
	assert_true(before.started_ns == after.started_ns);
	end_one(&o);
}

/* The numbers that its lines carry follow on those before. */
static void count_on(const char *path, int64_t *next, bool *over)
{
	struct sv log, line, word;
	int64_t n;

	OK(file_read(&A, path, 1 << 28, &log, &e_));
	while (sv_split(&log, '\n', &line)) {
		ssize_t at = sv_find_sv(line, SV(" stdout F "));

		if (!line.n)
			continue;
		assert_true(at > 0);
		word = sv_sub(line, (size_t)at + 10, line.n);
		*over |= sv_is(word, "over");
		if (*over)
			continue;
		assert_true(sv_to_i64(word, &n));
		assert_int_equal(n, *next);
		++*next;
	}
}

/* The file is moved and a new one begun, again and again, and no line is lost, doubled or torn. */
void test_log_reopened(void **state)
{
	struct one o = { 0 };
	const char *path;
	struct rt_container c;
	int64_t next = 0;
	bool over = false;

	(void)state;
	run_one(&o, "log", "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); done; echo over");
	path = arena_printf(&A, "%.*s/%.*s", SV_ARG(o.sc->log_dir), SV_ARG(o.cc.log_path));
	for (int i = 0; i < 4; i++) {
		log_with(&o, " F ");
		assert_int_equal(rename(path, arena_printf(&A, "%s.%d", path, i)), 0);
		OK(rt->ops->reopen_log(rt, o.cid, &e_));
	}
	log_with(&o, " F ");
	inside(o.cid, "touch /stop");
	wait_state(o.cid, RT_RUNNING, &c);
	log_with(&o, " F over\n");
	for (int i = 0; i < 4; i++)
		count_on(arena_printf(&A, "%s.%d", path, i), &next, &over);
	assert_false(over);
	count_on(path, &next, &over);
	assert_true(over && next > 0);
	end_one(&o);
}

void test_stats(void **state)
{
	struct one o = { 0 };
	struct rt_stats *list, found = { 0 };
	struct sv mountpoint;
	uint64_t bytes;
	size_t n;

	(void)state;
	run_one(&o, "used", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo over; exec sleep 1000");
	log_with(&o, "over");
	OK(rt->ops->stats(rt, &A, &list, &n, &e_));
	for (size_t i = 0; i < n; i++)
		if (sv_eq(list[i].container_id, o.cid))
			found = list[i];
	assert_sv(found.name, "main");
	assert_sv(found.pod_uid, "uid-used");
	assert_true(found.cpu_usage_ns > 0);
	assert_true(found.memory_working_set_bytes > 0);
	assert_true(found.timestamp_ns > 0);
	OK(rt->ops->fs_usage(rt, &A, &bytes, &mountpoint, &e_));
	assert_true(mountpoint.n > 0);
	end_one(&o);
}

/* An image goes by its name; who was made of it runs on. Of what is not there nothing is made. */
void test_image_in_use(void **state)
{
	struct one o = { 0 };
	struct err err = ERR_INIT;
	struct rt_container c;
	struct rt_image *img;
	struct sv id;

	(void)state;
	run_one(&o, "image", "exec sleep 1000");
	OK(rt->ops->remove_image(rt, SV(DEMO_IMAGE), &e_));
	OK(rt->ops->image_status(rt, &A, SV(DEMO_IMAGE), &img, &e_));
	assert_null(img);
	OK(rt->ops->container_status(rt, &A, o.cid, &c, &e_));
	assert_int_equal(c.state, RT_RUNNING);
	assert_sv(inside(o.cid, "echo ahoy"), "ahoy");
	o.cc.name = SV("later");
	assert_int_equal(rt->ops->create_container(rt, &A, o.sid, &o.cc, o.sc, &id, &err), -1);
	err_release(&err);
	OK(import_demo(&e_));
	OK(rt->ops->create_container(rt, &A, o.sid, &o.cc, o.sc, &id, &e_));
	end_one(&o);
}

static struct sv signs; /* a directory of both sides */

static void tweak_signs(struct one *o)
{
	struct rt_mount *m = ARENA_NEW(&A, struct rt_mount);

	*m = (struct rt_mount){ .container_path = SV("/signs"), .host_path = signs };
	o->cc.mounts = m;
	o->cc.n_mounts = 1;
}

/* How a container ended is known when the daemon is another one: of one that had ended, and of one that ends while
 * there is none. */
void test_ends_are_remembered(void **state)
{
	struct one before = { 0 }, meanwhile = { .tweak = tweak_signs };
	struct rt_container c, *list;
	size_t n;
	int pid;

	(void)state;
	signs = arena_svf(&A, "%s/signs", place.dir);
	OK(fs_mkdir_p(arena_cstr(&A, signs), 0755, &e_));
	run_one(&before, "before", "exit 5");
	wait_state(before.cid, RT_RUNNING, &c);
	run_one(&meanwhile, "meanwhile", "while [ ! -e /signs/go ]; do usleep 1000; done; exit 9");
	pid = daemon_kill();
	OK(fs_write(arena_printf(&A, "%.*s/go", SV_ARG(signs)), SV(""), 0644, &e_));
	daemon_back(pid);
	OK(rt->ops->list_containers(rt, &A, SV("uid-before"), &list, &n, &e_));
	assert_int_equal(n, 1);
	OK(rt->ops->container_status(rt, &A, before.cid, &c, &e_));
	assert_int_equal(c.state, RT_EXITED);
	assert_int_equal(c.exit_code, 5);
	wait_state(meanwhile.cid, RT_RUNNING, &c);
	assert_int_equal(c.state, RT_EXITED);
	assert_int_equal(c.exit_code, 9);
	end_one(&before);
	end_one(&meanwhile);
}

struct making {
	struct one *o;
	struct rt_container_config cc;
};

static void *make_thread(void *ctx)
{
	struct making *m = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv id;

	(void)rt->ops->create_container(rt, &a, m->o->sid, &m->cc, m->o->sc, &id, NULL);
	return NULL;
}

/* The daemon dies in the middle of making a container: another one can be made, and nothing is left of the first that
 * is not listed. */
void test_killed_while_creating(void **state)
{
	struct one o = { 0 };
	struct rt_container *list;
	size_t n;

	(void)state;
	run_one(&o, "half", "exec sleep 1000");
	for (int i = 0; i < 2; i++) { /* each time the daemon is longer in coming back */
		struct making m = { .o = &o, .cc = o.cc };
		pthread_t t;

		m.cc.name = arena_svf(&A, "half-%d", i);
		assert_int_equal(pthread_create(&t, NULL, make_thread, &m), 0);
		poll(NULL, 0, i * 20); /* wherever that is */
		daemon_killed();
		pthread_join(t, NULL);
		OK(rt->ops->list_containers(rt, &A, SV("uid-half"), &list, &n, &e_));
		for (size_t j = 0; j < n; j++)
			if (sv_eq(list[j].name, m.cc.name))
				OK(rt->ops->remove_container(rt, list[j].id, &e_));
		run_in(&o, &m.cc);
		assert_sv(inside(o.cid, "echo ahoy"), "ahoy");
	}
	end_one(&o);
}
