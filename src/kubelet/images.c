#include "kubelet/kubelet-internal.h"

#include "base/b64.h"
#include "codec/json.h"
#include "kubelet/backoff.h"
#include "kubelet/pod_env.h"
#include "pod/image_name.h"

#include <stdlib.h>

/* Making sure an image is there, by its pull policy. Pulls are tasks of their own; containers that want the
 * same image meanwhile wait for the one under way. */

struct waiter {
	struct kpod *p;
	char *container;
};

struct pull {
	struct kubelet *k;
	char *image;
	struct obj *pod; /* whose credentials are used */
	VEC(struct waiter) waiters;
};

struct images {
	pthread_mutex_t lock;
	struct strmap pulls; /* image -> struct pull under way */
};

struct images *images_new(struct kubelet *k)
{
	struct images *i = xcalloc(1, sizeof(*i));

	(void)k;
	pthread_mutex_init(&i->lock, NULL);
	return i;
}

struct images *images_free(struct images *i)
{
	if (!i)
		return NULL;
	strmap_release(&i->pulls); /* pulls not begun free themselves when their task comes */
	pthread_mutex_destroy(&i->lock);
	free(i);
	return NULL;
}

/* --- credentials --- */

/* The entry of a docker config's auths for that registry, as image service auth; NULL: none. */
static const struct val *auth_of(struct arena *a, const struct val *auths, struct sv host)
{
	VAL_EACH_MEMBER(auths, m) {
		struct sv key = m.key;
		struct val *r;
		ssize_t slash;

		if (sv_starts(key, SV("https://")))
			key = sv_sub(key, 8, key.n);
		else if (sv_starts(key, SV("http://")))
			key = sv_sub(key, 7, key.n);
		slash = sv_find(key, '/');
		if (slash >= 0)
			key = sv_sub(key, 0, (size_t)slash);
		if (!sv_eq(key, host) && !(sv_is(host, "docker.io") && sv_is(key, "index.docker.io")))
			continue;
		r = val_new_map(a);
		val_set_str_sv(a, r, SV("username"), val_str(val_member_sv(m.value, SV("username"))));
		val_set_str_sv(a, r, SV("password"), val_str(val_member_sv(m.value, SV("password"))));
		val_set_str_sv(a, r, SV("auth"), val_str(val_member_sv(m.value, SV("auth"))));
		val_set_str_sv(a, r, SV("identityToken"), val_str(val_member_sv(m.value, SV("identitytoken"))));
		return r;
	}
	return NULL;
}

static const struct val *find_auth(struct kubelet *k, struct arena *a, const struct val *pod, struct sv image)
{
	struct sv host = sv_sub(image, 0, (size_t)MAX(sv_find(image, '/'), 0));

	VAL_EACH(val_get(pod, F_spec, F_imagePullSecrets), ref) {
		const struct val *secret, *doc, *auth;
		struct sv text;

		if (pod_get_config(k, a, val_get_str(pod, F_metadata, F_namespace), true, val_get_str(ref, F_name),
				   &secret, NULL) < 0)
			continue;
		text = val_str(val_member_sv(val_member(secret, F_data), SV(".dockerconfigjson")));
		if (!text.n || !b64_decode(a, text, &text))
			continue;
		doc = json_decode(a, text, NULL, NULL);
		auth = auth_of(a, val_member_sv(doc, SV("auths")), host);
		if (auth)
			return auth;
	}
	return NULL;
}

/* --- pulling --- */

static void pull_free(struct pull *u)
{
	for (size_t i = 0; i < u->waiters.n; i++) {
		kpod_unref(u->waiters.p[i].p);
		free(u->waiters.p[i].container);
	}
	vec_release(&u->waiters);
	obj_unref(u->pod);
	free(u->image);
	kubelet_unref(u->k);
	free(u);
}

static void pull_task(void *ctx)
{
	struct pull *u = ctx;
	struct kubelet *k = u->k;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv ref = SV("");
	int64_t since = env_mono_ns(k->env);

	if (!ktask_enter(k)) {
		pull_free(u);
		return;
	}
	k->rt->ops->pull_image(k->rt, &a, sv_from(u->image), find_auth(k, &a, obj_root(u->pod), sv_from(u->image)),
			       &ref, &err);
	since = env_mono_ns(k->env) - since;
	pthread_mutex_lock(&k->images->lock);
	strmap_del(&k->images->pulls, sv_from(u->image)); /* nobody joins any more */
	pthread_mutex_unlock(&k->images->lock);
	for (size_t i = 0; i < u->waiters.n; i++) {
		struct waiter *w = &u->waiters.p[i];
		const struct val *spec;

		pthread_mutex_lock(&w->p->lock);
		for (size_t j = 0; j < w->p->conts.n; j++) {
			struct kcont *c = w->p->conts.p[j];

			if (strcmp(c->name, w->container) != 0)
				continue;
			c->pull = err.reason ? PULL_FAILED : PULL_DONE;
			free(c->pull_error);
			c->pull_error = err.reason ? xstrdup(err_msg(&err)) : NULL;
		}
		pthread_mutex_unlock(&w->p->lock);
		spec = pod_container(obj_root(kpod_obj(w->p, &a)), sv_from(w->container), NULL);
		if (err.reason)
			kpod_event(w->p, spec, "Warning", "Failed", "Failed to pull image \"%s\": %s", u->image,
				   err_msg(&err));
		else
			kpod_event(w->p, spec, "Normal", "Pulled", "Successfully pulled image \"%s\" in %dms", u->image,
				   (int)(since / NS_PER_MS));
		kpod_kick(w->p);
	}
	ktask_leave(k);
	pull_free(u);
}

static void pull_start(struct kpod *p, struct arena *a, struct kcont *c, struct sv image)
{
	struct images *im = p->k->images;
	struct waiter w = { .p = kpod_ref(p), .container = xstrdup(c->name) };
	struct pull *u;

	pthread_mutex_lock(&p->lock);
	c->pull = PULL_RUNNING;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&im->lock);
	u = strmap_get(&im->pulls, image);
	if (u) {
		vec_push(&u->waiters, w);
		pthread_mutex_unlock(&im->lock);
		return;
	}
	u = xcalloc(1, sizeof(*u));
	u->k = kubelet_ref(p->k);
	u->image = xstrndup(image.p, image.n);
	u->pod = obj_ref(kpod_obj(p, a));
	vec_push(&u->waiters, w);
	strmap_set(&im->pulls, image, u);
	pthread_mutex_unlock(&im->lock);
	env_post(p->k->env, pull_task, u);
}

int images_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct kcont *c,
		  struct sv *ret_ref, int64_t *wake_ns)
{
	struct sv given = val_get_str(container, F_image), image;
	const struct val *policy = val_member(container, F_imagePullPolicy);
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t now = env_mono_ns(p->k->env);
	struct rt_image *img = NULL;
	enum pull_state pull;
	bool always;

	(void)pod;
	if (image_normalize(a, given, &image, &err) < 0) {
		kpod_event(p, container, "Warning", "InspectFailed", "Failed to apply default image tag \"%.*s\": %s",
			   SV_ARG(given), err_msg(&err));
		kcont_wait(p, c, "InvalidImageName", "Failed to apply default image tag \"%.*s\": %s", SV_ARG(given),
			   err_msg(&err));
		kpod_event(p, container, "Warning", "Failed", "Error: InvalidImageName");
		*wake_ns = MIN(*wake_ns, 60 * NS_PER_SEC);
		return -1;
	}
	always = policy ? val_is(policy, "Always") : image_is_latest(image);
	pthread_mutex_lock(&p->lock);
	pull = c->pull;
	if (pull == PULL_DONE || pull == PULL_FAILED)
		c->pull = PULL_NONE;
	pthread_mutex_unlock(&p->lock);
	if (pull == PULL_RUNNING)
		return 0;
	if (pull == PULL_FAILED) {
		kcont_wait(p, c, "ErrImagePull", "%s", c->pull_error ? c->pull_error : "");
		kpod_event(p, container, "Warning", "Failed", "Error: ErrImagePull");
		backoff_next(&c->pull_backoff_ns, &c->pull_backoff_at_ns, now);
		*wake_ns = MIN(*wake_ns, NS_PER_SEC); /* then it turns into a back-off */
		return -1;
	}
	if (p->k->rt->ops->image_status(p->k->rt, a, image, &img, &err) < 0) {
		kcont_wait(p, c, "ImageInspectError", "%s", err_msg(&err));
		*wake_ns = MIN(*wake_ns, 5 * NS_PER_SEC);
		return -1;
	}
	if (img && (!always || pull == PULL_DONE)) {
		if (pull != PULL_DONE)
			kpod_event(p, container, "Normal", "Pulled",
				   "Container image \"%.*s\" already present on machine", SV_ARG(given));
		c->pull_backoff_ns = 0;
		*ret_ref = img->id;
		return 1;
	}
	if (policy && val_is(policy, "Never")) {
		kpod_event(p, container, "Warning", "ErrImageNeverPull",
			   "Container image \"%.*s\" is not present with pull policy of Never", SV_ARG(given));
		kcont_wait(p, c, "ErrImageNeverPull",
			   "Container image \"%.*s\" is not present with pull policy of Never", SV_ARG(given));
		kpod_event(p, container, "Warning", "Failed", "Error: ErrImageNeverPull");
		*wake_ns = MIN(*wake_ns, 30 * NS_PER_SEC);
		return -1;
	}
	if (c->pull_backoff_ns && now - c->pull_backoff_at_ns < NS_PER_SEC) { /* let the error be seen */
		*wake_ns = MIN(*wake_ns, NS_PER_SEC);
		return -1;
	}
	if (backoff_active(c->pull_backoff_ns, c->pull_backoff_at_ns, c->pull_backoff_at_ns, now)) {
		if (!c->wait_reason || strcmp(c->wait_reason, "ImagePullBackOff") != 0) {
			kpod_event(p, container, "Normal", "BackOff", "Back-off pulling image \"%.*s\"", SV_ARG(given));
			kpod_event(p, container, "Warning", "Failed", "Error: ImagePullBackOff");
		}
		kcont_wait(p, c, "ImagePullBackOff", "Back-off pulling image \"%.*s\": ErrImagePull: %s", SV_ARG(given),
			   c->pull_error ? c->pull_error : "");
		*wake_ns = MIN(*wake_ns, c->pull_backoff_ns - (now - c->pull_backoff_at_ns));
		return -1;
	}
	kpod_event(p, container, "Normal", "Pulling", "Pulling image \"%.*s\"", SV_ARG(given));
	pull_start(p, a, c, image);
	return 0;
}
