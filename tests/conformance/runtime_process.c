/* What a container's processes get: who they are, what they may, what they see. */
#include "runtime_kit.h"

#include "kubelet/fsutil.h"

#include <sys/mount.h>

#define STATUS "cat /proc/self/status"

static void tweak_rights(struct one *o)
{
	static const int64_t groups[] = { 4000, 4001 };
	static const struct sv drop[] = { SV("ALL") }, add[] = { SV("NET_BIND_SERVICE") };
	static const struct sv masked[] = { SV("/proc/keys"), SV("/proc/scsi") }, readonly[] = { SV("/proc/sys") };

	o->cc.run_as_user = 1000;
	o->cc.run_as_group = 1001;
	o->cc.supplemental_groups = groups;
	o->cc.n_supplemental_groups = 2;
	o->cc.drop_caps = drop;
	o->cc.n_drop_caps = 1;
	o->cc.add_caps = add;
	o->cc.n_add_caps = 1;
	o->cc.no_new_privs = o->cc.readonly_rootfs = true;
	o->cc.seccomp = SV("RuntimeDefault");
	o->cc.masked_paths = masked;
	o->cc.n_masked_paths = 2;
	o->cc.readonly_paths = readonly;
	o->cc.n_readonly_paths = 1;
}

static void has(struct sv text, const char *what)
{
	if (sv_find_sv(text, sv_from(what)) < 0)
		fail_msg("'%s' is not in: %.*s", what, SV_ARG(text));
}

void test_users_and_rights(void **state)
{
	struct one o = { .tweak = tweak_rights };
	struct sv status;

	(void)state;
	run_one(&o, "rights", "exec sleep 1000");
	status = inside(o.cid, STATUS);
	has(status, "Uid:\t1000\t1000\t1000\t1000\n");
	has(status, "Gid:\t1001\t1001\t1001\t1001\n");
	has(status, "CapBnd:\t0000000000000400\n");
	has(status, "NoNewPrivs:\t1\n");
	has(status, "Seccomp:\t2\n");
	assert_sv(inside(o.cid, "id -G | tr ' ' '\\n' | sort | tr '\\n' ' '"), "1001 4000 4001");
	/* The first process is given the same as what is run beside it. */
	has(inside(o.cid, "cat /proc/1/status"), "CapBnd:\t0000000000000400\n");
	assert_sv(inside(o.cid, "touch /x 2>/dev/null || echo no"), "no");
	assert_sv(inside(o.cid, "wc -c </proc/keys"), "0");
	assert_sv(inside(o.cid, "grep -c ' /proc/sys ro,' /proc/self/mountinfo; true"), "1");
	end_one(&o);
}

static void tweak_privileged(struct one *o)
{
	o->sc->privileged = o->cc.privileged = true;
	o->cc.seccomp = SV("Unconfined");
}

void test_privileged(void **state)
{
	struct one o = { .tweak = tweak_privileged };
	struct sv status;

	(void)state;
	run_one(&o, "mighty", "exec sleep 1000");
	status = inside(o.cid, STATUS);
	has(status, "Uid:\t0\t");
	has(status, "NoNewPrivs:\t0\n");
	has(status, "Seccomp:\t0\n");
	/* Whatever the machine lets us have ourselves. */
	assert_sv(inside(o.cid, "grep -c '^CapEff.*0000000000000000' /proc/self/status; true"), "0");
	assert_sv(inside(o.cid, "mkdir /m && mount -t tmpfs none /m && echo yes"), "yes");
	end_one(&o);
}

static void tweak_settings(struct one *o)
{
	static const struct rt_label sysctls[] = { { SV("net.ipv4.ip_unprivileged_port_start"), SV("80") },
						   { SV("kernel.shm_rmid_forced"), SV("1") } };

	o->sc->sysctls = sysctls;
	o->sc->n_sysctls = 2;
}

void test_kernel_settings(void **state)
{
	struct one o = { .tweak = tweak_settings };

	(void)state;
	run_one(&o, "settings", "exec sleep 1000");
	assert_sv(inside(o.cid, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "80");
	assert_sv(inside(o.cid, "cat /proc/sys/kernel/shm_rmid_forced"), "1");
	end_one(&o);
}

static void tweak_shared(struct one *o)
{
	o->sc->share_pid = true;
	o->cc.pid_mode = 0;
}

/* One family, or each its own; and the mode in which one of the pod looks at another. */
void test_shared_processes(void **state)
{
	struct one o = { .tweak = tweak_shared }, own = { 0 };
	struct sv first;

	(void)state;
	run_one(&o, "family", "exec sleep 1001");
	first = o.cid;
	o.cc.name = SV("second");
	o.cc.log_path = SV("second.log");
	run_in(&o, &o.cc);
	has(inside(o.cid, "ps"), "pause");
	assert_sv(inside(o.cid, "ps | grep -c '[s]leep 1001'"), "2");
	assert_sv(inside(first, "ps | grep -c '[s]leep 1001'"), "2");
	end_one(&o);

	run_one(&own, "alone", "exec sleep 1002");
	first = own.cid;
	assert_sv(inside(first, "cat /proc/1/comm"), "sleep");
	own.cc.name = SV("looks");
	own.cc.log_path = SV("looks.log");
	own.cc.pid_mode = 3;
	own.cc.pid_target = first;
	run_in(&own, &own.cc);
	assert_sv(inside(own.cid, "ps | grep -c '[s]leep 1002'"), "2");
	end_one(&own);
}

static void ended(struct one *o, int code, const char *reason)
{
	struct rt_container c;

	wait_state(o->cid, RT_RUNNING, &c);
	assert_int_equal(c.state, RT_EXITED);
	assert_int_equal(c.exit_code, code);
	assert_sv(c.reason, reason);
	end_one(o);
}

static void tweak_small(struct one *o)
{
	o->cc.memory_limit_bytes = 16 << 20;
}

/* The end is told as a shell would: 128 and the signal; and who was short of memory. */
void test_signals_and_memory(void **state)
{
	struct one term = { .tweak = tweak_shared }, kill = { .tweak = tweak_shared }, big = { .tweak = tweak_small },
		   fine = { 0 };

	(void)state;
	run_one(&term, "term", "kill -TERM $$; sleep 1000");
	ended(&term, 143, "Error");
	run_one(&kill, "kill", "kill -KILL $$; sleep 1000");
	ended(&kill, 137, "Error");
	run_one(&big, "big", "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
	ended(&big, 137, "OOMKilled");
	run_one(&fine, "fine", "exit 0");
	ended(&fine, 0, "Completed");
}

static void tweak_tty(struct one *o)
{
	o->cc.tty = o->cc.stdin = true;
}

void test_terminal(void **state)
{
	struct one o = { .tweak = tweak_tty }, plain = { 0 };

	(void)state;
	run_one(&o, "tty", "test -t 0 && test -t 1 && test -t 2 && echo terminal; echo over");
	has(log_with(&o, "over"), "stdout F terminal");
	ended(&o, 0, "Completed");
	run_one(&plain, "notty", "test -t 0 || test -t 1 || test -t 2 || echo none; echo over");
	has(log_with(&plain, "over"), "stdout F none");
	ended(&plain, 0, "Completed");
}

static struct sv shared_dir;

static void tweak_mounts(struct one *o)
{
	static const char *const names[] = { "/private", "/slave", "/shared" };
	struct rt_mount *m = ARENA_ARRAY(&A, struct rt_mount, 3);

	tweak_privileged(o); /* who mounts for others must be */
	for (int i = 0; i < 3; i++)
		m[i] =
		    (struct rt_mount){ .container_path = sv_from(names[i]), .host_path = shared_dir, .propagation = i };
	o->cc.mounts = m;
	o->cc.n_mounts = 3;
}

/* What is mounted on one side while the container runs: nothing of it, the host's, both ways. */
void test_propagation(void **state)
{
	struct one o = { .tweak = tweak_mounts };
	const char *dir = arena_printf(&A, "%s/shared", place.dir);
	struct sv text;

	(void)state;
	shared_dir = sv_from(dir);
	OK(fs_mkdir_p(arena_printf(&A, "%s/host", dir), 0755, &e_));
	OK(fs_mkdir_p(arena_printf(&A, "%s/inner", dir), 0755, &e_));
	assert_int_equal(mount(dir, dir, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, dir, NULL, MS_SHARED, NULL), 0);
	run_one(&o, "mounts", "exec sleep 1000");
	assert_int_equal(mount("none", arena_printf(&A, "%s/host", dir), "tmpfs", 0, NULL), 0);
	OK(fs_write(arena_printf(&A, "%s/host/f", dir), SV("seen"), 0644, &e_));
	assert_sv(inside(o.cid, "cat /private/host/f 2>/dev/null || echo no"), "no");
	assert_sv(inside(o.cid, "cat /slave/host/f"), "seen");
	assert_sv(inside(o.cid, "cat /shared/host/f"), "seen");
	inside(o.cid, "mount -t tmpfs none /slave/inner && echo x >/slave/inner/f");
	assert_int_equal(file_read(&A, arena_printf(&A, "%s/inner/f", dir), 16, &text, NULL), -1);
	inside(o.cid, "umount /slave/inner; mount -t tmpfs none /shared/inner && echo out >/shared/inner/f");
	OK(file_read(&A, arena_printf(&A, "%s/inner/f", dir), 16, &text, &e_));
	assert_sv(text, "out\n");
	end_one(&o);
	umount2(arena_printf(&A, "%s/inner", dir), MNT_DETACH);
	umount2(arena_printf(&A, "%s/host", dir), MNT_DETACH);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}
