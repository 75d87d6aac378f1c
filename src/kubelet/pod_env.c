#include "kubelet/pod_env.h"

#include "kubelet/env_file.h"
#include "kubelet/env_vars.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_source.h"
#include "kubelet/volumes/volumes.h"

#include <sys/statvfs.h>
#include <unistd.h>

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

static int pod_env_field(void *ctx, struct arena *a, const struct val *from, struct sv *ret, struct err *err)
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
	struct env_source src = { .get = get, .field = pod_env_field, .file = file, .ctx = &s };
	struct service_ctx sc = { .l = ret, .ns = sv_from(p->ns), .links = !links || val_bool(links) };

	*ret = (struct env_list){ .a = a, .expanded = BUDGET(env_expanded_limit) };
	informer_each(p->k->services, SV("default"), add_service, &sc);
	if (sc.links && strcmp(p->ns, "default") != 0)
		informer_each(p->k->services, sc.ns, add_service, &sc);
	if (env_var_add_from(ret, container, &src, err) < 0 || env_var_add_own(ret, container, &src, err) < 0)
		return -1;
	return 0;
}
