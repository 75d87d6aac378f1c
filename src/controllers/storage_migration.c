/* storage version migrator: rewrites what is stored of a resource, when a StorageVersionMigration asks for it: in
 * the storage version and with the key of encryption that hold now.
 *
 *	the oldest of a resource ──▶ Running ──▶ a list, and an empty apply to each object of it ──▶ its
 *	CustomResourceDefinition's storedVersions ──▶ Succeeded, or Failed with the reason
 *
 * An apply that changes nothing is written all the same when what is stored is of another version or key (the API
 * server looks, apiserver/registry/write_versions.c), and only then: which objects are old is judged by nothing else,
 * for a write that was on its way when the key changed is newer than that and has the old one.
 *
 * The list comes behind our own write that says Running. The store takes writes in the order in which they came, and
 * each was sealed after it came: so what was sealed before the migration was asked for is in the list, and what is not
 * in it has the key that counts. An apply names uid and resourceVersion; a conflict means that somebody has written the
 * object since the list, and there is nothing left to do.
 *
 * One at a time of a resource, by upstream's order. Every step may be repeated. A definition that was changed
 * meanwhile keeps its storedVersions, for objects may have been stored in another version since. Conditions,
 * reasons and words are upstream's, whose two controllers these are. */
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"
#include "object/served.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MIGRATION_BY_RESOURCE "resource"
#define MIGRATION_WAIT_NS (60 * NS_PER_SEC) /* for a kind to come, from the migration's creation on */
#define MIGRATION_RETRY_NS (5 * NS_PER_SEC)
#define MIGRATION_MANAGER "storage-version-migrator-controller"

struct migrator {
	struct controller_ctx *ctx;
	struct informer *migrations;
	struct workq *q; /* by resource: "widgets.example.com", "secrets." */
	atomic_bool stopping;
};

static struct sv migration_resource_key(struct arena *a, const struct obj *o)
{
	return arena_svf(a, "%.*s.%.*s", SV_ARG(val_str(obj_get(o, F_spec, F_resource, F_resource))),
			 SV_ARG(val_str(obj_get(o, F_spec, F_resource, F_group))));
}

static void migration_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, migration_resource_key(&ret->arena, o));
}

static bool migration_is(const struct obj *o, const char *type)
{
	return condition_is(obj_get(o, F_status, F_conditions), type, "True");
}

static bool migration_over(const struct obj *o)
{
	return migration_is(o, "Succeeded") || migration_is(o, "Failed");
}

static int migration_order(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int c = sv_cmp(val_str(obj_get(a, F_metadata, F_creationTimestamp)),
		       val_str(obj_get(b, F_metadata, F_creationTimestamp)));

	return c ? c : sv_cmp(obj_name(a), obj_name(b));
}

/* The one that runs, or the next; NULL: none is left. */
static struct obj *migration_next(struct migrator *c, struct arena *a, struct sv key)
{
	struct obj **all, *first = NULL;
	size_t n;

	all = informer_by_index(c->migrations, a, MIGRATION_BY_RESOURCE, key, &n);
	for (size_t i = 0; i < n; i++) {
		if (migration_over(all[i]))
			continue;
		if (migration_is(all[i], "Running"))
			return all[i];
		if (!first || migration_order(&all[i], &first) < 0)
			first = all[i];
	}
	return first;
}

struct mrun {
	struct migrator *c;
	struct arena *a;
	struct obj *live; /* the migration */
	const struct resource *res;
};

static int migration_conflict(struct err *why, struct err *err)
{
	return why->reason == ERR_NOT_FOUND ? 0 : err_move(err, why);
}

/* --- the definition --- */

static struct sv migration_storage_version(const struct val *crd)
{
	VAL_EACH(val_get(crd, F_spec, F_versions), v)
		if (val_get_bool(v, F_storage))
			return val_get_str(v, F_name);
	return SV("");
}

/* Says in the definition, if there is one, how it stands. over: the objects are rewritten, or will not be. */
static int migration_tell(struct mrun *r, bool over, bool good, struct err *err)
{
	const struct resource *crds = RES(apiextensions_customresourcedefinitions);
	struct condition say = { .type = "StorageMigrating", .status = over ? "False" : "True" };
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv name = arena_svf(r->a, "%.*s.%.*s", SV_ARG(val_str(obj_get(r->live, F_spec, F_resource, F_resource))),
				   SV_ARG(val_str(obj_get(r->live, F_spec, F_resource, F_group))));
	const struct val *was;
	struct val *doc, *st, *stored;
	struct obj *crd;
	bool same;

	if (client_get(r->c->ctx->client, crds, SV(""), name, &crd, &why) < 0)
		return migration_conflict(&why, err);
	obj_link(r->a, crd);
	doc = obj_edit(r->a, crd);
	st = val_ensure_map(r->a, doc, F_status);
	was = condition_find(val_member(st, F_conditions), say.type);
	say.generation = val_get_int(doc, 0, F_metadata, F_generation);
	same = was && val_int_or(val_member(was, F_observedGeneration), 0) == say.generation;
	if (!over) {
		say.reason = "MigrationRunning";
		say.message = arena_svf(r->a, "Migration %.*s is running", SV_ARG(obj_name(r->live)));
	} else if (!good) {
		say.reason = "MigrationFailed";
		say.message = SV("The migration has failed");
	} else {
		say.reason = "MigrationSucceeded";
		say.message = same ? SV("The migration has succeeded and the stored versions have been updated")
				   : SV("The migration has succeeded but the stored versions have not been updated due "
					"to a generation mismatch");
	}
	if (over && good && same) {
		stored = val_new_list(r->a);
		val_push(r->a, stored, val_new_str(r->a, migration_storage_version(doc)));
		val_set(r->a, st, F_storedVersions, stored);
	}
	(void)condition_set(r->a, st, &say, env_now_ns(r->c->ctx->env));
	if (val_same(st, obj_get(crd, F_status)))
		return 0;
	return client_update_status(r->c->ctx->client, crds, doc, NULL, err);
}

/* --- its own status --- */

/* A run that goes on has begun. */
static int migration_begin(struct mrun *r, struct err *err)
{
	const struct condition running = {
		.type = "Running", .status = "True", .reason = "StorageVersionMigrationInProgress", .message = SV("")
	};
	struct val *doc = obj_edit(r->a, r->live), *st = val_ensure_map(r->a, doc, F_status);
	struct obj *now;

	if (migration_is(r->live, "Running"))
		return 0;
	(void)condition_set(r->a, st, &running, env_now_ns(r->c->ctx->env));
	val_set_strf(r->a, st, F_resourceVersion, "%" PRId64, obj_rev(r->live));
	if (client_update_status(r->c->ctx->client, RES(storagemigration_storageversionmigrations), doc, &now, err) < 0)
		return -1;
	r->live = obj_link(r->a, now);
	return 0;
}

static int migration_end(struct mrun *r, const char *failure, struct err *err)
{
	struct condition end = {
		.type = "Succeeded", .status = "True", .reason = "StorageVersionMigrationSucceeded", .message = SV("")
	};
	struct val *doc, *st;

	if (migration_tell(r, true, !failure, err) < 0)
		return -1;
	if (failure) {
		end.type = "Failed";
		end.reason = "StorageVersionMigrationFailed";
		end.message = arena_svf(r->a, "migration encountered unhandled error: %s", failure);
	}
	doc = obj_edit(r->a, r->live);
	st = val_ensure_map(r->a, doc, F_status);
	(void)condition_remove(st, "Running");
	(void)condition_set(r->a, st, &end, env_now_ns(r->c->ctx->env));
	return client_update_status(r->c->ctx->client, RES(storagemigration_storageversionmigrations), doc, NULL, err);
}

/* --- the objects --- */

/* The first version of it that is served. */
static const struct resource *migration_resource(const struct api_set *api, const struct obj *o)
{
	struct sv plural = val_str(obj_get(o, F_spec, F_resource, F_resource));
	struct sv group = val_str(obj_get(o, F_spec, F_resource, F_group));

	API_EACH(api, r)
		if (sv_is(plural, r->plural) && sv_is(group, r->group) &&
		    (resource_late(r) ? api_kind_first(r) : resource_served_first(r)))
			return r;
	return NULL;
}

static int migration_rewrite(struct mrun *r, const struct obj *o, struct err *err)
{
	const struct client_write_opts w = { .field_manager = MIGRATION_MANAGER };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc = val_new_map(&a), *meta = val_ensure_map(&a, doc, F_metadata);

	val_set_strf(&a, doc, F_apiVersion, "%s%s%s", r->res->group, *r->res->group ? "/" : "", r->res->version);
	val_set_cstr(&a, doc, F_kind, r->res->kind);
	val_set_str(&a, meta, F_name, obj_name(o));
	if (r->res->namespaced)
		val_set_str(&a, meta, F_namespace, obj_ns(o));
	val_set_str(&a, meta, F_uid, obj_uid(o));
	val_set_strf(&a, meta, F_resourceVersion, "%" PRId64, obj_rev(o));
	if (client_patch(r->c->ctx->client, r->res, r->res->namespaced ? obj_ns(o) : SV(""), obj_name(o), PATCH_APPLY,
			 doc, &w, NULL, &why) < 0 &&
	    why.reason != ERR_CONFLICT && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static bool migration_try_again(const struct err *err)
{
	return err->reason == ERR_TIMEOUT || err->reason == ERR_TOO_MANY_REQUESTS || err->reason == ERR_UNAVAILABLE ||
	       err->reason == ERR_INTERNAL;
}

static int migration_run(struct mrun *r, struct err *err)
{
	_cleanup_(obj_list_release) struct obj_list all = { 0 };
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (migration_tell(r, false, false, err) < 0 || migration_begin(r, err) < 0 ||
	    client_list(r->c->ctx->client, r->res, SV(""), NULL, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++) {
		if (atomic_load(&r->c->stopping))
			return err_set(err, ERR_UNAVAILABLE, "the controller is stopping");
		if (migration_rewrite(r, all.items[i], &why) == 0)
			continue;
		if (migration_try_again(&why))
			return err_move(err, &why);
		return migration_end(r, err_msg(&why), err);
	}
	if (all.missing)
		return migration_end(
		    r, arena_printf(r->a, "%zu stored objects cannot be read: list them to see which", all.missing),
		    err);
	return migration_end(r, NULL, err);
}

static int migrator_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct migrator *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *next = migration_next(c, &a, key);
	struct mrun r = { .c = c, .a = &a };
	const struct api_set *api;
	int64_t made = 0;
	int rc;

	if (!next)
		return 0;
	/* Read from the server: the next one may have ended already. */
	if (client_get(c->ctx->client, RES(storagemigration_storageversionmigrations), SV(""), obj_name(next), &r.live,
		       &why) < 0)
		return migration_conflict(&why, err);
	obj_link(&a, r.live);
	if (migration_over(r.live) || !sv_eq(obj_uid(r.live), obj_uid(next)))
		return 0; /* its event brings the one behind it */
	api = api_current_get(c->ctx->opts->kinds);
	r.res = migration_resource(api, r.live);
	if (r.res) {
		rc = migration_run(&r, err);
	} else if (time_get(obj_get(r.live, F_metadata, F_creationTimestamp), &made) &&
		   env_now_ns(c->ctx->env) < made + MIGRATION_WAIT_NS) {
		ret->after_ns = MIGRATION_RETRY_NS;
		rc = 0;
	} else {
		rc = migration_end(&r, "unable to obtain GVR from discovery", err);
	}
	api_set_unref(api);
	return rc;
}

/* --- the queue --- */

static void migration_added(struct obj *o, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	workq_add(((struct migrator *)ctx)->q, migration_resource_key(&a, o));
}

static void migration_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	migration_added(now, ctx);
}

static bool migrator_ready(void *ctx)
{
	return informer_synced(((struct migrator *)ctx)->migrations);
}

static void *migrator_start(struct controller_ctx *ctx)
{
	struct migrator *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->migrations = informer_get(ctx->informers, RES(storagemigration_storageversionmigrations), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "storage-version-migrator-controller",
							 .workers = 5,
							 .reconcile = migrator_reconcile,
							 .ctx = c,
							 .ready = migrator_ready });
	informer_add_index(c->migrations, MIGRATION_BY_RESOURCE, migration_key);
	informer_add_handler(c->migrations,
			     &(struct informer_handler){ migration_added, migration_updated, migration_added }, c);
	return c;
}

static void migrator_stop(void *controller)
{
	struct migrator *c = controller;

	atomic_store(&c->stopping, true);
	workq_free(c->q);
	free(c);
}

const struct controller_ops storage_migration_controller = { "storage-version-migrator-controller",
							     "storage-version-migrator-controller", migrator_start,
							     migrator_stop };
