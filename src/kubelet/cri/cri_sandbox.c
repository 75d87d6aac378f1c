/* PodSandboxConfig and the six calls on sandboxes. */
#include "kubelet/cri/cri.h"

static void put_metadata(struct buf *b, uint32_t field, struct sv name, struct sv uid, struct sv ns, uint32_t attempt)
{
	size_t m = pb_open(b, field);

	pb_sv(b, 1, name);
	pb_sv(b, 2, uid);
	pb_sv(b, 3, ns);
	pb_u64(b, 4, attempt);
	pb_close(b, m);
}

static void put_port(struct buf *b, const struct rt_port *p)
{
	size_t m = pb_open(b, 5);

	pb_u64(b, 1, sv_is(p->protocol, "UDP") ? 1 : sv_is(p->protocol, "SCTP") ? 2 : 0);
	pb_i64(b, 2, p->container_port);
	pb_i64(b, 3, p->host_port);
	pb_sv(b, 4, p->host_ip);
	pb_close(b, m);
}

static void put_room(struct buf *b, uint32_t field, const struct rt_room *r)
{
	size_t m;

	if (!r->cpu_shares && !r->cpu_quota && !r->memory_limit_bytes)
		return;
	m = pb_open(b, field);
	pb_i64(b, 1, r->cpu_period);
	pb_i64(b, 2, r->cpu_quota);
	pb_i64(b, 3, r->cpu_shares);
	pb_i64(b, 4, r->memory_limit_bytes);
	pb_close(b, m);
}

static void put_linux(struct buf *b, const struct rt_sandbox_config *c)
{
	size_t linux_ = pb_open(b, 8), sec, ns;

	pb_sv(b, 1, c->cgroup_parent);
	sec = pb_open(b, 2);
	ns = pb_open(b, 1); /* NamespaceOption: 0 pod, 1 container, 2 node */
	pb_u64(b, 1, c->host_network ? 2 : 0);
	pb_u64(b, 2, c->host_pid ? 2 : c->share_pid ? 0 : 1);
	pb_u64(b, 3, c->host_ipc ? 2 : 0);
	pb_close(b, ns);
	cri_put_selinux(b, 2, &c->selinux);
	cri_put_int64_value(b, 3, c->run_as_user);
	pb_bool(b, 4, c->readonly_rootfs);
	for (size_t i = 0; i < c->n_supplemental_groups; i++) {
		/* Unpacked elements are as good as packed ones to every reader; zero must be kept. */
		pb_varint(b, 5 << 3);
		pb_varint(b, (uint64_t)c->supplemental_groups[i]);
	}
	pb_bool(b, 6, c->privileged);
	cri_put_int64_value(b, 8, c->run_as_group);
	cri_put_profile(b, 9, c->seccomp);
	cri_put_profile(b, 10, c->apparmor);
	pb_u64(b, 11, c->strict_groups ? 1 : 0);
	pb_close(b, sec);
	cri_put_labels(b, 3, c->sysctls, c->n_sysctls);
	put_room(b, 4, &c->overhead);
	put_room(b, 5, &c->room);
	pb_close(b, linux_);
}

void cri_put_sandbox_config(struct buf *b, uint32_t field, const struct rt_sandbox_config *c)
{
	size_t m = pb_open(b, field);

	put_metadata(b, 1, c->name, c->uid, c->ns, c->attempt);
	pb_sv(b, 2, c->hostname);
	pb_sv(b, 3, c->log_dir);
	if (c->n_dns_servers || c->n_dns_searches || c->n_dns_options) {
		size_t dns = pb_open(b, 4);

		cri_put_strings(b, 1, c->dns_servers, c->n_dns_servers);
		cri_put_strings(b, 2, c->dns_searches, c->n_dns_searches);
		cri_put_strings(b, 3, c->dns_options, c->n_dns_options);
		pb_close(b, dns);
	}
	for (size_t i = 0; i < c->n_ports; i++)
		put_port(b, &c->ports[i]);
	cri_put_labels(b, 6, c->labels, c->n_labels);
	cri_put_labels(b, 7, c->annotations, c->n_annotations);
	put_linux(b, c);
	pb_close(b, m);
}

int cri_run_sandbox(struct runtime *r, struct arena *a, const struct rt_sandbox_config *c, struct sv *ret_id,
		    struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;

	cri_put_sandbox_config(&b, 1, c);
	pb_sv(&b, 2, c->handler);
	if (cri_runtime_call(r, a, "RunPodSandbox", &b, CRI_SANDBOX_TIMEOUT_NS, &m, err) < 0)
		return -1;
	*ret_id = pb_get_sv(m, 1);
	return ret_id->n ? 0 : err_set(err, ERR_INTERNAL, "the runtime gave the sandbox no id");
}

static int cri_sandbox_by_id(struct runtime *r, const char *method, struct sv id, int64_t timeout_ns, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, id);
	if (cri_runtime_call(r, &a, method, &b, timeout_ns, NULL, &e) == 0)
		return 0;
	if (e.reason == ERR_NOT_FOUND) { /* what we wanted */
		err_release(&e);
		return 0;
	}
	return err_move(err, &e);
}

int cri_stop_sandbox(struct runtime *r, struct sv id, struct err *err)
{
	return cri_sandbox_by_id(r, "StopPodSandbox", id, CRI_SANDBOX_TIMEOUT_NS, err);
}

int cri_remove_sandbox(struct runtime *r, struct sv id, struct err *err)
{
	return cri_sandbox_by_id(r, "RemovePodSandbox", id, CRI_SANDBOX_TIMEOUT_NS, err);
}

static void read_metadata(struct sv m, struct rt_sandbox *s)
{
	s->name = pb_get_sv(m, 1);
	s->uid = pb_get_sv(m, 2);
	s->ns = pb_get_sv(m, 3);
	s->attempt = (uint32_t)pb_get_u64(m, 4);
}

int cri_sandbox_status(struct runtime *r, struct arena *a, struct sv id, struct rt_sandbox *ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m, st, net, ip;
	struct sv *ips;

	pb_sv(&b, 1, id);
	if (cri_runtime_call(r, a, "PodSandboxStatus", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	st = pb_get_sv(m, 1);
	*ret = (struct rt_sandbox){ .id = pb_get_sv(st, 1),
				    .ready = pb_get_u64(st, 3) == 0,
				    .created_ns = (int64_t)pb_get_u64(st, 4) };
	read_metadata(pb_get_sv(st, 2), ret);
	ret->labels = cri_get_labels(a, st, 7, &ret->n_labels);
	net = pb_get_sv(st, 5);
	ips = ARENA_ARRAY(a, struct sv, 1 + cri_count(net, 2));
	ip = pb_get_sv(net, 1);
	if (ip.n)
		ips[ret->n_ips++] = ip;
	PB_EACH(net, rd, f)
		if (f.no == 2)
			ips[ret->n_ips++] = pb_get_sv(f.bytes, 1);
	ret->ips = ips;
	return 0;
}

int cri_list_sandboxes(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_sandbox **ret, size_t *ret_n,
		       struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;
	struct rt_sandbox *list;

	*ret_n = 0;
	if (pod_uid.n) {
		size_t f = pb_open(&b, 1);

		pb_map_entry(&b, 3, SV("io.kubernetes.pod.uid"), pod_uid);
		pb_close(&b, f);
	}
	if (cri_runtime_call(r, a, "ListPodSandbox", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	list = ARENA_ARRAY(a, struct rt_sandbox, cri_count(m, 1) + 1);
	PB_EACH(m, rd, f) {
		struct rt_sandbox *s;

		if (f.no != 1)
			continue;
		s = &list[(*ret_n)++];
		s->id = pb_get_sv(f.bytes, 1);
		s->ready = pb_get_u64(f.bytes, 3) == 0;
		s->created_ns = (int64_t)pb_get_u64(f.bytes, 4);
		read_metadata(pb_get_sv(f.bytes, 2), s);
		s->labels = cri_get_labels(a, f.bytes, 5, &s->n_labels);
	}
	*ret = list;
	return 0;
}
