#include "scheduler/volumes.h"

#include "base/buf.h"

#include <stdlib.h>

static void drop_obj(void *o)
{
	obj_unref(o);
}

void volumes_release(struct volumes *v)
{
	strmap_release_with(&v->claims, drop_obj);
	strmap_release_with(&v->volumes, drop_obj);
	strmap_release_with(&v->classes, drop_obj);
	strmap_release_with(&v->promised, free);
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
	}
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
