/* Claims and Services made to agree, whatever came in between: a database from before there were claims, another
 * version's writes, somebody's hand.
 *
 *	1. what all Services have, as the watch cache has them
 *	2. IPAddresses and claims of ports, in portions: one of somebody who does not have it goes; what claims
 *	   addresses in the old place moves
 *	3. a number without a claim gets one
 *
 * Other servers write meanwhile, so each of these writes expects what was looked at: a claim goes only as the version
 * that was read, and only if the cache had seen all up to it before the Services were looked at (its Service was stored
 * with it, so it has been deleted or changed since); one is made only where there is none. The worst that a race leaves
 * is a claim of nobody, until the next time, or until somebody wants the number (service_claim_refused()). */
#include "apiserver/registry/kinds/service_claims.h"
#include "apiserver/set_aside.h"
#include "apiserver/storekey.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "client/events.h"

#include <stdio.h>
#include <stdlib.h>

#define REPAIR_PORTION ((size_t)1000) /* keys read, or written, in one go */
#define REPAIR_WORDS 100	      /* Events of one run, at most */

/* A number that some Service has. */
struct owner {
	struct obj *o; /* the first one; reference */
	bool in_range, claimed, again;
	struct number n;
	int64_t wrong; /* the revision of its IPAddress that says something else; 0: it does not */
};

/* A claim that is to go, or to move. */
struct leftover {
	struct sv key;
	int64_t rev;
	struct sv value; /* what is written at moved_to in the same go; SV_NULL: nothing */
	struct sv moved_to;
};

struct repair {
	struct apiserver *s;
	struct allocators *al;
	bool quiet;
	struct strmap owners; /* struct number -> struct owner */
	int64_t seen;	      /* all up to it was in the cache before the Services were looked at */
	int64_t rev;	      /* of the claims that were read */
	size_t told;
	/* Of a portion. */
	struct arena arena;
	size_t read;
	struct sv last;
	VEC(struct leftover) leftovers;
	/* Writes under way. */
	pthread_mutex_t mu;
	pthread_cond_t cond;
	size_t open, made, freed;
	struct err err; /* the first failure of one */
};

/* --- words --- */

static struct recorder *repair_recorder(struct repair *rp, enum number_kind kind)
{
	static const char *const names[] = { "ipallocator-repair-controller", "portallocator-repair-controller" };
	static const char *const groups[] = { "system:masters", NULL };
	struct allocators *al = rp->al;

	if (!al->client)
		al->client = apiserver_client(rp->s, "kube-apiserver", "system:apiserver", groups);
	if (!al->recorders[kind])
		al->recorders[kind] = recorder_new(al->client, names[kind], "");
	return al->recorders[kind];
}

/* In upstream's words. */
static void repair_tell(struct repair *rp, const struct obj *o, enum number_kind kind, const char *what,
			const char *number, const char *text)
{
	char reason[64];

	if (rp->quiet || rp->told++ >= REPAIR_WORDS)
		return;
	snprintf(reason, sizeof(reason), "%s%s", kind == NUMBER_IP ? "ClusterIP" : "Port", what);
	if (kind == NUMBER_IP)
		recorder_event(repair_recorder(rp, kind), RES(core_services), obj_root(o), "Warning", reason,
			       "Cluster IP [%s]: %s %s", strchr(number, ':') ? "IPv6" : "IPv4", number, text);
	else
		recorder_event(repair_recorder(rp, kind), RES(core_services), obj_root(o), "Warning", reason,
			       "Port %s %s", number, text);
}

void service_repair_stop(struct apiserver *s)
{
	struct allocators *al = allocators_of(s);

	for (size_t i = 0; al && i < _NUMBER_KIND_MAX; i++)
		al->recorders[i] = recorder_free(al->recorders[i]);
	if (al && al->client)
		client_free(TAKE(al->client));
}

/* --- what Services have --- */

static void repair_owner(struct repair *rp, struct obj *o, struct number n, const char *number, bool in_range)
{
	enum number_kind kind = n.kind;
	struct owner **slot = (struct owner **)(void *)strmap_slot(&rp->owners, number_key(&n)), *w = *slot;

	if (w) {
		if (w->o != o) {
			w->again = true;
			repair_tell(rp, o, kind, "AlreadyAllocated", number,
				    "was assigned to multiple services; please recreate service");
		}
		return;
	}
	*slot = w = xcalloc(1, sizeof(*w));
	*w = (struct owner){ .o = obj_ref(o), .in_range = in_range, .n = n };
	if (in_range)
		return;
	repair_tell(rp, o, kind, "OutOfRange", number,
		    kind == NUMBER_IP
			? "is not within any configured Service CIDR; please recreate service"
			: arena_printf(&rp->arena, "is not within the port range %s; please recreate service",
				       rp->s->o.node_port_range));
}

static void repair_owner_of_port(struct repair *rp, struct obj *o, int64_t port)
{
	struct number n;
	bool in_range = number_of_port(rp->al, port, &n);
	char text[24];

	if (port <= 0 || port > UINT16_MAX)
		return;
	snprintf(text, sizeof(text), "%" PRId64, port);
	repair_owner(rp, o, n, text, in_range);
}

static int repair_owners(struct obj *o, void *ctx)
{
	struct repair *rp = ctx;
	const struct val *spec = obj_get(o, F_spec);

	VAL_EACH(val_get(spec, F_clusterIPs), x) {
		struct number n;

		if (number_of_ip(val_str(x), &n))
			repair_owner(rp, o, n, ip_text(n.ip).s, number_has_range(rp->al, n));
	}
	VAL_EACH(val_get(spec, F_ports), p)
		repair_owner_of_port(rp, o, val_get_int(p, 0, F_nodePort));
	repair_owner_of_port(rp, o, val_get_int(spec, 0, F_healthCheckNodePort));
	return 0;
}

static void owner_free(void *ctx)
{
	struct owner *w = ctx;

	obj_unref(w->o);
	free(w);
}

/* --- writes --- */

static void repair_written(struct repair *rp, const struct store_result *r, size_t *n)
{
	pthread_mutex_lock(&rp->mu);
	*n += r->outcome == STORE_OK;
	if (r->outcome == STORE_FAILED && rp->err.reason == ERR_NONE)
		err_copy(&rp->err, r->err);
	rp->open--;
	pthread_cond_signal(&rp->cond);
	pthread_mutex_unlock(&rp->mu);
}

static void repair_made(const struct store_result *r, void *ctx)
{
	struct repair *rp = ctx;

	repair_written(rp, r, &rp->made);
}

static void repair_freed(const struct store_result *r, void *ctx)
{
	struct repair *rp = ctx;

	repair_written(rp, r, &rp->freed);
}

static void repair_write(struct repair *rp, const struct store_write *w)
{
	pthread_mutex_lock(&rp->mu);
	rp->open++;
	pthread_mutex_unlock(&rp->mu);
	store_commit(rp->s->store, w, w->tombstone ? repair_freed : repair_made, rp);
}

static void repair_wait(struct repair *rp, size_t open)
{
	pthread_mutex_lock(&rp->mu);
	while (rp->open > open)
		pthread_cond_wait(&rp->cond, &rp->mu);
	pthread_mutex_unlock(&rp->mu);
}

/* --- claims --- */

static bool repair_is_of(struct repair *rp, const struct claim *c, struct owner *w)
{
	if (!w)
		return false;
	if (sv_eq(obj_ns(w->o), c->ns) && sv_eq(obj_name(w->o), c->name))
		return true;
	if (w->again) { /* either's claim is one */
		_cleanup_obj_ struct obj *o = wc_get(rp->s->wc, RES(core_services), c->ns, c->name);

		return o && claim_is_shown(c, obj_root(o));
	}
	return false;
}

/* An IPAddress of ours that no Service has, in upstream's words. */
static void repair_tell_leftover(struct repair *rp, const struct claim *c)
{
	_cleanup_obj_ struct obj *svc = NULL;
	struct ip_text ip = ip_text(c->n.ip);

	if (rp->quiet || rp->told++ >= REPAIR_WORDS)
		return;
	if (!c->of_service) {
		recorder_event(repair_recorder(rp, NUMBER_IP), RES(networking_ipaddresses), c->doc, "Warning",
			       "IPAddressNotAllocated",
			       "IPAddress %s appears to have been modified, not referencing a Service: cleaning up",
			       ip.s);
		return;
	}
	svc = wc_get(rp->s->wc, RES(core_services), c->ns, c->name);
	recorder_event(repair_recorder(rp, NUMBER_IP), RES(networking_ipaddresses), c->doc, "Warning",
		       svc ? "IPAddressWrongReference" : "IPAddressNotAllocated",
		       "IPAddress: %s for Service %.*s/%.*s %s: cleaning up", ip.s, SV_ARG(c->ns), SV_ARG(c->name),
		       svc ? "has a wrong reference" : "appears to have leaked");
}

/* Addresses were claimed beside the ports once. */
static void repair_move(struct repair *rp, const struct store_kv *kv, const struct claim *c, struct owner *w)
{
	struct leftover l = { .key = rp->last, .rev = kv->mod_rev };

	if (!c->of_service) /* of somebody whom nobody knows: it stays */
		return;
	if (repair_is_of(rp, c, w) && !w->claimed) {
		l.value = claim_value(rp->s->env, &rp->arena, c->n, c->ns, c->name);
		l.moved_to = claim_store_key(&rp->arena, c->n);
		w->claimed = true;
	}
	vec_push(&rp->leftovers, l);
}

static int repair_claim(const struct store_kv *kv, void *ctx)
{
	struct repair *rp = ctx;
	struct owner *w;
	struct claim c;
	bool known;

	rp->read++;
	rp->last = arena_sv(&rp->arena, kv->key);
	known = claim_parse(&rp->arena, rp->al, kv->key, kv->value, &c);
	w = known || c.n.kind == NUMBER_IP ? strmap_get(&rp->owners, number_key(&c.n)) : NULL;
	if (known && c.old) {
		repair_move(rp, kv, &c, w);
		return 0;
	}
	/* A Service's own IPAddress says whose it is; somebody has written another one. */
	if (known && c.n.kind == NUMBER_IP && w && !(c.of_service && c.labelled && repair_is_of(rp, &c, w))) {
		/* If it was there when the Services were looked at: else it may be that of one that has come since. */
		if (kv->mod_rev <= rp->seen)
			w->wrong = kv->mod_rev;
		else
			w->claimed = true;
		return 0;
	}
	/* Somebody else's, or nothing that is known: it is respected, and nothing can be made in its place. */
	if (!known || (c.n.kind == NUMBER_IP ? !c.ours : !c.of_service)) {
		if (w)
			w->claimed = true;
		return 0;
	}
	if (repair_is_of(rp, &c, w)) {
		w->claimed = true;
		return 0;
	}
	/* Nobody knows what an unreadable one has. */
	if (kv->mod_rev > rp->seen || set_aside_rev(rp->s, RES(core_services), c.ns, c.name))
		return 0;
	if (c.n.kind == NUMBER_IP)
		repair_tell_leftover(rp, &c);
	vec_push(&rp->leftovers, ((struct leftover){ .key = rp->last, .rev = kv->mod_rev }));
	return 0;
}

/* 1: there are more. */
static int repair_portion(struct repair *rp, struct sv from, struct sv behind, struct err *err)
{
	rp->read = 0;
	rp->leftovers.n = 0;
	if (store_range(rp->s->store, from, behind, rp->rev, REPAIR_PORTION, repair_claim, rp, &rp->rev, err) < 0)
		return err_wrap(err, "reading who has which address");
	for (size_t i = 0; i < rp->leftovers.n; i++) {
		const struct leftover *l = &rp->leftovers.p[i];
		struct store_write gone = { .key = l->key, .expect_rev = l->rev, .tombstone = true },
				   moved = { .key = l->moved_to, .value = l->value, .also = &gone, .n_also = 1 };

		repair_write(rp, l->value.p ? &moved : &gone);
	}
	repair_wait(rp, 0);
	return rp->read == REPAIR_PORTION;
}

static int repair_claims(struct repair *rp, struct sv root, struct err *err)
{
	char first[STORE_KEY_MAX + 1], end[STORE_KEY_MAX + 1], next[STORE_KEY_MAX + 1];
	struct sv from, behind = storekey_behind(&rp->arena, root);
	int rc;

	memcpy(first, root.p, root.n);
	memcpy(end, behind.p, behind.n);
	from = sv_make(first, root.n);
	behind = sv_make(end, behind.n);
	while ((rc = repair_portion(rp, from, behind, err)) > 0) {
		memcpy(next, rp->last.p, rp->last.n);
		next[rp->last.n] = '\0'; /* the first key behind it */
		from = sv_make(next, rp->last.n + 1);
		arena_reset(&rp->arena);
	}
	return rc;
}

static void repair_missing(struct repair *rp)
{
	size_t asked = 0;

	/* A cache that is behind what was read may show Services that are gone, with their claims. At the start that is
	 * no reason to leave one without. */
	if (!rp->quiet && wc_rev(rp->s->wc) < rp->rev)
		return;
	STRMAP_EACH(&rp->owners, e) {
		const struct owner *w = e->value;
		_cleanup_obj_ struct obj *now = NULL;
		struct sv text = number_text(&rp->arena, w->n);

		if (w->claimed || !w->in_range)
			continue;
		now = wc_get(rp->s->wc, RES(core_services), obj_ns(w->o), obj_name(w->o));
		if (!now || obj_rev(now) != obj_rev(w->o)) /* whoever wrote it meanwhile took care */
			continue;
		repair_tell(rp, w->o, w->n.kind, "NotAllocated", arena_cstr(&rp->arena, text),
			    w->wrong ? "has a wrong reference; repairing" : "is not allocated; repairing");
		repair_write(rp, &(struct store_write){ .key = claim_store_key(&rp->arena, w->n),
							.expect_rev = w->wrong,
							.value = claim_value(rp->s->env, &rp->arena, w->n, obj_ns(w->o),
									     obj_name(w->o)) });
		if (++asked % REPAIR_PORTION == 0) {
			repair_wait(rp, 0);
			arena_reset(&rp->arena);
		}
	}
	repair_wait(rp, 0);
}

bool service_claims_wrong(struct apiserver *s)
{
	struct allocators *al = allocators_of(s);
	bool wrong;

	pthread_mutex_lock(&al->lock);
	wrong = al->nameless.n;
	pthread_mutex_unlock(&al->lock);
	return wrong;
}

int service_claims_repair(struct apiserver *s, bool quiet, struct err *err)
{
	struct repair rp = { .s = s, .al = allocators_of(s), .quiet = quiet };
	struct err unseen = ERR_INIT;
	int rc;

	pthread_mutex_init(&rp.mu, NULL);
	pthread_cond_init(&rp.cond, NULL);
	rp.seen = wc_rev(s->wc);
	/* Of those that cannot be opened the allocators have heard what they had (strategy.h, unread). */
	if (registry_each(s, RES(core_services), SV(""), repair_owners, &rp, &unseen) < 0)
		err_release(&unseen);
	/* The objects first: what is in the old place as well is in the way of nobody then. */
	rc = repair_claims(&rp, storekey_first(&rp.arena, RES(networking_ipaddresses), SV("")), err);
	if (rc == 0)
		rc = repair_claims(&rp, SV(CLAIMS_ROOT), err);
	if (rc == 0)
		repair_missing(&rp);
	allocators_forget_foreign(rp.al);
	if (rp.made || rp.freed)
		log_info("apiserver", "claims of addresses and node ports are as the Services are", "made_and_freed",
			 "%zu, %zu", rp.made, rp.freed);
	/* The disk is full, perhaps: the next time tries again, and this server knows who has what. */
	if (rp.err.reason)
		log_warn("apiserver", "claims of addresses and node ports could not all be written", "error", "%s",
			 err_msg(&rp.err));
	err_release(&rp.err);
	strmap_release_with(&rp.owners, owner_free);
	vec_release(&rp.leftovers);
	arena_release(&rp.arena);
	pthread_mutex_destroy(&rp.mu);
	pthread_cond_destroy(&rp.cond);
	return rc;
}
