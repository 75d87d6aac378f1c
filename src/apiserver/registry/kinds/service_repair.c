/* Claims and Services made to agree, whatever came in between: a database from before there were claims, another
 * version's writes, somebody's hand.
 *
 *	1. what all Services have, as the watch cache has them
 *	2. the claims, in portions: one of somebody who does not have it goes
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
};

/* A claim that is to go. */
struct leftover {
	struct sv key;
	int64_t rev;
};

struct repair {
	struct apiserver *s;
	struct allocators *al;
	bool quiet;
	struct strmap owners; /* "ipaddresses/10.43.0.1" -> struct owner */
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

static void repair_owner(struct repair *rp, struct obj *o, enum number_kind kind, const char *number, bool in_range,
			 struct number n)
{
	char key[80];
	struct owner *w, **slot;

	snprintf(key, sizeof(key), "%s/%s", claim_kind_name(kind), number);
	slot = (struct owner **)(void *)strmap_slot(&rp->owners, sv_from(key));
	w = *slot;
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
	struct number n = { NUMBER_PORT, 0 };
	char text[24];

	if (port <= 0)
		return;
	snprintf(text, sizeof(text), "%" PRId64, port);
	repair_owner(rp, o, NUMBER_PORT, text, number_of_port(rp->al, port, &n), n);
}

static int repair_owners(struct obj *o, void *ctx)
{
	struct repair *rp = ctx;
	const struct val *spec = obj_get(o, F_spec);

	VAL_EACH(val_get(spec, F_clusterIPs), x) {
		struct number n = { NUMBER_IP, 0 };
		struct ip_addr ip;

		if (ip_parse(val_str(x), &ip))
			repair_owner(rp, o, NUMBER_IP, ip_text(ip).s, number_of_ip(rp->al, val_str(x), &n), n);
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

static int repair_claim(const struct store_kv *kv, void *ctx)
{
	struct repair *rp = ctx;
	struct owner *w = strmap_get(&rp->owners, sv_sub(kv->key, sizeof(CLAIMS_ROOT) - 1, kv->key.n));
	struct claim c;

	rp->read++;
	rp->last = arena_sv(&rp->arena, kv->key);
	/* Somebody else's, or nothing that is known: it is respected, and nothing can be made in its place. */
	if (!claim_parse(&rp->arena, rp->al, kv->key, kv->value, &c) || !c.of_service) {
		if (w)
			w->claimed = true;
		return 0;
	}
	if (repair_is_of(rp, &c, w)) {
		w->claimed = true;
		return 0;
	}
	/* Nobody knows what an unreadable one has. */
	if (kv->mod_rev <= rp->seen && !set_aside_rev(rp->s, RES(core_services), c.ns, c.name))
		vec_push(&rp->leftovers, ((struct leftover){ rp->last, kv->mod_rev }));
	return 0;
}

/* 1: there are more. */
static int repair_portion(struct repair *rp, struct sv from, struct err *err)
{
	struct sv behind = storekey_behind(&rp->arena, SV(CLAIMS_ROOT));

	rp->read = 0;
	rp->leftovers.n = 0;
	if (store_range(rp->s->store, from, behind, rp->rev, REPAIR_PORTION, repair_claim, rp, &rp->rev, err) < 0)
		return err_wrap(err, "reading who has which address");
	for (size_t i = 0; i < rp->leftovers.n; i++)
		repair_write(rp, &(struct store_write){ .key = rp->leftovers.p[i].key,
							.expect_rev = rp->leftovers.p[i].rev,
							.tombstone = true });
	repair_wait(rp, 0);
	return rp->read == REPAIR_PORTION;
}

static int repair_claims(struct repair *rp, struct err *err)
{
	struct sv from = SV(CLAIMS_ROOT);
	char next[STORE_KEY_MAX + 1];
	int rc;

	while ((rc = repair_portion(rp, from, err)) > 0) {
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
		const char *number = strchr(e->key, '/') + 1;

		if (w->claimed || !w->in_range)
			continue;
		now = wc_get(rp->s->wc, RES(core_services), obj_ns(w->o), obj_name(w->o));
		if (!now || obj_rev(now) != obj_rev(w->o)) /* whoever wrote it meanwhile took care */
			continue;
		repair_tell(rp, w->o, w->n.kind, "NotAllocated", number, "is not allocated; repairing");
		repair_write(rp,
			     &(struct store_write){ .key = claim_store_key(&rp->arena, rp->al, w->n),
						    .value = claim_value(&rp->arena, obj_ns(w->o), obj_name(w->o)) });
		if (++asked % REPAIR_PORTION == 0) {
			repair_wait(rp, 0);
			arena_reset(&rp->arena);
		}
	}
	repair_wait(rp, 0);
}

int service_claims_repair(struct apiserver *s, bool quiet, struct err *err)
{
	struct repair rp = { .s = s, .al = allocators_of(s), .quiet = quiet };
	int rc;

	pthread_mutex_init(&rp.mu, NULL);
	pthread_cond_init(&rp.cond, NULL);
	rp.seen = wc_rev(s->wc);
	registry_each(s, RES(core_services), SV(""), repair_owners, &rp);
	rc = repair_claims(&rp, err);
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
