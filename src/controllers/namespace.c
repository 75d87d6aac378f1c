/* namespace: empties a namespace that is being deleted, then lets it go.
 *
 * Order: pods first, and nothing else until they are gone, so that what protects them (network
 * policies, secrets they still use) outlives them (KEP-5080); then every other namespaced kind, and what other API
 * servers keep in it. What remains is told in conditions and looked at again later; when nothing remains the finalizer
 * "kubernetes" is removed. */
#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"
#include "object/served.h"

#include <stdlib.h>

#define FINALIZER_ESTIMATE_S 15
#define RETRY_MAX_NS (60 * NS_PER_SEC) /* somebody waits for a deletion */

struct namespace_controller {
	struct controller_ctx *ctx;
	struct informer *namespaces, *pods;
	struct workq *q;
	struct foreign_waker waker;
};

/* What one pass over the content found. */
struct content {
	struct namespace_controller *c;
	struct sv ns;
	int64_t estimate_s; /* until what remains may be gone */
	size_t remaining;
	struct buf kinds;	  /* "pods. has 2 resource instances" */
	struct strmap finalizers; /* name -> count */
	char *failure;		  /* the first */
	size_t failures;
	struct buf undiscovered; /* other servers of which it is not known what they have */
	size_t n_undiscovered;
	bool waits;	  /* for other servers: it is not known yet what they have */
	size_t set_aside; /* of the failures: kinds of which something is stored that is not handed out */
};

static bool deletable(const struct resource *r)
{
	return r->namespaced && r->verbs & (1 << VERB_LIST) && r->verbs & (1 << VERB_DELETE);
}

/* The same objects under another version or group (events) need no second look. */
static bool seen_before(const struct resource *r)
{
	if (strcmp(r->plural, "events") == 0)
		return r != RES(core_events);
	if (resource_late(r))
		return !api_kind_first(r);
	return !resource_served_first(r);
}

static void note_failure(struct content *k, const struct err *err)
{
	k->failures++;
	if (!k->failure)
		k->failure = xstrdup(err_msg(err));
}

/* A kind that came while the server runs may go meanwhile, with all that was of it. */
static void note_kind_failure(struct content *k, const struct resource *r, const struct err *err)
{
	if (err->reason != ERR_NOT_FOUND || !resource_late(r))
		note_failure(k, err);
}

static void note_remaining(struct content *k, const struct resource *r, const struct obj_list *l)
{
	k->remaining += l->n;
	if (k->kinds.n)
		buf_adds(&k->kinds, ", ");
	buf_printf(&k->kinds, "%s.%s has %zu resource instances", r->plural, r->group, l->n);
	for (size_t i = 0; i < l->n; i++)
		VAL_EACH(obj_get(l->items[i], F_metadata, F_finalizers), f) {
			void **slot = strmap_slot(&k->finalizers, val_str(f));

			*slot = (void *)((uintptr_t)*slot + 1);
			k->estimate_s = MAX(k->estimate_s, FINALIZER_ESTIMATE_S);
		}
}

/* Trying again does not help, waiting for somebody who deletes them does. */
static void note_set_aside(struct content *k, const struct resource *r, const struct obj_list *l)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	err_set(&err, ERR_INTERNAL,
		"%zu stored %s.%s are set aside: list them to see which, and get one to see why and what to do",
		l->missing, r->plural, r->group);
	note_failure(k, &err);
	k->set_aside++;
	k->remaining += l->missing;
	k->estimate_s = MAX(k->estimate_s, FINALIZER_ESTIMATE_S);
	buf_printf(&k->kinds, "%s%s.%s has %zu resource instances", k->kinds.n ? ", " : "", r->plural, r->group,
		   l->missing);
}

static void delete_kind(struct content *k, const struct resource *r)
{
	struct client *client = k->c->ctx->client;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(obj_list_release) struct obj_list before = { 0 }, after = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (client_list(client, r, k->ns, NULL, &before, &err) < 0) {
		note_kind_failure(k, r, &err);
		return;
	}
	if (before.missing)
		note_set_aside(k, r, &before);
	if (before.n == 0)
		return;
	o.propagation = "Background";
	for (size_t i = 0; i < before.n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (obj_deleting(before.items[i]))
			continue;
		if (client_delete(client, r, k->ns, obj_name(before.items[i]), &o, &why) < 0 &&
		    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
			note_failure(k, &why);
	}
	if (client_list(client, r, k->ns, NULL, &after, &err) < 0) {
		note_kind_failure(k, r, &err);
		return;
	}
	if (after.n == 0)
		return;
	if (r == RES(core_pods))
		for (size_t i = 0; i < after.n; i++)
			k->estimate_s =
			    MAX(k->estimate_s,
				val_int_or(obj_get(after.items[i], F_spec, F_terminationGracePeriodSeconds), 30));
	note_remaining(k, r, &after);
}

/* What other servers keep in it: added to what was found. */
static void delete_foreign(struct content *k)
{
	const struct controllers_opts *o = k->c->ctx->opts;
	_cleanup_(foreign_left_release) struct foreign_left l = { 0 };

	if (!o->empty_foreign)
		return;
	if (!o->empty_foreign(o->foreign_ctx, k->ns, &(struct foreign_wake){ &k->c->waker, k->ns }, &l)) {
		k->waits = true;
		return;
	}
	k->remaining += l.remaining;
	if (l.kinds.n)
		buf_printf(&k->kinds, "%s%s", k->kinds.n ? ", " : "", buf_cstr(&l.kinds));
	STRMAP_EACH(&l.finalizers, e) {
		void **slot = strmap_slot(&k->finalizers, sv_make(e->key, e->key_n));

		*slot = (void *)((uintptr_t)*slot + (uintptr_t)e->value);
		k->estimate_s = MAX(k->estimate_s, FINALIZER_ESTIMATE_S);
	}
	buf_addsv(&k->undiscovered, buf_sv(&l.undiscovered));
	k->n_undiscovered = l.n_undiscovered;
	if (l.failures && !k->failure)
		k->failure = xstrdup(buf_cstr(&l.failure));
	k->failures += l.failures;
}

/* Of all kinds that are served now; one that goes meanwhile is a failure, and looked at again. */
static void delete_content(struct content *k)
{
	const struct api_set *api;

	delete_kind(k, RES(core_pods));
	if (k->remaining)
		return;
	api = api_current_get(k->c->ctx->opts->kinds);
	API_EACH(api, r)
		if (deletable(r) && !seen_before(r) && r != RES(core_pods))
			delete_kind(k, r);
	api_set_unref(api);
	delete_foreign(k);
}

static void namespace_set_condition(struct arena *a, struct val *st, const char *type, bool bad, const char *reason,
				    struct sv message, int64_t now)
{
	condition_set(
	    a, st,
	    &(struct condition){ .type = type, .status = bad ? "True" : "False", .reason = reason, .message = message },
	    now);
}

static void namespace_set_conditions(struct content *k, struct arena *a, struct val *st)
{
	int64_t now = env_now_ns(k->c->ctx->env);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	/* Our own kinds are known: only those of other servers may not be. */
	if (k->n_undiscovered)
		namespace_set_condition(
		    a, st, "NamespaceDeletionDiscoveryFailure", true, "DiscoveryFailed",
		    arena_svf(a,
			      "Discovery failed for some groups, %zu failing: unable to retrieve the "
			      "complete list of server APIs: %s",
			      k->n_undiscovered, buf_cstr(&k->undiscovered)),
		    now);
	else
		namespace_set_condition(a, st, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
					SV("All resources successfully discovered"), now);
	namespace_set_condition(a, st, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
				SV("All legacy kube types successfully parsed"), now);
	if (k->failures)
		namespace_set_condition(
		    a, st, "NamespaceDeletionContentFailure", true, "ContentDeletionFailed",
		    arena_svf(a, "Failed to delete all resource types, %zu remaining: %s", k->failures, k->failure),
		    now);
	else
		namespace_set_condition(a, st, "NamespaceDeletionContentFailure", false, "ContentDeleted",
					SV("All content successfully deleted, may be waiting on finalization"), now);
	if (k->remaining)
		namespace_set_condition(a, st, "NamespaceContentRemaining", true, "SomeResourcesRemain",
					arena_svf(a, "Some resources are remaining: %s", buf_cstr(&k->kinds)), now);
	else
		namespace_set_condition(a, st, "NamespaceContentRemaining", false, "ContentRemoved",
					SV("All content successfully removed"), now);
	STRMAP_EACH(&k->finalizers, e)
		buf_printf(&b, "%s%.*s in %zu resource instances", b.n ? ", " : "", (int)e->key_n, e->key,
			   (size_t)(uintptr_t)e->value);
	if (b.n)
		namespace_set_condition(
		    a, st, "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain",
		    arena_svf(a, "Some content in the namespace has finalizers remaining: %s", buf_cstr(&b)), now);
	else
		namespace_set_condition(a, st, "NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers",
					SV("All content-preserving finalizers finished"), now);
}

static int finalize(struct namespace_controller *c, struct arena *a, struct obj *ns, struct err *err)
{
	const struct client_write_opts o = { .subresource = "finalize" };
	struct val *doc = obj_edit(a, ns), *left = val_new_list(a);

	VAL_EACH(obj_get(ns, F_spec, F_finalizers), f)
		if (!val_is(f, "kubernetes"))
			val_push(a, left, f);
	val_set(a, val_ensure_map(a, doc, F_spec), F_finalizers, left);
	if (client_update(c->ctx->client, RES(core_namespaces), doc, &o, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static bool is_finalizer(const struct obj *ns)
{
	VAL_EACH(obj_get(ns, F_spec, F_finalizers), f)
		if (val_is(f, "kubernetes"))
			return true;
	return false;
}

static int namespace_empty(struct content *k, struct arena *a, struct obj *ns, struct reconcile_result *ret,
			   struct err *err)
{
	struct obj *now = ns;
	struct val *doc, *st;

	delete_content(k);
	if (k->waits) {				   /* nothing is said before all is known */
		ret->after_ns = FOREIGN_ANYWAY_NS; /* it is woken */
		ret->undecided = true;
		return 0;
	}
	doc = obj_edit(a, ns);
	st = val_ensure_map(a, doc, F_status);
	namespace_set_conditions(k, a, st);
	if (!val_equal(st, obj_get(ns, F_status))) {
		if (client_update_status(k->c->ctx->client, RES(core_namespaces), doc, &now, err) < 0)
			return -1;
		obj_link(a, now);
	}
	if (k->failures > k->set_aside)
		return err_set(err, ERR_INTERNAL, "emptying namespace: %s", k->failure);
	if (k->n_undiscovered)
		return err_set(err, ERR_UNAVAILABLE,
			       "emptying namespace: unable to retrieve the complete list of server APIs: %s",
			       buf_cstr(&k->undiscovered));
	if (k->remaining) {
		ret->after_ns = (k->estimate_s / 2 + 1) * NS_PER_SEC;
		return 0;
	}
	return finalize(k->c, a, now, err);
}

static int namespace_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct namespace_controller *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *ns = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct content k = { .c = c, .ns = key };
	int rc;

	/* Read from the server: a stale copy would make every write a conflict. */
	if (client_get(c->ctx->client, RES(core_namespaces), SV(""), key, &ns, &why) < 0)
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	if (!obj_deleting(ns) || !is_finalizer(ns))
		return 0;
	rc = namespace_empty(&k, &a, ns, ret, err);
	free(k.failure);
	buf_release(&k.kinds);
	buf_release(&k.undiscovered);
	strmap_release(&k.finalizers);
	return rc;
}

static void namespace_changed(struct obj *o, void *ctx)
{
	struct namespace_controller *c = ctx;

	if (obj_deleting(o))
		workq_add(c->q, obj_name(o));
}

static void namespace_updated(struct obj *old, struct obj *neu, void *ctx)
{
	/* Our own status writes are no reason to look again. */
	if (!obj_deleting(old) || !sv_eq(obj_uid(old), obj_uid(neu)))
		namespace_changed(neu, ctx);
}

/* The last pod going is the moment to go on. */
static void namespace_pod_deleted(struct obj *pod, void *ctx)
{
	struct namespace_controller *c = ctx;
	_cleanup_obj_ struct obj *ns = informer_lookup(c->namespaces, SV(""), obj_ns(pod));

	if (ns)
		namespace_changed(ns, c);
}

static void namespace_wake(void *ctx, struct sv key)
{
	workq_wake(((struct namespace_controller *)ctx)->q, key);
}

static bool namespace_ready(void *ctx)
{
	struct namespace_controller *c = ctx;

	return informer_synced(c->namespaces);
}

static void *namespace_start(struct controller_ctx *ctx)
{
	struct namespace_controller *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->waker = (struct foreign_waker){ .wake = namespace_wake, .ctx = c };
	c->namespaces = informer_get(ctx->informers, RES(core_namespaces), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "namespace-controller",
							 .workers = 10,
							 .retry_max_ns = RETRY_MAX_NS,
							 .reconcile = namespace_reconcile,
							 .ctx = c,
							 .ready = namespace_ready });
	informer_add_handler(c->namespaces, &(struct informer_handler){ namespace_changed, namespace_updated, NULL },
			     c);
	informer_add_handler(c->pods, &(struct informer_handler){ .del = namespace_pod_deleted }, c);
	return c;
}

static void namespace_stop(void *controller)
{
	struct namespace_controller *c = controller;

	foreign_forget(c->ctx->opts->forget_foreign, c->ctx->opts->foreign_ctx, &c->waker);
	workq_free(c->q);
	free(c);
}

const struct controller_ops namespace_controller = { "namespace-controller", "namespace-controller", namespace_start,
						     namespace_stop };
