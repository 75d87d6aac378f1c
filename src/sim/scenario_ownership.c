/* Garbage collection, namespaces and quotas while messages of the controllers fail, get lost and are late.
 *
 *	boot ─▶ namespaces with quotas ─▶ faults on, an administrator makes and deletes ─▶ faults off ─▶ settled?
 *
 * ConfigMaps own Secrets. Every change of what is stored is entered in a ledger, and held against it:
 *	- a quota never says that less is used than there is, and nothing comes in beyond what it allows;
 *	- a Secret goes only when the administrator, its namespace or the last of its owners goes; of an owner that
 *	  was deleted with policy Orphan it never does;
 * and at the end: nothing is being deleted, no Secret has only owners that are gone, namespaces that were deleted are
 * gone, and what quotas say is used is exactly what there is.
 *
 * The administrator does not orphan what a dependent came to a moment ago: the collector may not have heard of it, and
 * nobody could tell it (nor upstream's). */
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/json.h"
#include "sim/cluster.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define N_SPACES 4
#define HARD 12
#define STEPS 1500
#define STEP_NS (NS_PER_SEC / 5)
#define HEARD_NS (20 * NS_PER_SEC) /* the collector has heard of a dependent */
#define SETTLED_NS (900 * NS_PER_SEC)

enum counted { OWNERS, SECRETS, _COUNTED_MAX };
static const char *const counted_roots[] = { "/registry/configmaps/", "/registry/secrets/" };
static const char *const counted_names[] = { "count/configmaps", "secrets" };

struct entry {
	enum counted kind;
	int space;
	char *name, *uid;
	char *owners[2];	/* uids; NULL: none */
	int64_t last_child_ns;	/* of an owner */
	bool orphans, deleting; /* of an owner: how it was deleted */
	bool by_hand;		/* the administrator deletes it */
	bool kept;		/* one of its owners was deleted with policy Orphan */
};

struct space {
	char name[16];
	int generation;
	bool going;	     /* deleted by the administrator, not gone yet */
	int n[_COUNTED_MAX]; /* what there is */
	bool in_force;	     /* its quota has said what is used */
};

struct ownership {
	struct cluster *c;
	struct space spaces[N_SPACES];
	struct strmap entries; /* store key -> struct entry * */
	struct strmap uids;    /* uid -> struct entry * */
	struct scenario_result *result;
	bool over; /* nothing is judged any more */
	uint64_t next, made, refused, deleted;
};

static void ownership_violation(void *ctx, const char *what)
{
	struct ownership *o = ctx;

	if (o->result->violations++ == 0)
		snprintf(o->result->first_violation, sizeof(o->result->first_violation), "%.200s at %.3f s", what,
			 (double)env_mono_ns(o->c->env) / 1e9);
	event_log_note(o->c->log, "VIOLATION %s", what);
}

/* --- the ledger --- */

static void ledger_entry_free(void *p)
{
	struct entry *e = p;

	free(e->name);
	free(e->uid);
	free(e->owners[0]);
	free(e->owners[1]);
	free(e);
}

static int space_of(const struct ownership *o, struct sv ns)
{
	for (int i = 0; i < N_SPACES; i++)
		if (sv_is(ns, o->spaces[i].name))
			return i;
	return -1;
}

static void entry_read(struct entry *e, const struct val *doc)
{
	size_t i = 0;

	e->deleting = val_get(doc, F_metadata, F_deletionTimestamp) != NULL;
	VAL_EACH(val_get(doc, F_metadata, F_finalizers), f)
		e->orphans |= val_is(f, "orphan");
	for (size_t k = 0; k < ARRAY_LEN(e->owners); k++) {
		free(e->owners[k]);
		e->owners[k] = NULL;
	}
	VAL_EACH(val_get(doc, F_metadata, F_ownerReferences), ref) {
		struct sv uid = val_get_str(ref, F_uid);

		if (i < ARRAY_LEN(e->owners))
			e->owners[i++] = xstrndup(uid.p, uid.n);
	}
}

/* May a Secret go? */
static void entry_gone(struct ownership *o, const struct entry *e)
{
	bool all_gone = e->owners[0] != NULL;

	if (e->kind != SECRETS || e->by_hand || o->spaces[e->space].going)
		return;
	for (size_t i = 0; i < ARRAY_LEN(e->owners) && e->owners[i]; i++) {
		const struct entry *owner = strmap_get(&o->uids, sv_from(e->owners[i]));

		all_gone &= !owner || (owner->deleting && !owner->orphans);
	}
	if (!all_gone)
		ownership_violation(o, "a dependent went while an owner of it stays");
	if (e->kept)
		ownership_violation(o, "an orphan was deleted");
}

/* An owner that was to leave orphans is gone: what it had must not follow. */
static void entry_orphans(struct ownership *o, const struct entry *owner)
{
	if (!owner->orphans || o->spaces[owner->space].going)
		return;
	STRMAP_EACH(&o->entries, x) {
		struct entry *e = x->value;

		for (size_t i = 0; i < ARRAY_LEN(e->owners) && e->owners[i]; i++)
			if (strcmp(e->owners[i], owner->uid) == 0 && !e->by_hand)
				ownership_violation(o, "an owner left a reference to itself behind");
	}
}

static void ledger_object(struct ownership *o, enum counted kind, const struct store_change *ch)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv rest = sv_sub(ch->kv.key, strlen(counted_roots[kind]), ch->kv.key.n), uid;
	ssize_t slash = sv_find(rest, '/');
	struct entry *e = strmap_get(&o->entries, ch->kv.key);
	const struct val *doc;
	int space = slash < 0 ? -1 : space_of(o, sv_sub(rest, 0, (size_t)slash));
	bool fresh = !e;

	if (space < 0)
		return;
	if (ch->kv.deleted) {
		if (!e)
			return;
		o->spaces[space].n[kind]--;
		strmap_del(&o->entries, ch->kv.key);
		strmap_del(&o->uids, sv_from(e->uid));
		entry_gone(o, e);
		entry_orphans(o, e);
		ledger_entry_free(e);
		return;
	}
	doc = json_decode(&a, ch->kv.value, NULL, NULL);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->kind = kind;
		e->space = space;
		uid = val_get_str(doc, F_metadata, F_uid);
		e->uid = xstrndup(uid.p, uid.n);
		e->name = xstrndup(rest.p + slash + 1, rest.n - (size_t)slash - 1);
		strmap_set(&o->entries, ch->kv.key, e);
		strmap_set(&o->uids, uid, e);
		o->spaces[space].n[kind]++;
	}
	entry_read(e, doc);
	/* Until it is counted for the first time a quota refuses nothing, as upstream's. */
	if (fresh && o->spaces[space].in_force && o->spaces[space].n[kind] > HARD)
		ownership_violation(o, "there is more than the quota allows");
}

static int64_t used_of(const struct val *quota, enum counted kind)
{
	int64_t n = -1;

	(void)sv_to_i64(val_str(val_member_sv(val_get(quota, F_status, F_used), sv_from(counted_names[kind]))), &n);
	return n;
}

#define QUOTAS "/registry/resourcequotas/"

static void ledger_quota(struct ownership *o, const struct store_change *ch)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv rest = sv_sub(ch->kv.key, sizeof(QUOTAS) - 1, ch->kv.key.n);
	ssize_t slash = sv_find(rest, '/');
	int space = slash < 0 ? -1 : space_of(o, sv_sub(rest, 0, (size_t)slash));
	const struct val *doc;

	if (space < 0)
		return;
	o->spaces[space].in_force = false;
	if (ch->kv.deleted)
		return;
	doc = json_decode(&a, ch->kv.value, NULL, NULL);
	if (!val_get(doc, F_status, F_hard)) /* what comes may be counted already, but nothing is refused */
		return;
	o->spaces[space].in_force = true;
	for (int k = 0; k < _COUNTED_MAX; k++)
		if (used_of(doc, k) < o->spaces[space].n[k])
			ownership_violation(o, "a quota says that less is used than there is");
}

static void ownership_on_change(const struct store_change *ch, void *ctx)
{
	struct ownership *o = ctx;

	for (int k = 0; !o->over && k < _COUNTED_MAX; k++)
		if (sv_starts(ch->kv.key, sv_from(counted_roots[k])))
			ledger_object(o, k, ch);
	if (!o->over && sv_starts(ch->kv.key, SV(QUOTAS)))
		ledger_quota(o, ch);
}

/* --- the administrator --- */

static struct entry *ledger_pick(struct ownership *o, enum counted kind)
{
	VEC(struct entry *) all = VEC_INIT;
	struct entry *e = NULL;

	STRMAP_EACH(&o->entries, x) {
		struct entry *one = x->value;

		if (one->kind == kind && !one->deleting && !one->by_hand && !o->spaces[one->space].going &&
		    one->name[0] == 'o')
			vec_push(&all, one);
	}
	if (all.n)
		e = all.p[env_random_below(o->c->env, all.n)];
	vec_release(&all);
	return e;
}

static void ownership_make(struct ownership *o, const struct resource *r, int space, const char *refs)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"o%" PRIu64 "\"%s%s%s}}", o->next++,
					      refs ? ",\"ownerReferences\":[" : "", refs ? refs : "", refs ? "]" : "");

	if (cluster_create(o->c, r, o->spaces[space].name, json, &err) == 0)
		o->made++;
	else if (err.reason == ERR_FORBIDDEN)
		o->refused++;
	else if (err.reason != ERR_NOT_FOUND) /* of a namespace that is not there yet */
		ownership_violation(o, err_msg(&err));
}

static void make_dependent(struct ownership *o)
{
	struct entry *first = ledger_pick(o, OWNERS), *second = ledger_pick(o, OWNERS);
	struct entry *owners[] = { first, second != first && second && second->space == first->space ? second : NULL };
	struct buf b = BUF_INIT;

	if (!first)
		return;
	for (size_t i = 0; i < ARRAY_LEN(owners) && owners[i]; i++) {
		buf_printf(&b,
			   "%s{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\",\"uid\":\"%s\","
			   "\"blockOwnerDeletion\":%s}",
			   i ? "," : "", owners[i]->name, owners[i]->uid,
			   env_random_below(o->c->env, 2) ? "true" : "false");
		owners[i]->last_child_ns = env_mono_ns(o->c->env);
	}
	ownership_make(o, RES(core_secrets), first->space, buf_cstr(&b));
	buf_release(&b);
}

static void delete_one(struct ownership *o, enum counted kind)
{
	static const char *const policies[] = { "Background", "Foreground", "Orphan" };
	struct client_delete_opts d = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct entry *e = ledger_pick(o, kind);
	_cleanup_free_ char *name = NULL;
	int space;

	if (!e)
		return;
	d.propagation = policies[env_random_below(o->c->env, ARRAY_LEN(policies))];
	if (kind == OWNERS && strcmp(d.propagation, "Orphan") == 0) {
		if (env_mono_ns(o->c->env) - e->last_child_ns < HEARD_NS)
			return;
		e->orphans = true;
		STRMAP_EACH(&o->entries, x) {
			struct entry *dep = x->value;
			size_t others = dep->owners[0] && dep->owners[1];

			if (dep->owners[0] && !others && strcmp(dep->owners[0], e->uid) == 0)
				dep->kept = true; /* nobody else could take it along */
		}
	}
	e->by_hand = kind == SECRETS;
	o->deleted++;
	space = e->space;
	name = xstrdup(e->name); /* the entry may be gone before the call is back */
	if (client_delete(o->c->client, kind == OWNERS ? RES(core_configmaps) : RES(core_secrets),
			  sv_from(o->spaces[space].name), sv_from(name), &d, &err) < 0 &&
	    err.reason != ERR_NOT_FOUND)
		ownership_violation(o, err_msg(&err));
}

static bool space_there(struct ownership *o, const struct space *s)
{
	_cleanup_obj_ struct obj *ns = NULL;

	return client_get(o->c->client, RES(core_namespaces), SV(""), sv_from(s->name), &ns, NULL) == 0;
}

static int space_make(struct ownership *o, int i, struct err *err)
{
	struct space *s = &o->spaces[i];
	_cleanup_free_ char *ns = NULL, *quota = NULL;

	snprintf(s->name, sizeof(s->name), "s%d-%d", i, ++s->generation);
	s->going = false;
	ns = xasprintf("{\"metadata\":{\"name\":\"%s\"}}", s->name);
	quota = xasprintf("{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"%s\":\"%d\",\"%s\":\"%d\"}}}",
			  counted_names[OWNERS], HARD, counted_names[SECRETS], HARD);
	if (cluster_create(o->c, RES(core_namespaces), "", ns, err) < 0)
		return -1;
	return cluster_create(o->c, RES(core_resourcequotas), s->name, quota, err);
}

static int space_step(struct ownership *o, int i, struct err *err)
{
	struct space *s = &o->spaces[i];

	if (s->going)
		return space_there(o, s) ? 0 : space_make(o, i, err);
	if (env_random_below(o->c->env, 60))
		return 0;
	s->going = true;
	return client_delete(o->c->client, RES(core_namespaces), SV(""), sv_from(s->name), NULL, err);
}

static int ownership_step(struct ownership *o, struct err *err)
{
	int space = (int)env_random_below(o->c->env, N_SPACES);

	switch (env_random_below(o->c->env, 8)) {
	case 0:
	case 1:
		ownership_make(o, RES(core_configmaps), space, NULL);
		break;
	case 2:
	case 3:
	case 4:
		make_dependent(o);
		break;
	case 5:
		delete_one(o, OWNERS);
		break;
	case 6:
		delete_one(o, SECRETS);
		break;
	case 7:
		return space_step(o, space, err);
	}
	return 0;
}

/* --- the end --- */

static bool space_exact(struct ownership *o, const struct space *s)
{
	_cleanup_obj_ struct obj *q = NULL;

	if (s->going)
		return !space_there(o, s);
	if (client_get(o->c->client, RES(core_resourcequotas), sv_from(s->name), SV("q"), &q, NULL) < 0)
		return false;
	for (int k = 0; k < _COUNTED_MAX; k++)
		if (used_of(obj_root(q), k) != s->n[k])
			return false;
	return true;
}

static const char *unsettled(struct ownership *o)
{
	STRMAP_EACH(&o->entries, x) {
		const struct entry *e = x->value;
		bool any = !e->owners[0];

		if (e->deleting)
			return "something is still being deleted";
		for (size_t i = 0; i < ARRAY_LEN(e->owners) && e->owners[i]; i++)
			any |= strmap_has(&o->uids, sv_from(e->owners[i]));
		if (!any)
			return "a dependent without an owner is left";
	}
	for (int i = 0; i < N_SPACES; i++)
		if (!space_exact(o, &o->spaces[i]))
			return o->spaces[i].going ? "a namespace did not go" : "what a quota says is not what there is";
	return NULL;
}

static int ownership_play(struct ownership *o, struct err *err)
{
	struct faults *f = &o->c->faults;
	const char *why = NULL;
	int64_t until;

	cluster_run(o->c, 10 * NS_PER_SEC);
	for (int i = 0; i < N_SPACES; i++)
		if (space_make(o, i, err) < 0)
			return -1;
	f->fail = 200;
	f->lose = 100;
	f->break_watch = 20;
	f->overtake = 800;
	f->delay_max_ns = 2 * NS_PER_SEC;
	f->call_max_ns = 10 * NS_PER_SEC;
	f->adrift_max_ns = 20 * NS_PER_SEC;
	for (int i = 0; i < STEPS; i++) {
		if (ownership_step(o, err) < 0)
			return -1;
		cluster_run(o->c, STEP_NS);
	}
	f->fail = f->lose = f->break_watch = f->overtake = 0;
	f->delay_max_ns = f->call_max_ns = 0;
	until = env_mono_ns(o->c->env) + SETTLED_NS;
	while ((why = unsettled(o)) && env_mono_ns(o->c->env) < until)
		cluster_run(o->c, NS_PER_SEC);
	if (why)
		ownership_violation(o, why);
	return 0;
}

static int ownership_run(const struct scenario_opts *opts, struct scenario_result *ret, struct err *err)
{
	struct ownership o = { .result = ret };
	int rc;

	*ret = (struct scenario_result){ 0 };
	o.c = cluster_new(
	    &(struct cluster_opts){ .seed = opts->seed, .nodes = opts->nodes, .log = opts->log, .calls_last = true },
	    err);
	if (!o.c)
		return -1;
	o.c->faults.violation = ownership_violation;
	o.c->faults.ctx = &o;
	event_log_observe(o.c->log, ownership_on_change, &o);
	rc = ownership_play(&o, err);
	ret->hash = event_log_hash(o.c->log);
	ret->changes = event_log_changes(o.c->log);
	ret->virtual_ns = env_mono_ns(o.c->env);
	ret->faults = o.c->faults.failed + o.c->faults.lost + o.c->faults.broken + o.c->faults.overtaken;
	snprintf(ret->summary, sizeof(ret->summary),
		 "%" PRIu64 " made, %" PRIu64 " refused, %" PRIu64 " deleted; %" PRIu64 " calls refused, %" PRIu64
		 " answers lost, %" PRIu64 " writes given up, %" PRIu64 " watches broken",
		 o.made, o.refused, o.deleted, o.c->faults.failed, o.c->faults.lost, o.c->faults.overtaken,
		 o.c->faults.broken);
	o.c->faults.violation = NULL;
	o.over = true;
	o.c = cluster_free(o.c);
	strmap_release(&o.uids);
	strmap_release_with(&o.entries, ledger_entry_free);
	return rc;
}

const struct scenario scenario_ownership = {
	.name = "ownership",
	.doc = "owners, namespaces and quotas come and go while messages are delayed or lost",
	.nodes = 1,
	.pods = 1,
	.run = ownership_run,
};
