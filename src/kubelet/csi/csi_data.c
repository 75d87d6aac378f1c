/* vol_data.json has upstream's members, so that the one agent finds what the other has mounted.
 *
 * It is written before anything is mounted beside it and goes after that is gone: where there is none, there is at most
 * an empty directory. */
#include "kubelet/csi/csi-internal.h"

#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "kubelet/fsutil.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define DATA_FILE "vol_data.json"
#define DATA_MAX ((size_t)64 * 1024)

int csi_data_write(struct csi *c, struct arena *a, const struct csi_volume *v, const char *spec_name, struct sv uid,
		   struct err *err)
{
	const char *dir = uid.n && !v->block ? csi_pod_volume_dir(c, a, uid, spec_name) : csi_stage_dir(c, a, v);
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct val *doc = val_new_map(a);

	val_set_str_sv(a, doc, SV("attachmentID"), sv_from(csi_attachment_name(c, a, v->driver, v->handle)));
	val_set_str_sv(a, doc, SV("driverName"), sv_from(v->driver));
	val_set_str_sv(a, doc, SV("nodeName"), sv_from(c->node_name));
	if (spec_name)
		val_set_str_sv(a, doc, SV("specVolID"), sv_from(spec_name));
	val_set_str_sv(a, doc, SV("volumeHandle"), sv_from(v->handle));
	val_set_str_sv(a, doc, SV("volumeLifecycleMode"), v->own ? SV("Ephemeral") : SV("Persistent"));
	json_encode(&text, doc);
	if (fs_mkdir_p(dir, 0750, err) < 0)
		return -1;
	return fs_write(arena_printf(a, "%s/" DATA_FILE, dir), buf_sv(&text), 0600, err);
}

int csi_data_read(struct arena *a, const char *dir, struct csi_data *ret, struct err *err)
{
	const struct val *doc;
	struct sv text;

	if (file_read(a, arena_printf(a, "%s/" DATA_FILE, dir), DATA_MAX, &text, err) < 0)
		return -1;
	doc = json_decode(a, text, NULL, err);
	if (!doc)
		return -1;
	*ret = (struct csi_data){ .driver = val_str(val_member_sv(doc, SV("driverName"))),
				  .handle = val_str(val_member_sv(doc, SV("volumeHandle"))),
				  .spec_name = val_str(val_member_sv(doc, SV("specVolID"))),
				  .lifecycle = val_str(val_member_sv(doc, SV("volumeLifecycleMode"))) };
	if (!csi_driver_name_ok(ret->driver) || !ret->handle.n)
		return err_set(err, ERR_INVALID, "'%s/" DATA_FILE "' names no volume of a driver", dir);
	return 0;
}

void csi_data_drop(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/" DATA_FILE, dir);

	(void)unlink(path);
	(void)rmdir(dir);
}

/* --- at start --- */

typedef void data_fn(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx);

/* Calls fn for each entry of a directory but those with a dot in front. */
static void data_each(struct csi *c, struct arena *a, const char *dir, data_fn *fn, void *ctx)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			fn(c, a, arena_printf(a, "%s/%s", dir, e->d_name), e->d_name, ctx);
	if (d)
		closedir(d);
}

static bool data_of(struct arena *a, const char *dir, struct csi_data *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (csi_data_read(a, dir, ret, &err) == 0)
		return true;
	if (err.errnum == 0)
		log_warn(CSI_SYS, "what a volume here is cannot be read: unmount it by hand", "why", "%s",
			 err_msg(&err));
	return false;
}

static struct csi_volume *data_volume(struct csi *c, struct arena *a, const struct csi_data *d, bool block)
{
	struct csi_volume *v = csi_volume_of(c, a, d->driver, d->handle);

	v->block = block;
	v->own = sv_is(d->lifecycle, "Ephemeral");
	v->attachable = !v->own; /* till it is known better: what is mounted must not be detached */
	if (!v->spec_name)
		v->spec_name = xstrndup(d->spec_name.p, d->spec_name.n);
	return v;
}

static void data_use(struct csi_volume *v, struct sv uid, const char *spec_name)
{
	struct csi_use *u = csi_use_of(v, uid);

	if (!u->spec_name)
		u->spec_name = xstrdup(spec_name);
}

/* A pod's volume: path is .../pods/UID/volumes/kubernetes.io~csi/NAME. */
static void found_published(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	struct sv uid = sv_from(path + strlen(c->root_dir) + strlen("/pods/"));
	struct csi_data d;

	(void)ctx;
	uid = sv_sub(uid, 0, (size_t)MAX(sv_find(uid, '/'), 0));
	if (uid.n && data_of(a, path, &d))
		data_use(data_volume(c, a, &d, false), uid, name);
}

static void found_pod(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	(void)name, (void)ctx;
	data_each(c, a, arena_printf(a, "%s/volumes/kubernetes.io~csi", path), found_published, NULL);
}

static void found_staged(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	struct csi_data d;

	(void)name, (void)ctx;
	if (data_of(a, path, &d))
		(void)data_volume(c, a, &d, false);
	else
		(void)rmdir(path); /* begun, and nothing put in yet */
}

static void found_driver(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	(void)ctx;
	if (strcmp(name, "volumeDevices") != 0 && strcmp(name, "pv") != 0)
		data_each(c, a, path, found_staged, NULL);
}

static void found_device_pod(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	struct csi_volume *v = ctx;

	(void)c, (void)a, (void)path;
	data_use(v, sv_from(name), v->spec_name);
}

static void found_device(struct csi *c, struct arena *a, const char *path, const char *name, void *ctx)
{
	struct csi_data d;

	(void)ctx;
	if (!strcmp(name, "staging") || !strcmp(name, "publish") || !data_of(a, arena_printf(a, "%s/data", path), &d))
		return;
	d.spec_name = sv_from(name); /* its place */
	data_each(c, a, arena_printf(a, "%s/plugins/kubernetes.io/csi/volumeDevices/publish/%s", c->root_dir, name),
		  found_device_pod, data_volume(c, a, &d, true));
}

void csi_found(struct csi *c)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	pthread_mutex_lock(&c->lock);
	data_each(c, &a, arena_printf(&a, "%s/pods", c->root_dir), found_pod, NULL);
	data_each(c, &a, arena_printf(&a, "%s/plugins/kubernetes.io/csi", c->root_dir), found_driver, NULL);
	data_each(c, &a, arena_printf(&a, "%s/plugins/kubernetes.io/csi/volumeDevices", c->root_dir), found_device,
		  NULL);
	STRMAP_EACH(&c->volumes, e) {
		struct csi_volume *v = e->value;

		workq_add(csi_driver_of(c, sv_from(v->driver))->q, sv_from(v->sha));
	}
	pthread_mutex_unlock(&c->lock);
}
