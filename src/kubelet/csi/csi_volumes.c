/* The volumes that pods want, or that are mounted still. */
#include "kubelet/csi/csi-internal.h"

#include "base/vec.h"
#include "kubelet/pod_paths.h"
#include "net/digest.h"
#include "pod/volume_attach.h"
#include "pod/volume_match.h"

#include <stdlib.h>

static void csi_volume_free(void *x)
{
	struct csi_volume *v = x;

	strmap_release_with(&v->uses, csi_use_free);
	free(v->driver);
	free(v->handle);
	free(v->sha);
	free(v->spec_name);
	free(v);
}

void csi_use_free(void *x)
{
	struct csi_use *u = x;

	if (!u)
		return;
	obj_unref(u->pod);
	obj_unref(u->claim);
	obj_unref(u->source);
	err_release(&u->why);
	free(u->volume);
	free(u->spec_name);
	free(u);
}

void csi_volumes_free(struct csi *c)
{
	strmap_release_with(&c->volumes, csi_volume_free);
}

struct csi_volume *csi_volume_of(struct csi *c, struct arena *a, struct sv driver, struct sv handle)
{
	struct csi_volume *v;
	char hex[SHA256_HEX];
	void **slot;

	sha256_hex(handle, hex);
	slot = strmap_slot(&c->volumes, arena_svf(a, "%.*s/%s", SV_ARG(driver), hex));
	if (*slot)
		return *slot;
	*slot = v = xcalloc(1, sizeof(*v));
	v->driver = xstrndup(driver.p, driver.n);
	v->handle = xstrndup(handle.p, handle.n);
	v->sha = xstrdup(hex);
	return v;
}

void csi_volume_drop(struct csi *c, struct arena *a, struct csi_volume *v)
{
	(void)strmap_del(&c->volumes, arena_svf(a, "%s/%s", v->driver, v->sha));
	csi_place_pass(c, v);
	csi_volume_free(v);
}

struct csi_use *csi_use_of(struct csi_volume *v, struct sv uid)
{
	void **slot = strmap_slot(&v->uses, uid);

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct csi_use));
	return *slot;
}

void csi_volumes_wake(struct csi *c, struct sv driver)
{
	pthread_mutex_lock(&c->lock);
	shares_forget(&c->shares, driver); /* it has begun anew */
	STRMAP_EACH(&c->volumes, e) {
		struct csi_volume *v = e->value;

		if (!sv_is(driver, v->driver))
			continue;
		retry_forget(&v->failed);
		v->place.hung = false;
		workq_add(csi_driver_of(c, driver)->q, sv_from(v->sha));
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- what pods ask --- */

/* Of the driver, where inline: upstream's own for the pod. */
static struct sv want_handle(struct arena *a, const struct csi_want *w)
{
	char hex[SHA256_HEX];

	if (w->source)
		return val_str(obj_get(w->source, F_spec, F_csi, F_volumeHandle));
	sha256_hex(arena_svf(a, "%.*s%.*s", SV_ARG(obj_uid(w->pod)), SV_ARG(val_get_str(w->volume, F_name))), hex);
	return arena_svf(a, "csi-%s", hex);
}

static void want_keep(struct obj **slot, struct obj *o)
{
	struct obj *was = *slot;

	*slot = obj_ref(o);
	obj_unref(was);
}

/* Under the lock. */
static int want_answer(struct csi *c, struct arena *a, const struct csi_volume *v, struct csi_use *u, struct sv uid,
		       struct csi_place *ret, struct err *err)
{
	switch (u->state) {
	case CSI_READY:
		*ret = (struct csi_place){ csi_publish_path(c, a, v, uid, u->spec_name), v->block };
		return 0;
	case CSI_FAILED:
		err_copy(err, &u->why);
		return -1;
	default:
		if (v->place.state != SHARE_WAITS || env_mono_ns(c->o.env) - v->place.since_ns < CSI_LINE_NS)
			return 1;
		return err_set(
		    err, ERR_UNAVAILABLE,
		    "the volume waits for others of its namespace, or of many, of which their driver says nothing");
	}
}

int csi_want(struct csi *c, struct arena *a, const struct csi_want *w, struct csi_place *ret, struct err *err)
{
	const struct val *csi = w->source ? obj_get(w->source, F_spec, F_csi) : val_member(w->volume, F_csi);
	struct sv driver = val_get_str(csi, F_driver), handle = want_handle(a, w), uid = obj_uid(w->pod);
	struct sv name = w->source ? obj_name(w->source) : val_get_str(w->volume, F_name);
	bool block = w->source && sv_is(volume_mode_of(w->source), "Block");
	struct csi_driver *d;
	struct csi_volume *v;
	struct csi_use *u;
	int rc;

	if (!pod_path_harmless(uid) || !pod_path_harmless(name) || !csi_driver_name_ok(driver) || !handle.n)
		return err_set(err, ERR_INVALID, "the volume's or driver's name is no file name");
	pthread_mutex_lock(&c->lock);
	d = strmap_get(&c->drivers, driver);
	if (!d) {
		pthread_mutex_unlock(&c->lock);
		return err_set(err, ERR_UNAVAILABLE,
			       "kubernetes.io/csi: driver name %.*s not found in the list of registered CSI drivers",
			       SV_ARG(driver));
	}
	v = csi_volume_of(c, a, driver, handle);
	if (!v->spec_name || !*v->spec_name) {
		free(v->spec_name);
		v->spec_name = xstrndup(name.p, name.n);
	}
	if (!v->uses.n) {
		v->block = block;
		v->own = !w->source;
	}
	u = csi_use_of(v, uid);
	want_keep(&u->pod, w->pod);
	want_keep(&u->claim, w->claim);
	want_keep(&u->source, w->source);
	if (!u->volume) {
		struct sv of_pod = val_get_str(w->volume, F_name);

		u->volume = xstrndup(of_pod.p, of_pod.n);
	}
	if (!u->spec_name)
		u->spec_name = xstrndup(name.p, name.n);
	if (u->state == CSI_FOUND) {
		u->state = CSI_WANTED;
		workq_add(d->q, sv_from(v->sha));
	}
	rc = want_answer(c, a, v, u, uid, ret, err);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

bool csi_drop_pod(struct csi *c, struct sv uid)
{
	bool left = false;

	pthread_mutex_lock(&c->lock);
	STRMAP_EACH(&c->volumes, e) {
		struct csi_volume *v = e->value;
		struct csi_use *u = strmap_get(&v->uses, uid);

		if (!u)
			continue;
		left = true;
		if (u->state == CSI_GOING)
			continue;
		u->state = CSI_GOING;
		retry_forget(&v->failed);
		workq_add(csi_driver_of(c, sv_from(v->driver))->q, sv_from(v->sha));
	}
	pthread_mutex_unlock(&c->lock);
	return left;
}

struct val *csi_in_use(struct csi *c, struct arena *a)
{
	VEC(struct sv) names = VEC_INIT;
	struct val *list = NULL;

	pthread_mutex_lock(&c->lock);
	STRMAP_EACH(&c->volumes, e) {
		struct csi_volume *v = e->value;

		if (v->attachable)
			vec_push(&names, sv_from(volume_attach_unique(a, sv_from(v->driver), sv_from(v->handle))));
	}
	pthread_mutex_unlock(&c->lock);
	if (names.n) {
		qsort(names.p, names.n, sizeof(*names.p), sv_order);
		list = val_new_list(a);
	}
	for (size_t i = 0; i < names.n; i++)
		val_push(a, list, val_new_str_ref(a, names.p[i]));
	vec_release(&names);
	return list;
}

bool csi_fullness(struct csi *c, struct sv uid, struct sv spec_name, struct csi_stats *ret)
{
	bool found = false;

	pthread_mutex_lock(&c->lock);
	STRMAP_EACH(&c->volumes, e) {
		struct csi_use *u = strmap_get(&((struct csi_volume *)e->value)->uses, uid);

		if (!u || !u->has_stats || !sv_is(spec_name, u->spec_name))
			continue;
		*ret = u->stats;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}
