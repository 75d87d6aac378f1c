#include "scheduler/volumes.h"

#include "base/buf.h"

#include <stdlib.h>

static void drop_obj(void *o)
{
	obj_unref(o);
}

static void drop_node(void *attached)
{
	strmap_release_with(attached, drop_obj);
	free(attached);
}

void volumes_release(struct volumes *v)
{
	strmap_release_with(&v->attached, drop_node);
	strmap_release_with(&v->claims, drop_obj);
	strmap_release_with(&v->volumes, drop_obj);
	strmap_release_with(&v->classes, drop_obj);
	strmap_release_with(&v->promised, free);
	strmap_release_with(&v->nodes, drop_obj);
	strmap_release_with(&v->drivers, drop_obj);
	strmap_release_with(&v->capacities, drop_obj);
}

static void volumes_put(struct strmap *m, struct sv key, struct obj *o)
{
	struct obj *was = strmap_get(m, key);

	if (o)
		strmap_set(m, key, obj_ref(o));
	else
		strmap_del(m, key);
	obj_unref(was);
}

/* The node of one never changes. */
static void volumes_put_attachment(struct volumes *v, struct obj *o, bool deleted)
{
	struct sv node = val_str(obj_get(o, F_spec, F_nodeName));
	struct strmap *on = strmap_get(&v->attached, node);

	if (deleted && !on)
		return;
	if (!on) {
		on = xcalloc(1, sizeof(*on));
		strmap_set(&v->attached, node, on);
	}
	volumes_put(on, obj_name(o), deleted ? NULL : o);
	if (!on->n)
		drop_node(strmap_del(&v->attached, node));
}

const struct strmap *volumes_attached(const struct volumes *v, struct sv node)
{
	return strmap_get(&v->attached, node);
}

static void forget_promise(struct volumes *v, struct sv name)
{
	char *claim = strmap_get(&v->promised, name);

	if (claim)
		strmap_del(&v->promised, name);
	free(claim);
}

void volumes_set(struct volumes *v, struct obj *o, bool deleted)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *kind = obj_get(o, F_kind);

	if (val_is(kind, "PersistentVolumeClaim")) {
		volumes_put(&v->claims, obj_path(&b, obj_ns(o), obj_name(o)), deleted ? NULL : o);
	} else if (val_is(kind, "PersistentVolume")) {
		volumes_put(&v->volumes, obj_name(o), deleted ? NULL : o);
		/* The API says itself whose it is. */
		if (deleted || obj_get(o, F_spec, F_claimRef))
			forget_promise(v, obj_name(o));
	} else if (val_is(kind, "StorageClass")) {
		volumes_put(&v->classes, obj_name(o), deleted ? NULL : o);
	} else if (val_is(kind, "CSINode")) {
		volumes_put(&v->nodes, obj_name(o), deleted ? NULL : o);
	} else if (val_is(kind, "CSIDriver")) {
		volumes_put(&v->drivers, obj_name(o), deleted ? NULL : o);
	} else if (val_is(kind, "VolumeAttachment")) {
		volumes_put_attachment(v, o, deleted);
	} else if (val_is(kind, "CSIStorageCapacity")) {
		volumes_put(&v->capacities, obj_path(&b, obj_ns(o), obj_name(o)), deleted ? NULL : o);
	}
}

static int64_t volumes_limit_of(const struct obj *csinode, struct sv driver)
{
	VAL_EACH(obj_get(csinode, F_spec, F_drivers), d)
		if (sv_eq(val_get_str(d, F_name), driver))
			return val_get_int(d, -1, F_allocatable, F_count);
	return -1;
}

int64_t volumes_limit(const struct volumes *v, struct sv node, struct sv driver)
{
	const struct obj *o = strmap_get(&v->nodes, node);

	return o ? volumes_limit_of(o, driver) : -1;
}

bool volumes_limited(const struct volumes *v, struct sv driver)
{
	STRMAP_EACH(&v->nodes, e)
		if (volumes_limit_of(e->value, driver) >= 0)
			return true;
	return false;
}

bool volumes_installed(const struct volumes *v, struct sv node, struct sv driver)
{
	const struct obj *o = strmap_get(&v->nodes, node);

	VAL_EACH(o ? obj_get(o, F_spec, F_drivers) : NULL, d)
		if (sv_eq(val_get_str(d, F_name), driver))
			return true;
	return false;
}

bool volumes_must_be_installed(const struct volumes *v, struct sv driver)
{
	const struct obj *o = strmap_get(&v->drivers, driver);

	return o && val_bool(obj_get(o, F_spec, F_preventPodSchedulingIfMissing));
}

bool volumes_tells_capacity(const struct volumes *v, struct sv driver)
{
	const struct obj *o = strmap_get(&v->drivers, driver);

	return o && val_bool(obj_get(o, F_spec, F_storageCapacity));
}

struct obj *volumes_claim(const struct volumes *v, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	return strmap_get(&v->claims, obj_path(&b, ns, name));
}

struct obj *volumes_volume(const struct volumes *v, struct sv name)
{
	return strmap_get(&v->volumes, name);
}

struct obj *volumes_class(const struct volumes *v, struct sv name)
{
	return name.n ? strmap_get(&v->classes, name) : NULL;
}

bool volumes_taken(const struct volumes *v, const struct obj *volume, const struct obj *claim)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *to = strmap_get(&v->promised, obj_name(volume));

	return to && !sv_is(obj_path(&b, obj_ns(claim), obj_name(claim)), to);
}

void volumes_promise(struct volumes *v, const struct claim_work *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!w[i].volume)
			continue;
		forget_promise(v, obj_name(w[i].volume));
		strmap_set(&v->promised, obj_name(w[i].volume),
			   xasprintf("%.*s/%.*s", SV_ARG(obj_ns(w[i].claim)), SV_ARG(obj_name(w[i].claim))));
	}
}

void volumes_unpromise(struct volumes *v, const struct claim_work *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (w[i].volume)
			forget_promise(v, obj_name(w[i].volume));
}

void claim_works_release(claim_works *w)
{
	for (size_t i = 0; i < w->n; i++) {
		obj_unref(w->p[i].claim);
		obj_unref(w->p[i].volume);
	}
	vec_release(w);
}
