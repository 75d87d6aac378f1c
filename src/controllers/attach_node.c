/* One look at one node: attachments that are wanted are made, those that nobody wants go, and its status says which are
 * there.
 *
 *	wanted, none there	made, unless the volume is at another node and may be at one only
 *	there, may be wanted	kept: it is of the claim of a pod here that cannot be followed yet
 *	there, not wanted	kept while the node has it mounted (volumesInUse), for six minutes of one that is lost
 *	the same, out of service	it goes at once
 *
 * One goes in two steps: it leaves volumesAttached, and the Node that comes back from that write says whether it is in
 * use after all. A node agent reads both in one Node, too, so that one of the two sees the other. */
#include "controllers/attach_detach-internal.h"

#include "base/log.h"
#include "base/vec.h"
#include "controllers/ctrl_metrics.h"
#include "controllers/node_lifecycle.h"
#include "controllers/status.h"
#include "pod/volume_attach.h"

#include <stdlib.h>

#define MADE_NS (30 * NS_PER_SEC) /* longer no cache lags; then the attachment is gone again */

struct attach_look {
	struct attach_detach *c;
	struct arena *a;
	struct sv name;	  /* of the node */
	struct obj *node; /* NULL: it is gone */
	struct attach_want *want;
	size_t n_want;
	struct attach_unsure *unsure; /* what may be wanted besides */
	struct obj **there;	      /* its attachments */
	size_t n_there;
	int64_t now;
	struct reconcile_result *ret;
};

static void look_again(struct attach_look *l, int64_t ns)
{
	l->ret->after_ns = l->ret->after_ns ? MIN(l->ret->after_ns, ns) : ns;
}

static void look_event(struct attach_look *l, const struct attach_want *w, const char *type, const char *reason,
		       const char *text)
{
	for (size_t i = 0; i < w->n_pods; i++)
		recorder_event(l->c->ctx->recorder, RES(core_pods), obj_root(w->pods[i]), type, reason, "%s", text);
}

static struct sv attachment_volume(const struct obj *o)
{
	return val_str(obj_get(o, F_spec, F_source, F_persistentVolumeName));
}

static bool is_attached(const struct obj *o)
{
	return val_bool(obj_get(o, F_status, F_attached));
}

static struct obj *look_attachment(const struct attach_look *l, const struct attach_want *w)
{
	for (size_t i = 0; i < l->n_there; i++)
		if (sv_is(obj_name(l->there[i]), w->name))
			return l->there[i];
	return NULL;
}

static bool look_wants(const struct attach_look *l, const struct obj *attachment)
{
	for (size_t i = 0; i < l->n_want; i++)
		if (sv_is(obj_name(attachment), l->want[i].name))
			return true;
	return false;
}

/* May it be what a claim means that cannot be followed yet? The volume has to name the claim: a pod that names a claim
 * which is not there holds nothing of anybody else's. */
static bool look_may_want(const struct attach_look *l, const struct obj *attachment)
{
	_cleanup_obj_ struct obj *volume = NULL;
	const struct val *ref;

	if (!l->unsure)
		return false;
	volume = informer_lookup(l->c->volumes, SV(""), attachment_volume(attachment));
	ref = volume ? obj_get(volume, F_spec, F_claimRef) : NULL;
	for (const struct attach_unsure *u = l->unsure; u && ref; u = u->next)
		if (sv_eq(u->ns, val_str(val_member(ref, F_namespace))) &&
		    sv_eq(u->claim, val_str(val_member(ref, F_name))))
			return true;
	return false;
}

/* --- attaching --- */

void attach_made_free(void *x)
{
	struct attach_made *m = x;

	free(m->attachment);
	free(m->node);
	free(m);
}

/* The cache shows it: from now on that is what counts, also when it goes. */
static void made_seen(struct attach_look *l, const struct attach_want *w)
{
	struct attach_made *m = strmap_get(&l->c->made, obj_name(w->volume));

	if (m && !strcmp(m->attachment, w->name))
		attach_made_free(strmap_del(&l->c->made, obj_name(w->volume)));
}

/* At another node, by what we made and do not see yet. */
static bool made_elsewhere(struct attach_look *l, const struct attach_want *w)
{
	struct attach_made *m = strmap_get(&l->c->made, obj_name(w->volume));
	_cleanup_obj_ struct obj *o = NULL;

	if (!m)
		return false;
	o = informer_lookup(l->c->attachments, SV(""), sv_from(m->attachment));
	if (o || l->now - m->at_ns > MADE_NS) {
		attach_made_free(strmap_del(&l->c->made, obj_name(w->volume)));
		return false;
	}
	return !sv_is(l->name, m->node);
}

/* Upstream's words: who has it. */
static const char *used_by(struct attach_look *l, const struct attach_want *w, struct obj *const *others, size_t n)
{
	struct sv ns = obj_ns(w->pods[0]), names = SV("");
	size_t strangers = 0;

	for (size_t i = 0; i < n; i++) {
		size_t n_theirs;
		struct attach_unsure *unsure;
		struct sv node = val_str(obj_get(others[i], F_spec, F_nodeName));
		struct attach_want *theirs = attach_wanted(l->c, l->a, node, &n_theirs, &unsure);

		for (size_t k = 0; k < n_theirs; k++)
			for (size_t p = 0; p < theirs[k].n_pods && !strcmp(theirs[k].unique, w->unique); p++) {
				if (sv_eq(obj_ns(theirs[k].pods[p]), ns))
					names = arena_svf(l->a, "%.*s%s%.*s", SV_ARG(names), names.n ? ", " : "",
							  SV_ARG(obj_name(theirs[k].pods[p])));
				else
					strangers++;
			}
	}
	if (names.n && strangers)
		return arena_printf(l->a,
				    "Volume is already used by pod(s) %.*s and %zu pod(s) in different namespaces",
				    SV_ARG(names), strangers);
	if (names.n)
		return arena_printf(l->a, "Volume is already used by pod(s) %.*s", SV_ARG(names));
	if (strangers)
		return arena_printf(l->a, "Volume is already used by %zu pod(s) in different namespaces", strangers);
	return "Volume is already exclusively attached to one node and can't be attached to another";
}

void attach_refused_free(void *x)
{
	strmap_release(x);
	free(x);
}

/* True: it is known already. */
static bool refused_add(struct attach_look *l, struct sv volume)
{
	void **slot = strmap_slot(&l->c->refused, volume);

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct strmap));
	return strmap_set(*slot, l->name, l->c);
}

static void refused_del(struct attach_look *l, struct sv volume)
{
	struct strmap *nodes = strmap_get(&l->c->refused, volume);

	if (!nodes)
		return;
	(void)strmap_del(nodes, l->name);
	if (!nodes->n)
		attach_refused_free(strmap_del(&l->c->refused, volume));
}

/* What no pod here waits for any more: the next one that does is told. */
static void refused_forget(struct attach_look *l)
{
	struct sv *gone = ARENA_ARRAY(l->a, struct sv, l->c->refused.n);
	size_t n = 0;

	STRMAP_EACH(&l->c->refused, e) {
		struct sv volume = sv_make(e->key, e->key_n);
		bool unwanted = strmap_has(e->value, l->name);

		for (size_t i = 0; i < l->n_want && unwanted; i++)
			unwanted = !sv_eq(obj_name(l->want[i].volume), volume);
		if (unwanted)
			gone[n++] = arena_sv(l->a, volume);
	}
	for (size_t i = 0; i < n; i++)
		refused_del(l, gone[i]);
}

/* It is at another node, and may not be at two. */
static bool attach_refused(struct attach_look *l, const struct attach_want *w)
{
	struct obj **all, **others;
	size_t n, n_others = 0;

	if (attach_shared(w->volume))
		return false;
	all = informer_by_index(l->c->attachments, l->a, ATTACH_BY_VOLUME, obj_name(w->volume), &n);
	others = ARENA_ARRAY(l->a, struct obj *, n);
	for (size_t i = 0; i < n; i++)
		if (!sv_eq(val_str(obj_get(all[i], F_spec, F_nodeName)), l->name))
			others[n_others++] = all[i];
	if (!n_others && !made_elsewhere(l, w)) {
		refused_del(l, obj_name(w->volume));
		return false;
	}
	if (!n_others)
		look_again(l, NS_PER_SEC);
	if (refused_add(l, obj_name(w->volume)))
		return true;
	look_event(l, w, "Warning", "FailedAttachVolume",
		   arena_printf(l->a, "Multi-Attach error for volume \"%.*s\" %s", SV_ARG(obj_name(w->volume)),
				used_by(l, w, others, n_others)));
	return true;
}

static int attach(struct attach_look *l, const struct attach_want *w, struct err *err)
{
	struct arena *a = l->a;
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a);
	struct err why = ERR_INIT;
	struct attach_made *m;
	void **slot;

	val_set_cstr(a, doc, F_apiVersion, "storage.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "VolumeAttachment");
	val_set_cstr(a, meta, F_name, w->name);
	val_set(a, doc, F_metadata, meta);
	val_set_str(a, spec, F_attacher, w->driver);
	val_set_str(a, spec, F_nodeName, l->name);
	val_set_str(a, val_set_map(a, spec, F_source), F_persistentVolumeName, obj_name(w->volume));
	val_set(a, doc, F_spec, spec);
	if (client_create(l->c->ctx->client, RES(storage_volumeattachments), SV(""), doc, NULL, NULL, &why) < 0 &&
	    why.reason != ERR_ALREADY_EXISTS) {
		look_event(l, w, "Warning", "FailedAttachVolume",
			   arena_printf(a, "AttachVolume.Attach failed for volume \"%.*s\" : %s",
					SV_ARG(obj_name(w->volume)), err_msg(&why)));
		return err_move(err, &why);
	}
	err_release(&why);
	slot = strmap_slot(&l->c->made, obj_name(w->volume));
	if (*slot)
		attach_made_free(*slot);
	*slot = m = xcalloc(1, sizeof(*m));
	m->attachment = xstrdup(w->name);
	m->node = xstrndup(l->name.p, l->name.n);
	m->at_ns = l->now;
	return 0;
}

/* Its driver's attacher does nothing: it may not run. Said each two minutes. */
static void attach_overdue(struct attach_look *l, const struct attach_want *w, const struct obj *o)
{
	int64_t made = 0, now = env_now_ns(l->c->ctx->env), age;

	(void)time_get(obj_get(o, F_metadata, F_creationTimestamp), &made);
	age = now - made;
	if (age >= ATTACH_PATIENCE_NS)
		look_event(l, w, "Warning", "FailedAttachVolume",
			   arena_printf(l->a,
					"AttachVolume.Attach failed for volume \"%.*s\" : timed out waiting for "
					"external-attacher of %.*s CSI driver to attach volume %.*s",
					SV_ARG(obj_name(w->volume)), SV_ARG(w->driver), SV_ARG(w->handle)));
	look_again(l, age >= ATTACH_PATIENCE_NS ? ATTACH_PATIENCE_NS : ATTACH_PATIENCE_NS - MAX(age, 0));
}

static int attach_all(struct attach_look *l, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < l->n_want && l->node; i++) {
		const struct attach_want *w = &l->want[i];
		struct obj *o = look_attachment(l, w);
		const struct val *said = o ? obj_get(o, F_status, F_attachError, F_message) : NULL;
		struct err why = ERR_INIT;

		if (o)
			made_seen(l, w);
		if (o && said && !is_attached(o))
			look_event(l, w, "Warning", "FailedAttachVolume",
				   arena_printf(l->a, "AttachVolume.Attach failed for volume \"%.*s\" : %.*s",
						SV_ARG(obj_name(w->volume)), SV_ARG(val_str(said))));
		else if (o && !is_attached(o) && !obj_deleting(o))
			attach_overdue(l, w, o);
		if (o || attach_refused(l, w)) /* one that is being deleted comes back when it is gone */
			continue;
		if (attach(l, w, &why) < 0)
			rc = rc ? rc : err_move(err, &why);
		err_release(&why);
	}
	return rc;
}

/* --- detaching --- */

/* Among names of the Node's status: an attachment's own name is made of the volume's. */
static const char *unique_by_name(struct attach_look *l, const struct val *list, const struct obj *attachment)
{
	VAL_EACH(list, v) {
		struct sv unique = val_type(v) == VAL_MAP ? val_get_str(v, F_name) : val_str(v);
		struct attach_want w = { 0 };

		if (volume_attach_split(unique, &w.driver, &w.handle) &&
		    sv_is(obj_name(attachment), attach_name(l->a, &w, l->name)))
			return arena_cstr(l->a, unique);
	}
	return NULL;
}

/* Also of a volume whose object is gone, as long as the node has something to do with it. */
static const char *attachment_unique(struct attach_look *l, const struct obj *o)
{
	struct obj *volume = informer_lookup(l->c->volumes, SV(""), attachment_volume(o));
	const char *unique = NULL;

	if (volume)
		return attach_unique(l->a, obj_link(l->a, volume));
	if (l->node)
		unique = unique_by_name(l, obj_get(l->node, F_status, F_volumesInUse), o);
	if (!unique && l->node)
		unique = unique_by_name(l, obj_get(l->node, F_status, F_volumesAttached), o);
	return unique;
}

/* Has the node mounted it, as far as can be known? A node that is gone does not say. */
static bool in_use(const struct obj *node, const char *unique)
{
	return !node || (unique && volume_attach_listed(obj_get(node, F_status, F_volumesInUse), unique));
}

/* May it go though the node has it mounted, or may have? Else it is looked at again. */
static bool forced(struct attach_look *l, const struct obj *o)
{
	void **slot = strmap_slot(&l->c->since, obj_name(o));
	const char *why = l->node && node_out_of_service(l->node) ? "out-of-service" : NULL;
	int64_t *since;

	if (!*slot) {
		*slot = since = xcalloc(1, sizeof(*since));
		*since = l->now;
	}
	since = *slot;
	if (!why && !l->c->ctx->opts->no_force_detach) {
		int64_t left = *since + ATTACH_FORCE_NS - l->now;

		if (left > 0)
			look_again(l, left);
		else if (!l->node || !condition_ready(obj_root(l->node)))
			why = "timeout";
		else
			look_again(l, 10 * NS_PER_SEC); /* it may be lost later */
	}
	if (why)
		metric_add(l->c->ctx->counted, CTRL_METRIC(FORCED_DETACHES), (const struct sv[]){ sv_from(why) }, 1);
	if (why)
		log_warn("attach-detach", "a volume is detached that its node may have mounted", "why",
			 "%s: %.*s from %.*s", why, SV_ARG(attachment_volume(o)), SV_ARG(l->name));
	return why != NULL;
}

static int detach(struct attach_look *l, struct obj *o, struct err *err)
{
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	struct err why = ERR_INIT;

	opts.precondition_uid = obj_uid(o);
	if (client_delete(l->c->ctx->client, RES(storage_volumeattachments), SV(""), obj_name(o), &opts, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	err_release(&why);
	free(strmap_del(&l->c->since, obj_name(o)));
	return 0;
}

/* Which of its attachments go, for now as far as the cache says. */
static struct obj **leaving(struct attach_look *l, bool **ret_forced, size_t *ret_n)
{
	struct obj **list = ARENA_ARRAY(l->a, struct obj *, l->n_there);
	bool *force = ARENA_ARRAY(l->a, bool, l->n_there);
	size_t n = 0;

	for (size_t i = 0; i < l->n_there; i++) {
		struct obj *o = l->there[i];
		const char *unique;

		if (look_wants(l, o) || look_may_want(l, o) || obj_deleting(o)) {
			free(strmap_del(&l->c->since, obj_name(o)));
			continue;
		}
		unique = attachment_unique(l, o);
		if (in_use(l->node, unique)) {
			if (!forced(l, o))
				continue;
			force[n] = true;
		}
		list[n++] = o;
	}
	*ret_forced = force;
	*ret_n = n;
	return list;
}

/* --- the Node --- */

static bool is_leaving(const struct obj *o, struct obj *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == o)
			return true;
	return false;
}

static struct val *attached_list(struct attach_look *l, struct obj *const *gone, size_t n_gone)
{
	struct val *list = val_new_list(l->a);
	VEC(struct sv) names = VEC_INIT;

	for (size_t i = 0; i < l->n_there; i++) {
		struct obj *o = l->there[i];
		const char *unique =
		    is_attached(o) && !obj_deleting(o) && !is_leaving(o, gone, n_gone) ? attachment_unique(l, o) : NULL;

		if (unique)
			vec_push(&names, sv_from(unique));
	}
	if (names.n)
		qsort(names.p, names.n, sizeof(*names.p), sv_order);
	for (size_t i = 0; i < names.n; i++) {
		struct val *v = val_new_map(l->a);

		val_set_str(l->a, v, F_name, names.p[i]);
		val_set_cstr(l->a, v, F_devicePath, "");
		val_push(l->a, list, v);
	}
	vec_release(&names);
	return list;
}

static void attached_told(struct attach_look *l, const struct val *list)
{
	for (size_t i = 0; i < l->n_want; i++) {
		const struct attach_want *w = &l->want[i];

		VAL_EACH(list, v)
			if (val_is(val_member(v, F_name), w->unique) &&
			    !volume_attach_listed(obj_get(l->node, F_status, F_volumesAttached), w->unique))
				look_event(l, w, "Normal", "SuccessfulAttachVolume",
					   arena_printf(l->a, "AttachVolume.Attach succeeded for volume \"%.*s\" ",
							SV_ARG(obj_name(w->volume))));
	}
}

/* *ret_node: as it is after that. */
static int node_tell(struct attach_look *l, const struct val *list, struct obj **ret_node, struct err *err)
{
	const struct client_write_opts opts = { .subresource = "status" };
	struct val *doc = val_new_map(l->a);

	*ret_node = l->node;
	if (!l->node)
		return 0;
	if (val_same(list, obj_get(l->node, F_status, F_volumesAttached)))
		return client_get(l->c->ctx->client, RES(core_nodes), SV(""), l->name, ret_node, err) < 0
			   ? -1
			   : (obj_link(l->a, *ret_node), 0);
	val_set(l->a, val_set_map(l->a, doc, F_status), F_volumesAttached, val_len(list) ? list : val_new_null(l->a));
	if (client_patch(l->c->ctx->client, RES(core_nodes), SV(""), l->name, PATCH_MERGE, doc, &opts, ret_node, err) <
	    0)
		return err_wrap(err, "writing volumesAttached of node '%.*s'", SV_ARG(l->name));
	obj_link(l->a, *ret_node);
	attached_told(l, list);
	return 0;
}

static int detach_all(struct attach_look *l, struct err *err)
{
	bool *force;
	size_t n;
	struct obj **gone = leaving(l, &force, &n), *node = l->node;
	const struct val *list = attached_list(l, gone, n);
	bool same = !l->node || val_same(list, obj_get(l->node, F_status, F_volumesAttached));

	if ((n || !same) && node_tell(l, list, &node, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		/* In use after all: it comes back into the list, and is looked at again. */
		if (!force[i] && in_use(node, attachment_unique(l, gone[i]))) {
			look_again(l, NS_PER_SEC);
			continue;
		}
		if (detach(l, gone[i], err) < 0)
			return -1;
	}
	return 0;
}

int attach_reconcile(void *ctx, struct sv name, struct reconcile_result *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct attach_detach *c = ctx;
	struct attach_look l = { .c = c, .a = &a, .name = name, .ret = ret, .now = env_mono_ns(c->ctx->env) };
	struct obj *node = informer_lookup(c->nodes, SV(""), name);

	if (node)
		l.node = obj_link(&a, node);
	l.want = attach_wanted(c, &a, name, &l.n_want, &l.unsure);
	refused_forget(&l);
	l.there = informer_by_index(c->attachments, &a, ATTACH_BY_NODE, name, &l.n_there);
	if (attach_all(&l, err) < 0)
		return -1;
	if (l.unsure) { /* nobody tells when a claim can be followed */
		ret->undecided = true;
		look_again(&l, NS_PER_SEC);
	}
	return detach_all(&l, err);
}
