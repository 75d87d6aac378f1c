#include "runtime_kit.h"

#include "kubelet/fsutil.h"

#include <poll.h>

struct runtime *rt;
struct containerd *daemon_;
struct node_place place;
const char *log_dir, *cgroup_root;
bool real;
struct arena A;

/* --- one sandbox with labels, as the kubelet makes them --- */

struct rt_sandbox_config *sandbox_config(const char *name, const char *uid)
{
	struct rt_sandbox_config *c = ARENA_NEW(&A, struct rt_sandbox_config);
	struct rt_label *l = ARENA_ARRAY(&A, struct rt_label, 2);

	l[0] = (struct rt_label){ SV("io.kubernetes.pod.uid"), sv_from(uid) };
	l[1] = (struct rt_label){ SV("empty"), SV("") };
	*c = (struct rt_sandbox_config){ .name = sv_from(name),
					 .ns = SV("default"),
					 .uid = sv_from(uid),
					 .hostname = sv_from(name),
					 .log_dir = arena_svf(&A, "%s/%s", log_dir, uid),
					 .labels = l,
					 .n_labels = 2,
					 .run_as_user = -1,
					 .run_as_group = -1,
					 .cgroup_parent = sv_from(arena_printf(&A, "%s/pod%s", cgroup_root, uid)),
					 .seccomp = SV("RuntimeDefault") };
	if (real)
		OK(fs_mkdir_p(arena_cstr(&A, c->log_dir), 0755, &e_));
	return c;
}

struct rt_container_config container(const char *name, const char *uid, const struct sv *cmd, size_t n)
{
	struct rt_label *l = ARENA_ARRAY(&A, struct rt_label, 1);

	l[0] = (struct rt_label){ SV("io.kubernetes.pod.uid"), sv_from(uid) };
	return (struct rt_container_config){ .name = sv_from(name),
					     .image = SV(DEMO_IMAGE),
					     .log_path = arena_svf(&A, "%s.log", name),
					     .command = cmd,
					     .n_command = n,
					     .labels = l,
					     .n_labels = 1,
					     .annotations = l,
					     .n_annotations = 1,
					     .run_as_user = -1,
					     .run_as_group = -1,
					     .pid_mode = 1 };
}

/* The container's state once it is no longer `was`; asked again every few milliseconds, at most a minute. */
void wait_state(struct sv id, enum rt_state was, struct rt_container *ret)
{
	for (int i = 0; i < 12000; i++) {
		OK(rt->ops->container_status(rt, &A, id, ret, &e_));
		if (ret->state != was)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("container %.*s stays in state %d", SV_ARG(id), was);
}

/* --- one container that runs a script --- */

void run_in(struct one *o, struct rt_container_config *cc)
{
	OK(rt->ops->create_container(rt, &A, o->sid, cc, o->sc, &o->cid, &e_));
	OK(rt->ops->start_container(rt, o->cid, &e_));
}

void run_one(struct one *o, const char *name, const char *script)
{
	struct sv *cmd = ARENA_ARRAY(&A, struct sv, 3);

	cmd[0] = SV("/bin/sh");
	cmd[1] = SV("-c");
	cmd[2] = sv_from(script);
	if (!o->sc)
		o->sc = sandbox_config(name, arena_printf(&A, "uid-%s", name));
	o->cc = container("main", arena_printf(&A, "uid-%s", name), cmd, 3);
	if (o->tweak)
		o->tweak(o);
	if (!o->sid.n)
		OK(rt->ops->run_sandbox(rt, &A, o->sc, &o->sid, &e_));
	run_in(o, &o->cc);
}

void end_one(struct one *o)
{
	OK(rt->ops->stop_sandbox(rt, o->sid, &e_));
	OK(rt->ops->remove_sandbox(rt, o->sid, &e_));
}

struct sv inside(struct sv cid, const char *script)
{
	struct sv out, errs;
	int code;

	OK(rt->ops->exec_sync(rt, &A, cid, (const struct sv[]){ SV("/bin/sh"), SV("-c"), sv_from(script) }, 3, 60,
			      1 << 20, -1, &out, &errs, &code, &e_));
	if (code)
		fail_msg("%s: %d: %.*s", script, code, SV_ARG(errs));
	return sv_trim(out);
}

struct sv log_with(struct one *o, const char *word)
{
	const char *path = arena_printf(&A, "%.*s/%.*s", SV_ARG(o->sc->log_dir), SV_ARG(o->cc.log_path));
	struct sv log = SV("");

	for (int i = 0; i < 12000; i++) {
		if (file_read(&A, path, 1 << 20, &log, NULL) == 0 && sv_find_sv(log, sv_from(word)) >= 0)
			return log;
		poll(NULL, 0, 5);
	}
	fail_msg("'%s' never comes in %s: %.*s", word, path, SV_ARG(log));
	return log;
}
