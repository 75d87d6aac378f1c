/* ContainerConfig and the calls on containers. */
#include "kubelet/cri/cri.h"

static void put_resources(struct buf *b, uint32_t field, const struct rt_container_config *c)
{
	size_t m = pb_open(b, field);

	pb_i64(b, 1, c->cpu_period);
	pb_i64(b, 2, c->cpu_quota);
	pb_i64(b, 3, c->cpu_shares);
	pb_i64(b, 4, c->memory_limit_bytes);
	pb_i64(b, 5, c->oom_score_adj);
	pb_close(b, m);
}

static void put_security(struct buf *b, const struct rt_container_config *c)
{
	size_t m = pb_open(b, 2), s;

	if (c->n_add_caps || c->n_drop_caps) {
		s = pb_open(b, 1);
		cri_put_strings(b, 1, c->add_caps, c->n_add_caps);
		cri_put_strings(b, 2, c->drop_caps, c->n_drop_caps);
		pb_close(b, s);
	}
	pb_bool(b, 2, c->privileged);
	s = pb_open(b, 3);
	pb_u64(b, 1, c->host_network ? 2 : 0);
	pb_u64(b, 2, c->host_pid ? 2 : (uint64_t)c->pid_mode);
	pb_u64(b, 3, c->host_ipc ? 2 : 0);
	if (c->pid_mode == 3 && !c->host_pid)
		pb_sv(b, 4, c->pid_target);
	pb_close(b, s);
	cri_put_selinux(b, 4, &c->selinux);
	cri_put_int64_value(b, 5, c->run_as_user);
	pb_sv(b, 6, c->run_as_username);
	pb_bool(b, 7, c->readonly_rootfs);
	for (size_t i = 0; i < c->n_supplemental_groups; i++) {
		pb_varint(b, 8 << 3);
		pb_varint(b, (uint64_t)c->supplemental_groups[i]);
	}
	pb_bool(b, 11, c->no_new_privs);
	cri_put_int64_value(b, 12, c->run_as_group);
	cri_put_strings(b, 13, c->masked_paths, c->n_masked_paths);
	cri_put_strings(b, 14, c->readonly_paths, c->n_readonly_paths);
	cri_put_profile(b, 15, c->seccomp);
	cri_put_profile(b, 16, c->apparmor);
	pb_u64(b, 17, c->strict_groups ? 1 : 0);
	pb_close(b, m);
}

static void cri_container_put_config(struct buf *b, uint32_t field, const struct rt_container_config *c)
{
	size_t m = pb_open(b, field), s;

	s = pb_open(b, 1);
	pb_sv(b, 1, c->name);
	pb_u64(b, 2, c->attempt);
	pb_close(b, s);
	s = pb_open(b, 2);
	pb_sv(b, 1, c->image_ref.n ? c->image_ref : c->image);
	pb_sv(b, 18, c->image);
	pb_close(b, s);
	cri_put_strings(b, 3, c->command, c->n_command);
	cri_put_strings(b, 4, c->args, c->n_args);
	pb_sv(b, 5, c->working_dir);
	cri_put_labels(b, 6, c->envs, c->n_envs); /* KeyValue has a map entry's shape */
	for (size_t i = 0; i < c->n_mounts; i++) {
		s = pb_open(b, 7);
		pb_sv(b, 1, c->mounts[i].container_path);
		pb_sv(b, 2, c->mounts[i].host_path);
		pb_bool(b, 3, c->mounts[i].readonly);
		pb_bool(b, 4, c->mounts[i].selinux_relabel);
		pb_i64(b, 5, c->mounts[i].propagation);
		pb_bool(b, 8, c->mounts[i].recursive_readonly);
		if (c->mounts[i].image.n) {
			size_t image = pb_open(b, 9);

			pb_sv(b, 1, c->mounts[i].image_ref);
			pb_sv(b, 18, c->mounts[i].image);
			pb_close(b, image);
			pb_sv(b, 10, c->mounts[i].image_sub_path);
		}
		pb_close(b, s);
	}
	for (size_t i = 0; i < c->n_devices; i++) {
		s = pb_open(b, 8);
		pb_sv(b, 1, c->devices[i].container_path);
		pb_sv(b, 2, c->devices[i].host_path);
		pb_sv(b, 3, c->devices[i].permissions);
		pb_close(b, s);
	}
	cri_put_labels(b, 9, c->labels, c->n_labels);
	cri_put_labels(b, 10, c->annotations, c->n_annotations);
	pb_sv(b, 11, c->log_path);
	pb_bool(b, 12, c->stdin);
	pb_bool(b, 13, c->stdin_once);
	pb_bool(b, 14, c->tty);
	s = pb_open(b, 15);
	put_resources(b, 1, c);
	put_security(b, c);
	pb_close(b, s);
	pb_close(b, m);
}

int cri_create_container(struct runtime *r, struct arena *a, struct sv sandbox_id, const struct rt_container_config *c,
			 const struct rt_sandbox_config *sc, struct sv *ret_id, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;

	pb_sv(&b, 1, sandbox_id);
	cri_container_put_config(&b, 2, c);
	cri_put_sandbox_config(&b, 3, sc);
	if (cri_runtime_call(r, a, "CreateContainer", &b, CRI_TIMEOUT_NS, &m, err) < 0)
		return -1;
	*ret_id = pb_get_sv(m, 1);
	return ret_id->n ? 0 : err_set(err, ERR_INTERNAL, "the runtime gave the container no id");
}

static int cri_container_by_id(struct runtime *r, const char *method, struct sv id, int64_t field2, int64_t timeout_ns,
			       bool absent_ok, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, id);
	pb_i64(&b, 2, field2);
	if (cri_runtime_call(r, &a, method, &b, timeout_ns, NULL, &e) == 0)
		return 0;
	if (absent_ok && e.reason == ERR_NOT_FOUND) {
		err_release(&e);
		return 0;
	}
	return err_move(err, &e);
}

int cri_start_container(struct runtime *r, struct sv id, struct err *err)
{
	return cri_container_by_id(r, "StartContainer", id, 0, CRI_TIMEOUT_NS, false, err);
}

/* A StopContainer whose client goes away has still sent the stop signal, and does not go on to kill
 * (containerd: the parent context's end returns from the wait; CRI-O: stopping goes on by itself). So a short
 * deadline is "send TERM and look whether that was enough". */
int cri_stop_container(struct runtime *r, struct sv id, int64_t timeout_s, int64_t wait_ns, struct err *err)
{
	return cri_container_by_id(r, "StopContainer", id, timeout_s, wait_ns, true, err);
}

int cri_remove_container(struct runtime *r, struct sv id, struct err *err)
{
	return cri_container_by_id(r, "RemoveContainer", id, 0, CRI_TIMEOUT_NS, true, err);
}

int cri_update_resources(struct runtime *r, struct sv id, const struct rt_container_config *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, id);
	put_resources(&b, 2, c);
	return cri_runtime_call(r, &a, "UpdateContainerResources", &b, CRI_TIMEOUT_NS, NULL, err);
}

int cri_reopen_log(struct runtime *r, struct sv id, struct err *err)
{
	return cri_container_by_id(r, "ReopenContainerLog", id, 0, CRI_TIMEOUT_NS, false, err);
}

static enum rt_state cri_container_state_of(uint64_t v)
{
	return v < RT_UNKNOWN ? (enum rt_state)v : RT_UNKNOWN;
}

int cri_container_status(struct runtime *r, struct arena *a, struct sv id, struct rt_container *ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m, st, meta;

	pb_sv(&b, 1, id);
	if (cri_runtime_call(r, a, "ContainerStatus", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	st = pb_get_sv(m, 1);
	meta = pb_get_sv(st, 2);
	*ret = (struct rt_container){
		.id = pb_get_sv(st, 1),
		.name = pb_get_sv(meta, 1),
		.attempt = (uint32_t)pb_get_u64(meta, 2),
		.state = cri_container_state_of(pb_get_u64(st, 3)),
		.created_ns = (int64_t)pb_get_u64(st, 4),
		.started_ns = (int64_t)pb_get_u64(st, 5),
		.finished_ns = (int64_t)pb_get_u64(st, 6),
		.exit_code = (int32_t)pb_get_u64(st, 7),
		.image = pb_get_sv(pb_get_sv(st, 8), 1),
		.image_ref = pb_get_sv(st, 9),
		.reason = pb_get_sv(st, 10),
		.message = pb_get_sv(st, 11),
		.log_path = pb_get_sv(st, 15),
	};
	ret->labels = cri_get_labels(a, st, 12, &ret->n_labels);
	ret->annotations = cri_get_labels(a, st, 13, &ret->n_annotations);
	return 0;
}

int cri_list_containers(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_container **ret, size_t *ret_n,
			struct err *err)
{
	struct buf b = BUF_INIT;
	struct rt_container *list;
	struct sv m;

	*ret_n = 0;
	if (pod_uid.n) {
		size_t f = pb_open(&b, 1);

		pb_map_entry(&b, 4, SV("io.kubernetes.pod.uid"), pod_uid);
		pb_close(&b, f);
	}
	if (cri_runtime_call(r, a, "ListContainers", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	list = ARENA_ARRAY(a, struct rt_container, cri_count(m, 1) + 1);
	PB_EACH(m, rd, f) {
		struct rt_container *c;
		struct sv meta;

		if (f.no != 1)
			continue;
		c = &list[(*ret_n)++];
		meta = pb_get_sv(f.bytes, 3);
		c->id = pb_get_sv(f.bytes, 1);
		c->sandbox_id = pb_get_sv(f.bytes, 2);
		c->name = pb_get_sv(meta, 1);
		c->attempt = (uint32_t)pb_get_u64(meta, 2);
		c->image = pb_get_sv(pb_get_sv(f.bytes, 4), 1);
		c->image_ref = pb_get_sv(f.bytes, 5);
		c->state = cri_container_state_of(pb_get_u64(f.bytes, 6));
		c->created_ns = (int64_t)pb_get_u64(f.bytes, 7);
		c->labels = cri_get_labels(a, f.bytes, 8, &c->n_labels);
		c->annotations = cri_get_labels(a, f.bytes, 9, &c->n_annotations);
	}
	*ret = list;
	return 0;
}
