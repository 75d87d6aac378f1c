/* Making sure an image is there, by its pull policy, and that the pod may have it (pull_records.h). Pulls are tasks of
 * their own, PULLS_MAX at once and then in their order; containers that want the same image with the same credentials
 * meanwhile wait for the one under way. */
#include "kubelet/images.h"

#include "base/b64.h"
#include "base/log.h"
#include "codec/json.h"
#include "base/retry.h"
#include "kubelet/image.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_env.h"
#include "kubelet/pod_source.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pull_guard.h"
#include "kubelet/pull_records.h"
#include "pod/image_name.h"

#include <stdlib.h>

#define PULLS_MAX 5 /* each takes a thread of the slow class */

/* What a pod has to show to an image's registry, in its order. */
struct creds {
	const struct val *auth[PULL_CREDS_MAX];
	char digest[PULL_CREDS_MAX][SHA256_HEX];
	size_t n;
};

struct waiter {
	struct kpod *p;
	char *container;
};

struct pull {
	struct kubelet *k;
	char *image, *key;
	struct arena a; /* of creds */
	struct creds creds;
	VEC(struct waiter) waiters;
	struct pull *next; /* in images.queue */
};

struct images {
	pthread_mutex_t lock;
	struct strmap pulls; /* image and credentials -> struct pull under way or queued */
	struct pull *queue, **queue_end;
	int running;
	struct pull_records *records;
};

static void pull_free(struct pull *u);

struct images *images_new(struct kubelet *k)
{
	struct images *i = xcalloc(1, sizeof(*i));
	_cleanup_free_ char *dir = k->files ? xasprintf("%s/" PULL_RECORDS_DIR, k->root_dir) : NULL;

	pthread_mutex_init(&i->lock, NULL);
	i->queue_end = &i->queue;
	i->records = pull_records_new(k->env, dir);
	return i;
}

struct images *images_free(struct images *i)
{
	if (!i)
		return NULL;
	strmap_release(&i->pulls); /* pulls not begun free themselves when their task comes */
	for (struct pull *u = i->queue, *next; u; u = next) {
		next = u->next;
		pull_free(u);
	}
	pull_records_free(i->records);
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

/* The entries of the pod's pull secrets for the image's registry. */
static void creds_of(struct kubelet *k, struct arena *a, const struct val *pod, struct sv image, struct creds *ret)
{
	struct sv host = sv_sub(image, 0, (size_t)MAX(sv_find(image, '/'), 0));

	ret->n = 0;
	VAL_EACH(val_get(pod, F_spec, F_imagePullSecrets), ref) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		const struct val *secret, *doc, *auth;
		struct sv text;

		if (ret->n == PULL_CREDS_MAX)
			break;
		if (pod_get_config(k, a, val_get_str(pod, F_metadata, F_namespace), true, val_get_str(ref, F_name),
				   &secret, NULL) < 0)
			continue;
		text = val_str(val_member_sv(val_member(secret, F_data), SV(".dockerconfigjson")));
		if (!text.n || !b64_decode(a, text, &text))
			continue;
		doc = json_decode(a, text, NULL, NULL);
		auth = auth_of(a, val_member_sv(doc, SV("auths")), host);
		if (!auth)
			continue;
		json_encode(&b, auth);
		ret->auth[ret->n] = auth;
		sha256_hex(buf_sv(&b), ret->digest[ret->n++]);
	}
}

/* --- pulling --- */

static void pull_free(struct pull *u)
{
	for (size_t i = 0; i < u->waiters.n; i++) {
		kpod_unref(u->waiters.p[i].p);
		free(u->waiters.p[i].container);
	}
	vec_release(&u->waiters);
	arena_release(&u->a);
	free(u->image);
	free(u->key);
	kubelet_unref(u->k);
	free(u);
}

static void pull_task(void *ctx);

/* Under im->lock. */
static void pull_begin_next(struct images *im, struct env *env)
{
	while (im->queue && im->running < PULLS_MAX) {
		struct pull *u = im->queue;

		im->queue = u->next;
		if (!im->queue)
			im->queue_end = &im->queue;
		im->running++;
		env_post(env, ENV_SLOW, pull_task, u);
	}
}

/* With each of the pod's credentials until one is taken, without any when there are none. */
static int pull_now(struct pull *u, struct arena *a, int stop_fd, struct sv *ret_ref, const char **ret_digest,
		    struct err *err)
{
	struct runtime *rt = u->k->rt;

	*ret_digest = NULL;
	if (!u->creds.n)
		return rt->ops->pull_image(rt, a, sv_from(u->image), NULL, stop_fd, ret_ref, err);
	for (size_t i = 0;; i++) {
		*ret_digest = u->creds.digest[i];
		if (rt->ops->pull_image(rt, a, sv_from(u->image), u->creds.auth[i], stop_fd, ret_ref, err) == 0)
			return 0;
		if (i + 1 == u->creds.n)
			return -1;
		err_release(err);
	}
}

static bool pull_given_up(void *k)
{
	return kubelet_stopping(k);
}

/* While the disk of the images lasts. */
static int pull_guarded(struct pull *u, struct arena *a, struct sv *ret_ref, const char **ret_digest, struct err *err)
{
	struct runtime *rt = u->k->rt;
	_cleanup_(err_release) struct err full = ERR_INIT;
	struct pull_guard *guard;
	struct sv where = SV("");
	uint64_t bytes;
	int rc;

	*ret_digest = NULL;
	if (!u->k->files || rt->ops->fs_usage(rt, a, &bytes, &where, NULL) < 0 || !where.n)
		return pull_now(u, a, u->k->stop_fd, ret_ref, ret_digest, err);
	guard = pull_guard_begin(u->k->env, arena_strndup(a, where.p, where.n), pull_given_up, u->k, err);
	if (!guard)
		return -1;
	rc = pull_now(u, a, pull_guard_stop_fd(guard), ret_ref, ret_digest, err);
	/* What came whole before it could be stopped is there. */
	if (pull_guard_end(guard, &full) < 0 && rc < 0) {
		err_release(err);
		err_move(err, &full);
	}
	return rc;
}

/* Pulls, and remembers with what that was possible. */
static void pull_recorded(struct pull *u, struct arena *a, struct err *err)
{
	struct pull_records *rec = u->k->images->records;
	struct runtime *rt = u->k->rt;
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct sv image = sv_from(u->image), ref = SV("");
	struct rt_image *img = NULL, *all;
	const char *digest;
	size_t n;

	if (pull_records_begin(rec, image, err) < 0) {
		pull_records_end(rec, image, SV(""), NULL, NULL);
		return;
	}
	if (pull_guarded(u, a, &ref, &digest, err) < 0)
		ref = SV("");
	else if (rt->ops->image_status(rt, a, image, &img, NULL) == 0 && img) /* by what images_ensure() sees it */
		ref = img->id;
	if (pull_records_end(rec, image, ref, digest, &e) < 0)
		log_warn(SYS, "who pulled an image is not remembered", "why", "%s: %s", u->image, err_msg(&e));
	if (pull_records_many(rec) && rt->ops->list_images(rt, a, &all, &n, NULL) == 0)
		pull_records_prune(rec, all, n);
}

static void pull_task(void *ctx)
{
	struct pull *u = ctx;
	struct kubelet *k = u->k;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t since = env_mono_ns(k->env);
	bool given_up;

	if (!ktask_enter(k)) {
		pull_free(u);
		return;
	}
	pull_recorded(u, &a, &err);
	since = env_mono_ns(k->env) - since;
	pthread_mutex_lock(&k->images->lock);
	strmap_del(&k->images->pulls, sv_from(u->key)); /* nobody joins any more */
	k->images->running--;
	pull_begin_next(k->images, k->env);
	pthread_mutex_unlock(&k->images->lock);
	given_up = err.reason && kubelet_stopping(k); /* and nobody's failure: the next agent pulls it */
	for (size_t i = 0; i < u->waiters.n && !given_up; i++) {
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

static const char *pull_key(struct arena *a, struct sv image, const struct creds *c)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addsv(&b, image);
	for (size_t i = 0; i < c->n; i++)
		buf_printf(&b, " %s", c->digest[i]);
	return arena_strdup(a, buf_cstr(&b));
}

static void pull_start(struct kpod *p, struct arena *a, struct kcont *c, struct sv image, const struct creds *creds)
{
	struct images *im = p->k->images;
	struct waiter w = { .p = kpod_ref(p), .container = xstrdup(c->name) };
	const char *key = pull_key(a, image, creds);
	struct pull *u;

	pthread_mutex_lock(&p->lock);
	c->pull = PULL_RUNNING;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&im->lock);
	u = strmap_get(&im->pulls, sv_from(key));
	if (u) {
		vec_push(&u->waiters, w);
		pthread_mutex_unlock(&im->lock);
		return;
	}
	u = xcalloc(1, sizeof(*u));
	u->k = kubelet_ref(p->k);
	u->image = xstrndup(image.p, image.n);
	u->key = xstrdup(key);
	u->creds = *creds;
	for (size_t i = 0; i < creds->n; i++)
		u->creds.auth[i] = val_clone(&u->a, creds->auth[i]);
	vec_push(&u->waiters, w);
	strmap_set(&im->pulls, sv_from(key), u);
	*im->queue_end = u;
	im->queue_end = &u->next;
	pull_begin_next(im, p->k->env);
	pthread_mutex_unlock(&im->lock);
}

int images_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct kcont *c,
		  struct sv *ret_ref, int64_t *wake_ns)
{
	struct sv given = val_get_str(container, F_image), image;
	const struct val *policy = val_member(container, F_imagePullPolicy);
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t now = env_mono_ns(p->k->env), left;
	struct rt_image *img = NULL;
	enum pull_state pull;
	bool always, never = policy && val_is(policy, "Never"), allowed = false;
	struct creds creds;

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
		retry_failed(&kcont_retry, &c->unpulled, now);
		*wake_ns = MIN(*wake_ns, NS_PER_SEC); /* then it turns into a back-off */
		return -1;
	}
	if (p->k->rt->ops->image_status(p->k->rt, a, image, &img, &err) < 0) {
		kcont_wait(p, c, "ImageInspectError", "%s", err_msg(&err));
		*wake_ns = MIN(*wake_ns, 5 * NS_PER_SEC);
		return -1;
	}
	if (img && !always) /* for most pods, who need no secrets read, that is all */
		allowed = pull_records_allow(p->k->images->records, image, img->id, NULL, 0);
	creds.n = 0;
	if (!allowed && pull != PULL_DONE)
		creds_of(p->k, a, pod, image, &creds);
	if (img && !always && !allowed)
		allowed = pull_records_allow(p->k->images->records, image, img->id, creds.digest, creds.n);
	if (img && (allowed || pull == PULL_DONE)) {
		if (pull != PULL_DONE)
			kpod_event(p, container, "Normal", "Pulled",
				   "Container image \"%.*s\" already present on machine and can be accessed by the pod",
				   SV_ARG(given));
		retry_forget(&c->unpulled);
		*ret_ref = img->id;
		return 1;
	}
	if (never) {
		const char *why = img ? "is present with pull policy of Never but does not have the proper credentials"
				      : "is not present with pull policy of Never";

		kpod_event(p, container, "Warning", "ErrImageNeverPull", "Container image \"%.*s\" %s", SV_ARG(given),
			   why);
		kcont_wait(p, c, "ErrImageNeverPull", "Container image \"%.*s\" %s", SV_ARG(given), why);
		kpod_event(p, container, "Warning", "Failed", "Error: ErrImageNeverPull");
		*wake_ns = MIN(*wake_ns, 30 * NS_PER_SEC);
		return -1;
	}
	if (c->unpulled.pause_ns && now - c->unpulled.failed_ns < NS_PER_SEC) { /* let the error be seen */
		*wake_ns = MIN(*wake_ns, NS_PER_SEC);
		return -1;
	}
	left = retry_left_ns(&kcont_retry, &c->unpulled, c->unpulled.failed_ns, now);
	if (left) {
		if (!c->wait_reason || strcmp(c->wait_reason, "ImagePullBackOff") != 0) {
			kpod_event(p, container, "Normal", "BackOff", "Back-off pulling image \"%.*s\"", SV_ARG(given));
			kpod_event(p, container, "Warning", "Failed", "Error: ImagePullBackOff");
		}
		kcont_wait(p, c, "ImagePullBackOff", "Back-off pulling image \"%.*s\": ErrImagePull: %s", SV_ARG(given),
			   c->pull_error ? c->pull_error : "");
		*wake_ns = MIN(*wake_ns, left);
		return -1;
	}
	kpod_event(p, container, "Normal", "Pulling", "Pulling image \"%.*s\"", SV_ARG(given));
	pull_start(p, a, c, image, &creds);
	return 0;
}
