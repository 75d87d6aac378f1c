/* The runtime suite: what every struct runtime must do, on the one named by $RUNTIME.
 *
 * "fake" needs nothing. "containerd" starts a private one in a temporary directory (root, containerd, runc and
 * the CNI plugins needed; otherwise the suite says so and is skipped), with a bridge and addresses of its own,
 * and at the end checks that nothing of it is left on the machine.
 */
#include "runtime_kit.h"

#include "base/strmap.h"
#include "ev/ev.h"
#include "kubelet/cgroups.h"
#include "kubelet/cni.h"
#include "kubelet/fake_runtime.h"
#include "kubelet/fsutil.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static struct env *env;

static void test_version(void **state)
{
	struct rt_version v;
	struct rt_status st;

	(void)state;
	OK(rt->ops->version(rt, &A, &v, &e_));
	assert_true(v.name.n > 0 && v.version.n > 0);
	OK(rt->ops->status(rt, &A, &st, &e_));
	assert_true(st.runtime);
	if (!st.network)
		fail_msg("%.*s", SV_ARG(st.why));
}

static void test_images(void **state)
{
	struct rt_image *img;
	struct rt_image *list;
	size_t n, found = 0;

	(void)state;
	OK(rt->ops->image_status(rt, &A, SV("docker.io/caravel/absent:1"), &img, &e_));
	assert_null(img);
	OK(rt->ops->image_status(rt, &A, SV(DEMO_IMAGE), &img, &e_));
	assert_non_null(img);
	assert_true(img->id.n > 0);
	assert_true(img->size_bytes > 0);
	OK(rt->ops->list_images(rt, &A, &list, &n, &e_));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < list[i].n_tags; j++)
			found += sv_is(list[i].tags[j], DEMO_IMAGE);
	assert_int_equal(found, 1);
	OK(rt->ops->remove_image(rt, SV("docker.io/caravel/absent:1"), &e_));
}

static void test_lifecycle(void **state)
{
	const struct sv cmd[] = { SV("/bin/sh"), SV("-c"),
				  SV("trap 'exit 0' TERM; echo one; echo two >&2; while :; do sleep 0.1; done") };
	struct rt_sandbox_config *sc = sandbox_config("life", "uid-life");
	struct rt_container_config cc = container("main", "uid-life", cmd, 3);
	struct sv sid, cid, out, errs;
	struct rt_sandbox sb, *sbs;
	struct rt_container c, *cs;
	struct err err = ERR_INIT;
	int code;
	size_t n;

	(void)state;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->sandbox_status(rt, &A, sid, &sb, &e_));
	assert_true(sb.ready);
	assert_int_equal(sb.n_ips, 1);
	assert_true(sb.ips[0].n > 6);
	assert_sv(sb.name, "life");
	assert_sv(sb.uid, "uid-life");
	OK(rt->ops->list_sandboxes(rt, &A, SV("uid-life"), &sbs, &n, &e_));
	assert_int_equal(n, 1);
	assert_true(sv_eq(sbs[0].id, sid));
	OK(rt->ops->list_sandboxes(rt, &A, SV("uid-other"), &sbs, &n, &e_));
	assert_int_equal(n, 0);

	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->container_status(rt, &A, cid, &c, &e_));
	assert_int_equal(c.state, RT_CREATED);
	OK(rt->ops->start_container(rt, cid, &e_));
	OK(rt->ops->container_status(rt, &A, cid, &c, &e_));
	assert_int_equal(c.state, RT_RUNNING);
	assert_true(c.started_ns >= c.created_ns);
	assert_sv(c.name, "main");
	assert_int_equal(c.n_annotations, 1);
	assert_sv(c.annotations[0].value, "uid-life");
	OK(rt->ops->list_containers(rt, &A, SV("uid-life"), &cs, &n, &e_));
	assert_int_equal(n, 1);
	assert_true(sv_eq(cs[0].sandbox_id, sid));

	if (!real)
		runtime_fake_exec_result(rt, 3, "hello\n");
	OK(rt->ops->exec_sync(rt, &A, cid, (const struct sv[]){ SV("/bin/sh"), SV("-c"), SV("echo hello; exit 3") }, 3,
			      10, 1024, -1, &out, &errs, &code, &e_));
	assert_sv(out, "hello\n");
	assert_int_equal(code, 3);

	/* A first process without a handler would ignore TERM. */
	OK(rt->ops->stop_container(rt, cid, 30, 60 * NS_PER_SEC, &e_));
	wait_state(cid, RT_RUNNING, &c);
	assert_int_equal(c.state, RT_EXITED);
	assert_true(c.finished_ns >= c.started_ns);
	OK(rt->ops->stop_container(rt, cid, 30, 60 * NS_PER_SEC, &e_)); /* idempotent */
	if (real) {
		struct sv log;

		OK(file_read(&A, arena_printf(&A, "%s/uid-life/main.log", log_dir), 4096, &log, &e_));
		assert_true(sv_find_sv(log, SV(" stdout F one\n")) > 0);
		assert_true(sv_find_sv(log, SV(" stderr F two\n")) > 0);
	}
	OK(rt->ops->remove_container(rt, cid, &e_));
	OK(rt->ops->remove_container(rt, cid, &e_));
	assert_int_equal(rt->ops->container_status(rt, &A, cid, &c, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);

	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->list_sandboxes(rt, &A, SV("uid-life"), &sbs, &n, &e_));
	assert_int_equal(n, 1);
	assert_false(sbs[0].ready);
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
	OK(rt->ops->list_sandboxes(rt, &A, SV(""), &sbs, &n, &e_));
	assert_int_equal(n, 0);
}

/* A stop that is not waited for returns ERR_TIMEOUT and does not kill; killing then works at once. */
static void test_stop_in_two_steps(void **state)
{
	const struct sv cmd[] = { SV("/bin/sh"), SV("-c"), SV("trap '' TERM; while :; do sleep 1; done") };
	struct rt_sandbox_config *sc = sandbox_config("stubborn", "uid-stubborn");
	struct rt_container_config cc = container("main", "uid-stubborn", cmd, 3);
	struct err err = ERR_INIT;
	struct rt_container c;
	struct sv sid, cid;

	(void)state;
	if (!real)
		runtime_fake_ignore_term(rt, true);
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	/* The trap must be set before the signal comes: the shell's child is the sign. */
	if (real) {
		struct sv out, errs;
		int code = 1;

		for (int i = 0; i < 1000 && code; i++) {
			OK(rt->ops->exec_sync(
			    rt, &A, cid, (const struct sv[]){ SV("/bin/sh"), SV("-c"), SV("ps | grep -q '[s]leep 1'") },
			    3, 10, 1024, -1, &out, &errs, &code, &e_));
		}
		assert_int_equal(code, 0);
	}
	assert_int_equal(rt->ops->stop_container(rt, cid, 60, 300 * NS_PER_MS, &err), -1);
	assert_int_equal(err.reason, ERR_TIMEOUT);
	err_release(&err);
	OK(rt->ops->container_status(rt, &A, cid, &c, &e_));
	assert_int_equal(c.state, RT_RUNNING);
	OK(rt->ops->stop_container(rt, cid, 0, 60 * NS_PER_SEC, &e_));
	wait_state(cid, RT_RUNNING, &c);
	assert_int_equal(c.exit_code, 137);
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_)); /* and its containers */
	assert_int_equal(rt->ops->container_status(rt, &A, cid, &c, &err), -1);
	err_release(&err);
	if (!real)
		runtime_fake_ignore_term(rt, false);
}

struct seen {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	char id[128];
};

static void seen_notice(const struct rt_event *ev, void *ctx)
{
	struct seen *s = ctx;

	if (!ev->container_id.n)
		return;
	pthread_mutex_lock(&s->lock);
	snprintf(s->id, sizeof(s->id), "%.*s", SV_ARG(ev->container_id));
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void test_exit_is_noticed(void **state)
{
	/* Static: a notice may still be under way in the fake's task when the test ends. */
	static struct seen s = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "" };
	const struct sv cmd[] = { SV("/bin/sh"), SV("-c"), SV("sleep 0.5; exit 7") };
	struct rt_sandbox_config *sc = sandbox_config("ends", "uid-ends");
	struct rt_container_config cc = container("main", "uid-ends", cmd, 3);
	struct rt_container c;
	struct sv sid, cid;
	char want[128];

	(void)state;
	OK(rt->ops->subscribe(rt, seen_notice, &s, &e_));
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	if (!real)
		runtime_fake_exit(rt, SV("uid-ends"), SV("main"), 7, "Error");
	snprintf(want, sizeof(want), "%.*s", SV_ARG(cid));
	pthread_mutex_lock(&s.lock);
	while (strcmp(s.id, want) != 0)
		pthread_cond_wait(&s.cond, &s.lock); /* the harness's timeout ends a suite that hangs */
	pthread_mutex_unlock(&s.lock);
	wait_state(cid, RT_RUNNING, &c);
	assert_int_equal(c.exit_code, 7);
	assert_sv(c.reason, "Error");
	rt->ops->unsubscribe(rt);
	rt->ops->unsubscribe(rt);
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
}

static void test_config_arrives(void **state)
{
	const struct sv cmd[] = { SV("/bin/sh"), SV("-c"),
				  SV("echo $GREETING; hostname; cat /data/f; id -u; cat /etc/resolv.conf; grep -c . "
				     "/proc/self/status >/dev/null; touch /data/g || echo readonly") };
	struct rt_sandbox_config *sc = sandbox_config("conf", "uid-conf");
	struct rt_container_config cc = container("main", "uid-conf", cmd, 3);
	const struct rt_label envs[] = { { SV("GREETING"), SV("ahoy") } };
	struct rt_mount mount = { .container_path = SV("/data"), .readonly = true };
	const struct sv dns[] = { SV("10.43.0.10") };
	struct rt_container c;
	struct sv sid, cid, log;

	(void)state;
	mount.host_path = arena_svf(&A, "%s/mount", place.dir);
	OK(fs_mkdir_p(arena_cstr(&A, mount.host_path), 0755, &e_));
	OK(fs_write(arena_printf(&A, "%.*s/f", SV_ARG(mount.host_path)), SV("from the host\n"), 0644, &e_));
	sc->dns_servers = dns;
	sc->n_dns_servers = 1;
	cc.envs = envs;
	cc.n_envs = 1;
	cc.mounts = &mount;
	cc.n_mounts = 1;
	cc.run_as_user = 1234;
	cc.memory_limit_bytes = 64 << 20;
	cc.cpu_shares = 512;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	wait_state(cid, RT_RUNNING, &c);
	/* The last line is the sign that the log is complete: the runtime copies it beside the exit. */
	for (int i = 0; i < 1000; i++) {
		OK(file_read(&A, arena_printf(&A, "%s/uid-conf/main.log", log_dir), 8192, &log, &e_));
		if (sv_find_sv(log, SV("readonly")) >= 0)
			break;
		poll(NULL, 0, 5);
	}
	assert_true(sv_find_sv(log, SV("F ahoy\n")) > 0);
	assert_true(sv_find_sv(log, SV("F conf\n")) > 0);
	assert_true(sv_find_sv(log, SV("F from the host\n")) > 0);
	assert_true(sv_find_sv(log, SV("F 1234\n")) > 0);
	assert_true(sv_find_sv(log, SV("F nameserver 10.43.0.10\n")) > 0);
	assert_true(sv_find_sv(log, SV("F readonly\n")) > 0);
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
}

static void test_streaming_addresses(void **state)
{
	const struct sv cmd[] = { SV("/bin/sleep"), SV("1000") };
	struct rt_sandbox_config *sc = sandbox_config("url", "uid-url");
	struct rt_container_config cc = container("main", "uid-url", cmd, 2);
	struct sv sid, cid, url;

	(void)state;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	OK(rt->ops->exec_url(rt, &A, cid, cmd, 2, false, true, true, true, &url, &e_));
	assert_true(sv_starts(url, SV("http://127.0.0.1:")));
	OK(rt->ops->attach_url(rt, &A, cid, false, false, true, true, &url, &e_));
	assert_true(sv_starts(url, SV("http://127.0.0.1:")));
	OK(rt->ops->port_forward_url(rt, &A, sid, (const int[]){ 80 }, 1, &url, &e_));
	assert_true(sv_starts(url, SV("http://127.0.0.1:")));
	OK(rt->ops->reopen_log(rt, cid, &e_));
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
}

/* A command of a minute and more, run from a thread of its own. */
struct command {
	pthread_t thread;
	struct sv cid, seconds;
	int stop_fd;
	enum err_reason said; /* what came of the call */
};

static void *command_run(void *ctx)
{
	struct command *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct sv out, errs;
	int code;

	(void)rt->ops->exec_sync(rt, &a, k->cid, (const struct sv[]){ SV("/bin/sleep"), k->seconds }, 2, 1000, 1024,
				 k->stop_fd, &out, &errs, &code, &err);
	k->said = err.reason;
	err_release(&err);
	return NULL;
}

static bool command_is_there(struct command *k)
{
	struct sv script = arena_svf(&A, "ps | grep -q '[s]leep %.*s'", SV_ARG(k->seconds)), out, errs;
	int code;

	OK(rt->ops->exec_sync(rt, &A, k->cid, (const struct sv[]){ SV("/bin/sh"), SV("-c"), script }, 3, 60, 1024, -1,
			      &out, &errs, &code, &e_));
	return code == 0;
}

static void command_begin(struct command *k, struct sv cid, struct sv seconds)
{
	*k = (struct command){ .cid = cid, .seconds = seconds, .stop_fd = eventfd(0, EFD_CLOEXEC) };
	assert_int_equal(pthread_create(&k->thread, NULL, command_run, k), 0);
	while (!command_is_there(k))
		poll(NULL, 0, 5);
}

static enum err_reason command_end(struct command *k)
{
	pthread_join(k->thread, NULL);
	close(k->stop_fd);
	return k->said;
}

/* A command that is given up ends, whoever waits for it and whatever it may take. */
static void test_exec_given_up(void **state)
{
	const struct sv cmd[] = { SV("/bin/sleep"), SV("1000") };
	struct rt_sandbox_config *sc = sandbox_config("asked", "uid-asked");
	struct rt_container_config cc = container("main", "uid-asked", cmd, 2);
	struct command k;
	struct sv sid, cid;

	(void)state;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	command_begin(&k, cid, SV("777"));
	assert_int_equal(eventfd_write(k.stop_fd, 1), 0);
	assert_int_equal(command_end(&k), ERR_UNAVAILABLE);
	while (command_is_there(&k))
		poll(NULL, 0, 5);
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
}

int daemon_kill(void)
{
	int pid = containerd_pid(daemon_);

	assert_true(pid > 1);
	kill(pid, SIGKILL);
	return pid;
}

void daemon_back(int pid)
{
	struct rt_container *list;
	size_t n;

	for (int i = 0; i < 6000; i++) {
		int now = containerd_pid(daemon_);

		if (now && now != pid && rt->ops->list_containers(rt, &A, SV(""), &list, &n, NULL) == 0)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("the daemon does not come back");
}

void daemon_killed(void)
{
	daemon_back(daemon_kill());
}

/* Containers outlive the daemon, and its end is repaired. What was being run in them for a call does not. */
static void test_daemon_restart(void **state)
{
	struct command k;
	const struct sv cmd[] = { SV("/bin/sleep"), SV("1000") };
	struct rt_sandbox_config *sc = sandbox_config("stay", "uid-stay");
	struct rt_container_config cc = container("main", "uid-stay", cmd, 2);
	struct rt_container c, before;
	struct sv sid, cid;

	(void)state;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
	OK(rt->ops->container_status(rt, &A, cid, &before, &e_));
	command_begin(&k, cid, SV("778"));
	daemon_killed();
	OK(rt->ops->container_status(rt, &A, cid, &c, &e_));
	assert_int_equal(c.state, RT_RUNNING);
	assert_true(c.started_ns == before.started_ns);
	assert_int_not_equal(command_end(&k), 0);
	assert_false(command_is_there(&k));
	OK(rt->ops->stop_sandbox(rt, sid, &e_));
	OK(rt->ops->remove_sandbox(rt, sid, &e_));
}

/* --- the real one's surroundings --- */

static void note_running(void **state)
{
	/* Left on purpose for the cleanup at the end. */
	const struct sv cmd[] = { SV("/bin/sleep"), SV("1000") };
	struct rt_sandbox_config *sc = sandbox_config("left", "uid-left");
	struct rt_container_config cc = container("main", "uid-left", cmd, 2);
	struct sv sid, cid;

	(void)state;
	OK(rt->ops->run_sandbox(rt, &A, sc, &sid, &e_));
	OK(rt->ops->create_container(rt, &A, sid, &cc, sc, &cid, &e_));
	OK(rt->ops->start_container(rt, cid, &e_));
}

int import_demo(struct err *err)
{
	struct sv tar;

	if (image_build_demo(&A, "", &tar, err) < 0)
		return -1;
	return image_import_bytes(containerd_socket(daemon_), place.dir, tar, err);
}

static void start_real(void)
{
	char bridge[16];
	struct err err = ERR_INIT;

	node_place_take(&place, env);
	log_dir = place.log_dir;
	cgroup_root = place.cgroup_root;
	cni_bridge_name(place.dir, bridge);
	if (cni_write(&(struct cni_opts){ .conf_dir = arena_printf(&A, "%s/cni/net.d", place.dir),
					  .state_dir = arena_printf(&A, "%s/cni/state", place.dir),
					  .bridge = bridge,
					  .pod_cidr = place.pod_cidr },
		      &err) < 0)
		goto fail;
	daemon_ = containerd_start(&(struct containerd_opts){ .env = env, .data_dir = place.dir }, &err);
	if (!daemon_)
		goto fail;
	rt = runtime_cri_new(env, containerd_endpoint(daemon_), &err);
	if (!rt || import_demo(&err) < 0)
		goto fail;
	return;
fail:
	fprintf(stderr, "# %s\n", err_msg(&err));
	exit(1);
}

static int finish_real(void)
{
	rt->ops->free(rt);
	daemon_ = containerd_free(daemon_);
	return !node_place_leave(&place, env);
}

#define ON_FAKE 6

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_lifecycle),
		cmocka_unit_test(test_stop_in_two_steps),
		cmocka_unit_test(test_exit_is_noticed),
		cmocka_unit_test(test_handlers),
		/* what only real containers have; nothing behind this line runs on the fake */
		cmocka_unit_test(test_config_arrives),
		cmocka_unit_test(test_streaming_addresses),
		cmocka_unit_test(test_exec_given_up),
		cmocka_unit_test(test_users_and_rights),
		cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_kernel_settings),
		cmocka_unit_test(test_shared_processes),
		cmocka_unit_test(test_signals_and_memory),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_propagation),
		cmocka_unit_test(test_limits_change),
		cmocka_unit_test(test_log_reopened),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_image_in_use),
		cmocka_unit_test(test_daemon_restart),
		cmocka_unit_test(test_ends_are_remembered),
		cmocka_unit_test(test_killed_while_creating),
		cmocka_unit_test(note_running),
	};
	const char *which = getenv("RUNTIME");
	int rc;

	real = which && !strcmp(which, "containerd");
	if (real && (geteuid() != 0 || access("/usr/bin/containerd", X_OK) < 0 || access("/bin/busybox", X_OK) < 0 ||
		     !cni_find_plugins())) {
		fprintf(
		    stderr,
		    "SKIPPED: the containerd suite needs root, containerd, runc, busybox-static and the CNI plugins\n");
		return 77;
	}
	env = env_real_new(4);
	log_dir = "";
	cgroup_root = "";
	if (real) {
		start_real();
	} else {
		rt = runtime_fake_new(env);
		runtime_fake_add_image(rt, DEMO_IMAGE);
	}
	rc = _cmocka_run_group_tests("runtime", tests, real ? ARRAY_LEN(tests) : ON_FAKE, NULL, NULL);
	if (real)
		rc |= finish_real();
	else
		rt->ops->free(rt);
	arena_release(&A);
	env_real_free(env);
	return rc;
}
