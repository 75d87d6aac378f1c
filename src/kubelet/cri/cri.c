#include "kubelet/cri/cri.h"

#include <stdio.h>
#include <stdlib.h>

static int call(struct runtime *r, struct arena *a, const char *service, const char *method, struct buf *request,
		int64_t timeout_ns, struct sv *ret, struct err *err)
{
	char path[96];
	struct sv dummy;
	int n = snprintf(path, sizeof(path), "/runtime.v1.%s/%s", service, method), rc;

	BUG_ON(n < 0 || (size_t)n >= sizeof(path));
	rc = grpc_call(cri_of(r)->ch, a, path, buf_sv(request), timeout_ns, ret ? ret : &dummy, err);
	buf_release(request);
	return rc;
}

int cri_runtime_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		     struct sv *ret, struct err *err)
{
	return call(r, a, "RuntimeService", method, request, timeout_ns, ret, err);
}

int cri_image_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		   struct sv *ret, struct err *err)
{
	return call(r, a, "ImageService", method, request, timeout_ns, ret, err);
}

void cri_put_labels(struct buf *b, uint32_t field, const struct rt_label *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pb_map_entry(b, field, l[i].key, l[i].value);
}

void cri_put_strings(struct buf *b, uint32_t field, const struct sv *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pb_sv_elem(b, field, s[i]);
}

void cri_put_int64_value(struct buf *b, uint32_t field, int64_t v)
{
	size_t m;

	if (v < 0)
		return;
	m = pb_open(b, field);
	pb_i64(b, 1, v);
	pb_close(b, m);
}

/* SecurityProfile: 0 RuntimeDefault, 1 Unconfined, 2 Localhost with its path. Nothing for "". */
void cri_put_selinux(struct buf *b, uint32_t field, const struct rt_selinux *o)
{
	size_t m;

	if (!o->user.n && !o->role.n && !o->type.n && !o->level.n)
		return;
	m = pb_open(b, field);
	pb_sv(b, 1, o->user);
	pb_sv(b, 2, o->role);
	pb_sv(b, 3, o->type);
	pb_sv(b, 4, o->level);
	pb_close(b, m);
}

void cri_put_profile(struct buf *b, uint32_t field, struct sv profile)
{
	size_t m;

	if (!profile.n)
		return;
	m = pb_open(b, field);
	if (sv_is(profile, "Unconfined")) {
		pb_u64(b, 1, 1);
	} else if (sv_starts(profile, SV("localhost/"))) {
		pb_u64(b, 1, 2);
		pb_sv(b, 2, sv_sub(profile, strlen("localhost/"), profile.n));
	}
	pb_close(b, m);
}

size_t cri_count(struct sv message, uint32_t field)
{
	size_t n = 0;

	PB_EACH(message, r, f)
		n += f.no == field;
	return n;
}

struct rt_label *cri_get_labels(struct arena *a, struct sv message, uint32_t field, size_t *ret_n)
{
	struct rt_label *l = ARENA_ARRAY(a, struct rt_label, cri_count(message, field) + 1);

	*ret_n = 0;
	PB_EACH(message, r, f)
		if (f.no == field)
			l[(*ret_n)++] =
			    (struct rt_label){ .key = pb_get_sv(f.bytes, 1), .value = pb_get_sv(f.bytes, 2) };
	return l;
}

struct sv *cri_get_strings(struct arena *a, struct sv message, uint32_t field, size_t *ret_n)
{
	struct sv *s = ARENA_ARRAY(a, struct sv, cri_count(message, field) + 1);

	*ret_n = 0;
	PB_EACH(message, r, f)
		if (f.no == field)
			s[(*ret_n)++] = f.bytes;
	return s;
}

static int cri_version(struct runtime *r, struct arena *a, struct rt_version *ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;

	pb_sv(&b, 1, SV("v1"));
	if (cri_runtime_call(r, a, "Version", &b, CRI_VERSION_TIMEOUT_NS, &m, err) < 0)
		return err_wrap(err, "asking the runtime's version");
	*ret =
	    (struct rt_version){ .name = pb_get_sv(m, 2), .version = pb_get_sv(m, 3), .api_version = pb_get_sv(m, 4) };
	return 0;
}

static int cri_status(struct runtime *r, struct arena *a, bool *ret_runtime, bool *ret_network, struct sv *ret_why,
		      struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m, status;

	*ret_runtime = *ret_network = false;
	*ret_why = SV("");
	if (cri_runtime_call(r, a, "Status", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return err_wrap(err, "asking the runtime's status");
	status = pb_get_sv(m, 1);
	PB_EACH(status, rd, f) {
		struct sv type = pb_get_sv(f.bytes, 1);
		bool ok = pb_get_u64(f.bytes, 2) != 0;

		if (f.no != 1)
			continue;
		if (sv_is(type, "RuntimeReady"))
			*ret_runtime = ok;
		else if (sv_is(type, "NetworkReady"))
			*ret_network = ok;
		if (!ok && !ret_why->n) {
			struct sv reason = pb_get_sv(f.bytes, 3), msg = pb_get_sv(f.bytes, 4);

			*ret_why =
			    arena_svf(a, "%.*s reason:%.*s message:%.*s", SV_ARG(type), SV_ARG(reason), SV_ARG(msg));
		}
	}
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
