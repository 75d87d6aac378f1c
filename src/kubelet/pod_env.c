#include "kubelet/pod_env.h"

#include "kubelet/env_file.h"
#include "kubelet/env_vars.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/volumes/volumes.h"

#include <sys/statvfs.h>
#include <unistd.h>

int pod_get_config(struct kubelet *k, struct arena *a, struct sv ns, bool secret, struct sv name,
		   const struct val **ret, struct err *err)
{
	struct obj *o;

	if (client_get(k->client, secret ? RES(core_secrets) : RES(core_configmaps), ns, name, &o, err) < 0)
		return -1;
	*ret = obj_root(obj_link(a, o));
	return 0;
}

void pod_field_node(struct kpod *p, struct arena *a, const struct val *pod, struct field_ref_node *ret)
{
	const char *own = pod_host_network(pod) ? p->k->node_ip : p->ips; /* on the node's network: the node's */
	struct sv ips = sv_from(own ? own : ""), rest = ips, first = SV("");
	struct statvfs fs;
	char *list = arena_cstr(a, ips);

	sv_split(&rest, ' ', &first);
	for (char *c = list; *c; c++)
		if (*c == ' ')
			*c = ',';
	*ret = (struct field_ref_node){
		.node_name = p->k->node_name,
		.host_ip = p->k->node_ip ? p->k->node_ip : "",
		.pod_ip = arena_sv(a, first),
		.pod_ips = sv_from(list),
		.cpu_milli = sysconf(_SC_NPROCESSORS_ONLN) * 1000,
		.memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
	};
	if (p->k->files && statvfs(p->k->root_dir, &fs) == 0)
		ret->storage_bytes = (int64_t)(fs.f_blocks * fs.f_frsize) / 10 * 9; /* as machine_status() says */
}

#define FROM_FILES_MAX (4 << 20) /* more than any kernel gives a program */

struct source {
	struct kpod *p;
	const struct val *pod, *container;
	size_t from_files;
};

static int get(void *ctx, struct arena *a, bool secret, struct sv name, const struct val **ret, struct err *err)
{
	struct source *s = ctx;

	return pod_get_config(s->p->k, a, sv_from(s->p->ns), secret, name, ret, err);
}

static int field(void *ctx, struct arena *a, const struct val *from, struct sv *ret, struct err *err)
{
	struct source *s = ctx;
	const struct val *ref = val_member(from, F_fieldRef);
	struct field_ref_node n;

	pod_field_node(s->p, a, s->pod, &n);
	if (ref)
		return field_ref_text(a, s->pod, &n, val_get_str(ref, F_fieldPath), ret, err);
	ref = val_member(from, F_resourceFieldRef);
	if (ref)
		return resource_ref_text(a, s->pod, s->container, &n, ref, ret, err);
	return err_set(err, ERR_INVALID, "unsupported env source");
}

/* A file in a volume of the pod, which need not be mounted into this container. */
static int file(void *ctx, struct arena *a, const struct val *ref, bool *ret_have, struct sv *ret, struct err *err)
{
	struct source *s = ctx;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct sv key = val_get_str(ref, F_key), path = val_get_str(ref, F_path), value;
	bool optional = val_get_bool(ref, F_optional), ro;
	struct err e = ERR_INIT;
	const char *root;

	*ret_have = false;
	if (key.n > ENV_FILE_KEY_MAX)
		return err_set(err, ERR_INVALID, "environment variable key exceeds maximum length of %d characters",
			       ENV_FILE_KEY_MAX);
	if (volume_path(s->p->k, a, s->pod, val_get_str(ref, F_volumeName), &root, &ro, err) < 0)
		return -1;
	if (env_file_read(root, arena_cstr(a, path), &text, &e) < 0) {
		if (optional && e.reason == ERR_NOT_FOUND) {
			err_release(&e);
			return 0;
		}
		err_wrap(&e, "couldn't parse env file");
		return err_move(err, &e);
	}
	if (env_file_find(buf_sv(&text), key, ret_have, &value, err) < 0)
		return err_wrap(err, "couldn't parse env file");
	if (*ret_have && (s->from_files += value.n) > FROM_FILES_MAX)
		return err_set(err, ERR_INVALID, "variables from files are larger than %d bytes together",
			       FROM_FILES_MAX);
	if (*ret_have)
		*ret = arena_sv(a, value);
	if (!*ret_have && !optional)
		return err_set(err, ERR_NOT_FOUND, "environment variable key \"%.*s\" not found in file \"%.*s\"",
			       SV_ARG(key), SV_ARG(path));
	return 0;
}

struct service_ctx {
	struct env_list *l;
	struct sv ns;
	bool links;
};

static int add_service(struct obj *o, void *ctx)
{
	struct service_ctx *c = ctx;
	bool api = sv_is(obj_ns(o), "default") && sv_is(obj_name(o), "kubernetes");

	if (api || (c->links && sv_eq(obj_ns(o), c->ns)))
		env_var_add_service(c->l, val_clone(c->l->a, obj_root(o)));
	return 0;
}

int pod_env(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct env_list *ret,
	    struct err *err)
{
	const struct val *links = val_get(pod, F_spec, F_enableServiceLinks);
	struct source s = { .p = p, .pod = pod, .container = container };
	struct env_source src = { .get = get, .field = field, .file = file, .ctx = &s };
	struct service_ctx sc = { .l = ret, .ns = sv_from(p->ns), .links = !links || val_bool(links) };

	*ret = (struct env_list){ .a = a };
	informer_each(p->k->services, SV("default"), add_service, &sc);
	if (sc.links && strcmp(p->ns, "default") != 0)
		informer_each(p->k->services, sc.ns, add_service, &sc);
	if (env_var_add_from(ret, container, &src, err) < 0 || env_var_add_own(ret, container, &src, err) < 0)
		return -1;
	return 0;
}
