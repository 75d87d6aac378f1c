/* One look at one volume: what nobody wants goes, what is wanted is made, in this order, as a device may be had by one
 * pod after the other. Only this run takes a volume, or the use of one, out of the table. */
#include "kubelet/csi/csi-internal.h"

#include "base/log.h"
#include "kubelet/volume_metrics.h"

static struct csi_volume *run_volume(const struct csi_driver *d, struct arena *a, struct sv sha)
{
	return strmap_get(&d->c->volumes, arena_svf(a, "%s/%.*s", d->name, SV_ARG(sha)));
}

/* What it is; under the lock. */
static const struct csi_volume *run_copy(const struct csi_volume *v, struct arena *a)
{
	struct csi_volume *copy = ARENA_NEW(a, struct csi_volume);

	copy->driver = arena_strdup(a, v->driver);
	copy->handle = arena_strdup(a, v->handle);
	copy->sha = arena_strdup(a, v->sha);
	copy->spec_name = arena_strdup(a, v->spec_name ? v->spec_name : "");
	copy->own = v->own;
	copy->block = v->block;
	return copy;
}

/* Copies of all uses; under the lock. */
static struct csi_run_use *run_uses(struct csi_volume *v, struct arena *a, size_t *ret_n)
{
	struct csi_run_use *list = ARENA_ARRAY(a, struct csi_run_use, v->uses.n);
	size_t n = 0;

	STRMAP_EACH(&v->uses, e) {
		struct csi_use *u = e->value;

		list[n++] = (struct csi_run_use){
			.uid = arena_sv(a, sv_make(e->key, e->key_n)),
			.state = u->state,
			.pod = obj_link(a, obj_ref(u->pod)),
			.claim = obj_link(a, obj_ref(u->claim)),
			.source = obj_link(a, obj_ref(u->source)),
			.volume = arena_strdup(a, u->volume ? u->volume : ""),
			.spec_name = arena_strdup(a, u->spec_name ? u->spec_name : ""),
			.published_ns = u->published_ns,
		};
	}
	*ret_n = n;
	return list;
}

static void run_kick(struct csi *c, struct sv uid)
{
	if (c->o.kick)
		c->o.kick(c->o.ctx, uid);
}

static void in_use_changed(struct csi *c)
{
	if (c->o.in_use_changed)
		c->o.in_use_changed(c->o.ctx);
}

/* What became of a use; not when its pod wants it no more meanwhile. */
static void use_became(struct csi_run *r, const struct csi_run_use *of, enum csi_use_state state, const struct err *why)
{
	struct csi_use *u;

	pthread_mutex_lock(&r->c->lock);
	u = strmap_get(&r->table->uses, of->uid);
	if (u && u->state != CSI_GOING) {
		u->state = state;
		err_release(&u->why);
		if (why)
			err_copy(&u->why, why);
		else
			u->published_ns = env_mono_ns(r->c->o.env);
	}
	pthread_mutex_unlock(&r->c->lock);
	run_kick(r->c, of->uid);
}

/* It failed before, its pod has heard of that, and now it waits again. */
static void use_waits(struct csi_run *r, const struct csi_run_use *of)
{
	struct csi_use *u;

	pthread_mutex_lock(&r->c->lock);
	u = strmap_get(&r->table->uses, of->uid);
	if (u && u->state == CSI_FAILED)
		u->state = CSI_WANTED;
	pthread_mutex_unlock(&r->c->lock);
}

static void use_gone(struct csi_run *r, const struct csi_run_use *of)
{
	struct csi_volume *v = r->table;

	pthread_mutex_lock(&r->c->lock);
	csi_use_free(strmap_del(&v->uses, of->uid));
	pthread_mutex_unlock(&r->c->lock);
	run_kick(r->c, of->uid);
}

/* Of an agent before, and of no pod that is still here? */
static bool run_is_going(struct csi *c, const struct csi_run_use *u)
{
	return u->state == CSI_GOING || (u->state == CSI_FOUND && c->o.pod_known && !c->o.pod_known(c->o.ctx, u->uid));
}

/* --- whose work it is, and of which kind --- */

/* Of those that stay. */
static enum share_kind run_kind_left(struct csi *c, const struct csi_run_use *uses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((uses[i].state == CSI_WANTED || uses[i].state == CSI_FAILED) && !run_is_going(c, &uses[i]))
			return SHARE_MAKING;
	return SHARE_LOOKING;
}

/* What a pod's end waits for goes before what begins. */
static enum share_kind run_kind_of(struct csi *c, const struct csi_run_use *uses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (run_is_going(c, &uses[i]))
			return SHARE_UNMAKING;
	return n ? run_kind_left(c, uses, n) : SHARE_UNMAKING;
}

/* Of pods of before us the namespace is not known. */
static struct share_who run_who(const struct csi_run *r, const struct csi_run_use *uses, size_t n)
{
	struct sv of = sv_from(r->v->driver);

	for (size_t i = 0; i < n; i++)
		if (uses[i].pod)
			return (struct share_who){ obj_ns(uses[i].pod), of, false };
	return (struct share_who){ n ? uses[0].uid : SV(""), of, true };
}

static bool run_place(struct csi_run *r, const struct csi_run_use *uses, size_t n, enum share_kind kind)
{
	struct share_who who = run_who(r, uses, n);
	bool has;

	pthread_mutex_lock(&r->c->lock);
	has = csi_place_take(r->c, r->table, kind, who);
	pthread_mutex_unlock(&r->c->lock);
	return has;
}

static void run_counted(struct csi_run *r, const char *what, bool ok, int64_t began_ns)
{
	volume_operation_counted(r->c->o.counted, arena_printf(r->a, "kubernetes.io/csi:%s", r->v->driver), what, ok,
				 env_mono_ns(r->c->o.env) - began_ns);
}

/* --- its three parts --- */

static int run_away(struct csi_run *r, const struct csi_run_use *uses, size_t n, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		struct err why = ERR_INIT;
		int64_t began = env_mono_ns(r->c->o.env);
		bool done;

		if (!run_is_going(r->c, &uses[i]))
			continue;
		done = csi_unpublish(r, &uses[i], &why) == 0;
		run_counted(r, r->v->block ? "unmap_volume" : "volume_unmount", done, began);
		if (done) {
			use_gone(r, &uses[i]);
			continue;
		}
		err_wrap(&why, "%s failed for volume \"%s\" ",
			 r->v->block ? "UnmapVolume.UnmapPodDevice" : "UnmountVolume.TearDown", uses[i].spec_name);
		if (rc == 0)
			rc = err_move(err, &why);
		err_release(&why);
	}
	return rc;
}

/* Nobody wants it: 1: it is gone from the table. */
static int run_last(struct csi_run *r, struct err *err)
{
	struct csi_volume *v = r->table;
	struct csi *c = r->c;
	bool gone;

	if (csi_unstage(r, err) < 0)
		return err_wrap(err, "%s failed for volume \"%s\" ",
				r->v->block ? "UnmapVolume.UnmapDevice" : "UnmountVolume.UnmountDevice",
				r->v->spec_name);
	pthread_mutex_lock(&c->lock);
	v->staged = false;
	gone = v->uses.n == 0; /* else somebody came meanwhile, whose run comes after this one */
	if (gone)
		csi_volume_drop(c, r->a, v);
	pthread_mutex_unlock(&c->lock);
	return gone;
}

/* Upstream's words for what was being done. */
static int run_words(const struct csi_run *r, const struct csi_run_use *u, const char *mount, const char *map,
		     struct err *err)
{
	return err_wrap(err, "%s failed for volume \"%s\" ", r->v->block ? map : mount, u->spec_name);
}

static int run_stage(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	struct csi_volume *v = r->table;

	if (r->staged || r->v->own || !(r->can & CSI_CAN_STAGE))
		return 0;
	if (csi_stage(r, u, err) < 0)
		return run_words(r, u, "MountVolume.MountDevice", "MapVolume.SetUpDevice", err);
	pthread_mutex_lock(&r->c->lock);
	v->staged = r->staged = true;
	pthread_mutex_unlock(&r->c->lock);
	return 0;
}

/* 1: done; 0: not yet; -1 */
static int run_make(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	int64_t began;
	int rc;

	if (!r->endpoint) {
		(void)err_set(err, ERR_UNAVAILABLE,
			      "kubernetes.io/csi: driver name %s not found in the list of registered CSI drivers",
			      r->v->driver);
		return run_words(r, u, "MountVolume.MountDevice", "MapVolume.SetUpDevice", err);
	}
	rc = csi_attached(r, u, err);
	if (rc <= 0)
		return rc == -2 ? -1
		       : rc < 0 ? run_words(r, u, "MountVolume.WaitForAttach", "MapVolume.WaitForAttach", err)
				: 0;
	began = env_mono_ns(r->c->o.env);
	rc = run_stage(r, u, err);
	if (rc == 0 && csi_publish(r, u, err) < 0)
		rc = run_words(r, u, "MountVolume.SetUp", "MapVolume.MapPodDevice", err);
	run_counted(r, r->v->block ? "map_volume" : "volume_mount", rc == 0, began);
	return rc == 0 ? 1 : -1;
}

static int run_wanted(struct csi_run *r, const struct csi_run_use *uses, size_t n, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		struct err why = ERR_INIT;
		int done;

		if (uses[i].state == CSI_READY) {
			csi_care(r, &uses[i]);
			continue;
		}
		if (uses[i].state != CSI_WANTED && uses[i].state != CSI_FAILED)
			continue;
		done = run_make(r, &uses[i], &why);
		if (done > 0) {
			use_became(r, &uses[i], CSI_READY, NULL);
			r->ret->after_ns = r->ret->after_ns ? r->ret->after_ns : NS_PER_SEC; /* how full is it? */
		} else if (done < 0) {
			use_became(r, &uses[i], CSI_FAILED, &why);
			if (rc == 0)
				rc = err_move(err, &why);
		} else {
			use_waits(r, &uses[i]);
		}
		err_release(&why);
	}
	return rc;
}

/* --- a run --- */

static int run_driver(struct csi_run *r, struct err *err)
{
	struct err why = ERR_INIT;

	if (client_get(r->c->o.client, RES(storage_csidrivers), SV(""), sv_from(r->v->driver), &r->driver, &why) == 0) {
		obj_link(r->a, r->driver);
		return 0;
	}
	r->driver = NULL;
	if (why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	return 0;
}

static int run_volume_once(struct csi_run *r, const struct csi_run_use *uses, size_t n, struct err *err)
{
	int rc = run_away(r, uses, n, err);
	size_t left = 0;
	bool wanted = false;

	for (size_t i = 0; i < n; i++) {
		bool going = run_is_going(r->c, &uses[i]);

		left += !going;
		wanted |= !going && uses[i].state != CSI_FOUND;
	}
	if (!left) {
		int gone;

		if (rc < 0)
			return -1;
		gone = run_last(r, err);
		if (gone > 0)
			in_use_changed(r->c);
		return MIN(gone, 0);
	}
	if (!wanted)
		return rc;
	/* What hangs while it is made is not to hold a place of those who end. */
	if (left < n && !run_place(r, uses, n, run_kind_left(r->c, uses, n)))
		return rc;
	/* Others have theirs, also when one cannot be taken away. */
	if (rc < 0) {
		(void)run_driver(r, NULL);
		(void)run_wanted(r, uses, n, NULL);
		return -1;
	}
	return run_driver(r, err) < 0 ? -1 : run_wanted(r, uses, n, err);
}

/* What it is about, copied. False: there is nothing to do now; ret says when there is. */
static bool csi_look_begin(struct csi_run *r, const struct csi_driver *d, struct sv sha, struct csi_run_use **ret_uses,
			   size_t *ret_n)
{
	struct csi_volume *v;

	pthread_mutex_lock(&r->c->lock);
	r->table = v = run_volume(d, r->a, sha);
	if (v)
		r->ret->after_ns = retry_left_ns(&csi_retry, &v->failed, v->failed.failed_ns, env_mono_ns(r->c->o.env));
	if (!v || r->ret->after_ns) {
		if (v)
			csi_place_pass(r->c, v);
		pthread_mutex_unlock(&r->c->lock);
		return false;
	}
	r->v = run_copy(v, r->a);
	r->attachable = v->attachable;
	r->staged = v->staged;
	r->endpoint = d->endpoint ? arena_strdup(r->a, d->endpoint) : NULL;
	r->can = d->can;
	*ret_uses = run_uses(v, r->a, ret_n);
	pthread_mutex_unlock(&r->c->lock);
	return run_place(r, *ret_uses, *ret_n, run_kind_of(r->c, *ret_uses, *ret_n));
}

/* Its place is another's, unless it is gone altogether. */
static void csi_look_end(struct csi_run *r, const struct csi_driver *d, struct sv sha, bool failed)
{
	struct csi_volume *v;
	int64_t now = env_mono_ns(r->c->o.env);

	pthread_mutex_lock(&r->c->lock);
	v = run_volume(d, r->a, sha);
	if (v) {
		csi_place_give(r->c, v);
		if (failed)
			r->ret->after_ns = retry_failed(&csi_retry, &v->failed, now);
		else
			retry_forget(&v->failed);
	}
	pthread_mutex_unlock(&r->c->lock);
}

int csi_run(void *driver, struct sv sha, struct reconcile_result *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct csi_driver *d = driver;
	struct csi_run r = { .c = d->c, .a = &a, .ret = ret };
	struct err why = ERR_INIT;
	struct csi_run_use *uses;
	size_t n;
	int rc;

	(void)err;
	if (!csi_look_begin(&r, d, sha, &uses, &n))
		return 0;
	r.uses = uses;
	r.n_uses = n;
	rc = run_volume_once(&r, uses, n, &why);
	if (rc < 0)
		log_info(CSI_SYS, "a volume is not as it should be, will be retried", "why", "%s", err_msg(&why));
	err_release(&why);
	csi_look_end(&r, d, sha, rc < 0);
	return 0;
}
