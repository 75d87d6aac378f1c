/* Claims of a Service's numbers: what is written with it, and what is made of a claim that somebody else has. */
#include "apiserver/registry/kinds/service_claims.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "apiserver/storekey.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

/* The parts one after the other. By hand: each Service that is made makes some, and printf is most of what they cost.
 */
static struct sv claim_join(struct arena *a, const struct sv *parts, size_t n)
{
	size_t bytes = 0;
	char *text, *to;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].n;
	to = text = arena_alloc(a, bytes);
	for (size_t i = 0; i < n; i++)
		to = mempcpy(to, parts[i].p, parts[i].n);
	return sv_make(text, bytes);
}

struct sv claim_store_key(struct arena *a, struct number n)
{
	struct sv text = number_text(a, n);
	const struct sv parts[] = { SV(CLAIMS_PORTS), text };

	return n.kind == NUMBER_IP ? storekey(a, RES(networking_ipaddresses), SV(""), text)
				   : claim_join(a, parts, ARRAY_LEN(parts));
}

/* Names of objects need no escapes. */
static struct sv claim_parent(struct arena *a, struct sv ns, struct sv name)
{
	const struct sv parts[] = { SV("{\"parentRef\":{\"group\":\"\",\"resource\":\"services\",\"namespace\":\""), ns,
				    SV("\",\"name\":\""), name, SV("\"}}") };

	return claim_join(a, parts, ARRAY_LEN(parts));
}

struct sv claim_value(struct env *env, struct arena *a, struct number n, struct sv ns, struct sv name)
{
	char made[TIME_TEXT_MAX], uid[37];

	if (n.kind == NUMBER_PORT)
		return claim_parent(a, ns, name);
	env_uuid(env, uid);

	const struct sv parts[] = {
		SV("{\"kind\":\"IPAddress\",\"apiVersion\":\"networking.k8s.io/v1\",\"metadata\":{\"name\":\""),
		number_text(a, n),
		SV("\",\"uid\":\""),
		sv_from(uid),
		SV("\",\"creationTimestamp\":\""),
		time_format(env_now_ns(env), false, made),
		SV("\",\"labels\":{\"" LABEL_IP_FAMILY "\":\""),
		sv_from(ip_family(n.ip)),
		SV("\",\"" LABEL_IP_MANAGED "\":\"" IP_MANAGER
		   "\"}},\"spec\":{\"parentRef\":{\"resource\":\"services\","
		   "\"namespace\":\""),
		ns,
		SV("\",\"name\":\""),
		name,
		SV("\"}}}"),
	};

	return claim_join(a, parts, ARRAY_LEN(parts));
}

/* The address or port that the key names. */
static bool claim_key_parse(struct arena *a, const struct allocators *al, struct sv key, struct claim *ret)
{
	struct sv objects;
	int64_t port;

	if (sv_starts(key, SV(CLAIMS_PORTS))) {
		if (!sv_to_i64(sv_sub(key, sizeof(CLAIMS_PORTS) - 1, key.n), &port) || port < 0 || port > UINT16_MAX)
			return false;
		ret->in_range = number_of_port(al, port, &ret->n);
		return true;
	}
	objects = storekey_first(a, RES(networking_ipaddresses), SV(""));
	ret->in_range = true;
	ret->old = sv_starts(key, SV(CLAIMS_OLD));
	if (!ret->old && !sv_starts(key, objects))
		return false;
	return number_of_ip(sv_sub(key, ret->old ? sizeof(CLAIMS_OLD) - 1 : objects.n, key.n), &ret->n);
}

bool claim_parse(struct arena *a, const struct allocators *al, struct sv key, struct sv value, struct claim *ret)
{
	const struct val *parent, *labels;

	*ret = (struct claim){ .ns = SV_NULL };
	if (!claim_key_parse(a, al, key, ret))
		return false;
	ret->doc = json_decode(a, value, NULL, NULL);
	parent = ret->n.kind == NUMBER_IP && !ret->old ? val_get(ret->doc, F_spec, F_parentRef)
						       : val_get(ret->doc, F_parentRef);
	if (!parent)
		return false;
	if (ret->n.kind == NUMBER_IP && !ret->old) {
		labels = val_get(ret->doc, F_metadata, F_labels);
		ret->ours = val_is(val_member_sv(labels, SV(LABEL_IP_MANAGED)), IP_MANAGER);
		ret->labelled = ret->ours && val_is(val_member_sv(labels, SV(LABEL_IP_FAMILY)), ip_family(ret->n.ip));
	}
	ret->of_service = val_get_str(parent, F_group).n == 0 && val_is(val_get(parent, F_resource), "services");
	ret->ns = val_get_str(parent, F_namespace);
	ret->name = val_get_str(parent, F_name);
	return true;
}

bool claim_is_shown(const struct claim *c, const struct val *svc)
{
	const struct val *spec = val_get(svc, F_spec);
	struct ip_addr its;
	int64_t port = number_port(c->n);

	if (c->n.kind == NUMBER_IP) {
		VAL_EACH(val_get(spec, F_clusterIPs), x)
			if (ip_parse(val_str(x), &its) && ip_eq(c->n.ip, its))
				return true;
		return false;
	}
	VAL_EACH(val_get(spec, F_ports), p)
		if (val_get_int(p, 0, F_nodePort) == port)
			return true;
	return val_get_int(spec, 0, F_healthCheckNodePort) == port;
}

/* --- what is written with a Service --- */

/* Where a claim was found that nobody has any more: it is replaced, if it is still that one. */
static int64_t claim_expected(struct allocators *al, struct sv key)
{
	int64_t rev = 0, *stale;

	pthread_mutex_lock(&al->lock);
	stale = al->stale.n ? strmap_get(&al->stale, key) : NULL;
	if (stale)
		rev = *stale;
	pthread_mutex_unlock(&al->lock);
	return rev;
}

static struct store_write claim_made(struct api_req *q, struct allocators *al, struct number n, const struct val *doc)
{
	struct store_write w = { .key = claim_store_key(q->arena, n) };

	w.value = claim_value(q->server->env, q->arena, n, val_get_str(doc, F_metadata, F_namespace),
			      val_get_str(doc, F_metadata, F_name));

	w.expect_rev = claim_expected(al, w.key);
	return w;
}

static struct store_write claim_given_up(struct api_req *q, struct number n)
{
	return (
	    struct store_write){ .key = claim_store_key(q->arena, n), .expect_rev = STORE_ANY_REV, .tombstone = true };
}

/* < 0: old has it, > 0: doc has it, 0: both. */
static int claim_side(const struct number *old, const struct number *end, const struct number *now,
		      const struct number *now_end)
{
	if (old == end || now == now_end)
		return old == end ? 1 : -1;
	return number_cmp(old, now);
}

const struct store_write *service_claims(struct api_req *q, const struct val *old, const struct val *doc, size_t *ret_n)
{
	struct allocators *al = allocators_of(q->server);
	size_t n_old, n_now, n = 0;
	struct number *was = numbers_of(q->arena, al, old, &n_old), *is = numbers_of(q->arena, al, doc, &n_now);
	const struct number *was_end = was + n_old, *is_end = is + n_now;
	struct store_write *list = NULL;

	while (was < was_end || is < is_end) {
		int side = claim_side(was, was_end, is, is_end);

		if (side && !list)
			list =
			    ARENA_ARRAY(q->arena, struct store_write, (size_t)(was_end - was) + (size_t)(is_end - is));
		if (side > 0)
			list[n++] = claim_made(q, al, *is, doc);
		else if (side < 0 && !number_shown_again(al, *was))
			list[n++] = claim_given_up(q, *was);
		was += side <= 0;
		is += side >= 0;
	}
	/* Whoever asks for more than that is refused by the store, but what goes has to go: the repair does the rest.
	 */
	*ret_n = doc ? n : MIN(n, STORE_ALSO_MAX);
	return list;
}

/* --- met with another's --- */

/* Its holder, as far as this server can see, has given it up, or never was. */
static void claim_is_stale(struct allocators *al, struct sv key, int64_t rev)
{
	int64_t *had;

	pthread_mutex_lock(&al->lock);
	had = strmap_get(&al->stale, key);
	if (!had)
		strmap_set(&al->stale, key, had = xmalloc(sizeof(*had)));
	*had = rev;
	pthread_mutex_unlock(&al->lock);
}

static void claim_is_free(struct allocators *al, struct sv key)
{
	pthread_mutex_lock(&al->lock);
	free(strmap_del(&al->stale, key));
	pthread_mutex_unlock(&al->lock);
}

/* Whoever made a claim stored its Service with it. So this server, when it has seen all up to the claim, either sees
 * that Service, too, or the claim is left over. */
void service_claim_refused(struct api_req *q, struct sv key, struct sv value, int64_t rev)
{
	struct apiserver *s = q->server;
	struct allocators *al = allocators_of(s);
	bool seen = wc_rev(s->wc) >= rev; /* before the Service is looked at */
	_cleanup_obj_ struct obj *holder = NULL;
	struct claim c;

	claim_is_free(al, key);
	if (!rev) /* it was left over, and is gone by now */
		return;
	if (!claim_parse(q->arena, al, key, value, &c) || !c.of_service) {
		if (c.in_range)
			number_foreign(al, c.n);
		return;
	}
	/* Another's IPAddress is respected, whatever it says whose it is. */
	if (c.n.kind == NUMBER_IP && !c.ours) {
		number_foreign(al, c.n);
		return;
	}
	holder = wc_get(s->wc, RES(core_services), c.ns, c.name);
	if (holder && claim_is_shown(&c, obj_root(holder)))
		return; /* seen meanwhile */
	if (!seen || set_aside_rev(s, RES(core_services), c.ns, c.name))
		number_foreign(al, c.n);
	else
		claim_is_stale(al, key, rev);
}
