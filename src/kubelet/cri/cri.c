#include "kubelet/cri/cri.h"

#include <stdlib.h>

bool cri_mounts_images(struct sv name, struct sv version)
{
	static const struct {
		const char *name;
		int64_t major, minor; /* the first that does */
	} since[] = { { "containerd", 2, 1 }, { "cri-o", 1, 31 } };
	struct sv rest = version, part;
	int64_t major, minor;

	if (sv_starts(rest, SV("v")))
		rest = sv_sub(rest, 1, rest.n);
	if (!sv_split(&rest, '.', &part) || !sv_to_i64(part, &major) || !sv_split(&rest, '.', &part) ||
	    !sv_to_i64(part, &minor))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(since); i++)
		if (sv_is(name, since[i].name))
			return major > since[i].major || (major == since[i].major && minor >= since[i].minor);
	return false;
}

static int cri_version(struct runtime *r, struct arena *a, struct rt_version *ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;

	pb_sv(&b, 1, SV("v1"));
	if (cri_runtime_call(r, a, "Version", &b, CRI_LOOK_TIMEOUT_NS, &m, err) < 0)
		return err_wrap(err, "asking the runtime's version");
	*ret =
	    (struct rt_version){ .name = pb_get_sv(m, 2), .version = pb_get_sv(m, 3), .api_version = pb_get_sv(m, 4) };
	cri_of(r)->image_volumes = cri_mounts_images(ret->name, ret->version) ? 2 : 1;
	return 0;
}

static void read_features(struct arena *a, struct sv m, struct rt_features *ret)
{
	struct rt_handler *h = ARENA_ARRAY(a, struct rt_handler, cri_count(m, 3) + 1);

	*ret = (struct rt_features){ .handlers = h };
	PB_EACH(m, rd, f) {
		if (f.no == 3) {
			struct sv can = pb_get_sv(f.bytes, 2);

			h[ret->n_handlers++] = (struct rt_handler){
				.name = pb_get_sv(f.bytes, 1),
				.recursive_read_only = pb_get_u64(can, 1) != 0,
				.user_namespaces = pb_get_u64(can, 2) != 0,
			};
		} else if (f.no == 4) {
			ret->told = true;
			ret->strict_groups = pb_get_u64(f.bytes, 1) != 0;
		}
	}
}

static int cri_status(struct runtime *r, struct arena *a, struct rt_status *ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct rt_version version;
	struct sv m, status;

	*ret = (struct rt_status){ 0 };
	if (cri_runtime_call(r, a, "Status", &b, CRI_LOOK_TIMEOUT_NS, &m, err) < 0)
		return err_wrap(err, "asking the runtime's status");
	status = pb_get_sv(m, 1);
	PB_EACH(status, rd, f) {
		struct sv type = pb_get_sv(f.bytes, 1);
		bool ok = pb_get_u64(f.bytes, 2) != 0;

		if (f.no != 1)
			continue;
		if (sv_is(type, "RuntimeReady"))
			ret->runtime = ok;
		else if (sv_is(type, "NetworkReady"))
			ret->network = ok;
		if (!ok && !ret->why.n) {
			struct sv reason = pb_get_sv(f.bytes, 3), msg = pb_get_sv(f.bytes, 4);

			/* As upstream prints a condition; runbooks look for it. */
			ret->why = arena_svf(a, "%.*s=false reason:%.*s message:%.*s", SV_ARG(type), SV_ARG(reason),
					     SV_ARG(msg));
		}
	}
	read_features(a, m, &ret->features);
	if (!cri_of(r)->image_volumes && cri_version(r, a, &version, err) < 0)
		return -1;
	ret->features.image_volumes = cri_of(r)->image_volumes == 2;
	return 0;
}

static int cri_update_pod_cidr(struct runtime *r, struct sv cidr, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	size_t rc = pb_open(&b, 1), nc = pb_open(&b, 1);

	pb_sv(&b, 1, cidr);
	pb_close(&b, nc);
	pb_close(&b, rc);
	return cri_runtime_call(r, &a, "UpdateRuntimeConfig", &b, CRI_TIMEOUT_NS, NULL, err);
}

static void cri_free(struct runtime *r)
{
	struct cri *c = cri_of(r);

	cri_unsubscribe(r);
	c->ch = grpc_channel_free(c->ch);
	free(c->target);
	free(c);
}

static const struct runtime_ops cri_ops = {
	.name = "cri",
	.version = cri_version,
	.status = cri_status,
	.run_sandbox = cri_run_sandbox,
	.stop_sandbox = cri_stop_sandbox,
	.remove_sandbox = cri_remove_sandbox,
	.sandbox_status = cri_sandbox_status,
	.list_sandboxes = cri_list_sandboxes,
	.create_container = cri_create_container,
	.start_container = cri_start_container,
	.stop_container = cri_stop_container,
	.remove_container = cri_remove_container,
	.container_status = cri_container_status,
	.list_containers = cri_list_containers,
	.exec_sync = cri_exec_sync,
	.exec_url = cri_exec_url,
	.attach_url = cri_attach_url,
	.port_forward_url = cri_port_forward_url,
	.reopen_log = cri_reopen_log,
	.update_resources = cri_update_resources,
	.image_status = cri_image_status,
	.pull_image = cri_pull_image,
	.list_images = cri_list_images,
	.remove_image = cri_remove_image,
	.stats = cri_stats,
	.fs_usage = cri_fs_usage,
	.update_pod_cidr = cri_update_pod_cidr,
	.subscribe = cri_subscribe,
	.unsubscribe = cri_unsubscribe,
	.free = cri_free,
};

struct runtime *runtime_cri_new(struct env *env, const char *endpoint, struct err *err)
{
	const char *path = endpoint;
	struct cri *c;

	if (!strncmp(path, "unix://", 7))
		path += 7;
	else if (!strncmp(path, "unix:", 5))
		path += 5;
	if (path[0] != '/') {
		err_set(err, ERR_BAD_REQUEST, "container runtime endpoint '%s' is no unix socket: give unix:///path",
			endpoint);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->rt.ops = &cri_ops;
	c->env = env;
	c->target = xasprintf("unix:%s", path);
	c->ch = grpc_channel_new(c->target);
	return &c->rt;
}
