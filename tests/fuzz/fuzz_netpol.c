/* NetworkPolicies, Pods and Namespaces as no API server would let them pass: input is a JSON list of them. Whatever
 * they hold, the kernel is told nothing but words of ours, once what they say is known there is nothing more to say,
 * and after a reset it is said again. */
#include "codec/json.h"
#include "netd/policy/netpol.h"
#include "netd/policy/track.h"

static void take(struct netpol_track *t, const struct val *v, int64_t rev)
{
	_cleanup_obj_ struct obj *o = obj_new(v, rev);
	bool gone = obj_deleting(o);

	if (val_is(obj_get(o, F_kind), "Namespace"))
		netpol_track_namespace(t, obj_name(o), gone ? NULL : o);
	else if (val_is(obj_get(o, F_kind), "Pod"))
		netpol_track_pod(t, obj_ns(o), obj_name(o), gone ? NULL : o);
	else
		netpol_track_policy(t, obj_ns(o), obj_name(o), gone ? NULL : o, rev % 2);
}

static void commit(struct netpol_track *t)
{
	static const char ours[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.:,;{}@\"/!*= \t\n";
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	netpol_track_commit(t, &b);
	BUG_ON(strspn(buf_cstr(&b), ours) != b.n);
	buf_clear(&b);
	netpol_track_commit(t, &b);
	BUG_ON(b.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *list = json_decode(&a, sv_make((const char *)data, size), NULL, NULL);
	struct netpol_track *t;
	int64_t rev = 0;

	if (val_type(list) != VAL_LIST)
		return 0;
	t = netpol_track_new("tab", "n1", "br0");
	VAL_EACH(list, v) {
		if (val_type(v) != VAL_MAP)
			continue;
		take(t, v, ++rev);
		if (rev % 3 == 0)
			commit(t);
	}
	commit(t);
	(void)netpol_track_allows(t, ip_v4(0x0a000001), ip_v4(0x0a000002), 0, 80);
	netpol_track_reset(t);
	commit(t);
	netpol_track_free(t);
	return 0;
}
