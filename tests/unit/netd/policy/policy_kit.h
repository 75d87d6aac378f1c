/* policy_kit.h - a cluster as tests of NetworkPolicies write it, and who reaches whom in it.
 *
 * Nine pods: a, b and c in each of the namespaces x, y and z, all of them on node n1; labels pod=NAME, and ns=NAME of
 * the namespaces. They listen on 80 ("serve-80") and 81 ("serve-81"), with all protocols. x/a is 192.168.1.1, z/c
 * 192.168.3.3.
 */
#pragma once

#include "netd_kit.h"

#include "netd/policy/model.h"
#include "netd/policy/track.h"

#include <stdio.h>

#define POD_PORTS                                                                        \
	"{'name':'serve-80','containerPort':80},{'name':'serve-81','containerPort':81}," \
	"{'name':'serve-80','containerPort':80,'protocol':'UDP'},"                       \
	"{'name':'serve-81','containerPort':81,'protocol':'UDP'},"                       \
	"{'name':'serve-80','containerPort':80,'protocol':'SCTP'},"                      \
	"{'name':'serve-81','containerPort':81,'protocol':'SCTP'}"

struct pworld {
	struct netpol_track *t;
	struct buf last; /* the newest transaction */
	int64_t rev;
};

enum { TCP, UDP, SCTP };

static _unused_ void pworld_init(struct pworld *w)
{
	*w = (struct pworld){ .t = netpol_track_new("tab", "n1", NULL) };
}

static _unused_ void pworld_release(struct pworld *w)
{
	netpol_track_free(w->t);
	buf_release(&w->last);
}

static _unused_ void commit(struct pworld *w)
{
	buf_clear(&w->last);
	netpol_track_commit(w->t, &w->last);
}

/* What is kept of it. */
static struct obj *policy_kept(struct obj *o, const char *const *paths)
{
	struct keep *k = keep_new();
	struct obj *kept;

	keep_add(k, paths);
	kept = kit_kept(o, k);
	keep_unref(k);
	return kept;
}

/* What takes the table away: it is there when it is removed, and so nothing fails. */
#define REMOVED "add table inet tab\ndelete table inet tab\n"

/* Without a transaction. */
static _unused_ void tell(struct pworld *w, const char *text)
{
	_cleanup_obj_ struct obj *o = kit_obj(text, ++w->rev);
	_cleanup_obj_ struct obj *pod = policy_kept(o, netpol_pod_paths), *ns = policy_kept(o, netpol_namespace_paths);
	struct sv kind = val_str(obj_get(o, F_kind));

	if (sv_is(kind, "Namespace"))
		netpol_track_namespace(w->t, obj_name(o), ns);
	else if (sv_is(kind, "Node") && netpol_track_node(w->t, obj_name(o), o))
		netpol_track_reset(w->t);
	else if (sv_is(kind, "Node"))
		return;
	else if (sv_is(kind, "Pod"))
		netpol_track_pod(w->t, obj_ns(o), obj_name(o), pod);
	else
		netpol_track_policy(w->t, obj_ns(o), obj_name(o), o, false);
}

static _unused_ void put(struct pworld *w, const char *text)
{
	tell(w, text);
	commit(w);
}

static _unused_ const char *pod_text(struct arena *a, char ns, char name, const char *labels, const char *ports)
{
	return arena_printf(a,
			    "{'kind':'Pod','metadata':{'name':'%c','namespace':'%c','uid':'%c%c','labels':{%s}},"
			    "'spec':{'nodeName':'n1','containers':[{'name':'c','ports':[%s]}]},"
			    "'status':{'podIPs':[{'ip':'192.168.%d.%d'},{'ip':'fd00::%d:%d'}]}}",
			    name, ns, ns, name, labels, ports, ns - 'x' + 1, name - 'a' + 1, ns - 'x' + 1,
			    name - 'a' + 1);
}

static _unused_ void nine_pods(struct pworld *w)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (char ns = 'x'; ns <= 'z'; ns++) {
		tell(w, arena_printf(&a, "{'kind':'Namespace','metadata':{'name':'%c','labels':{'ns':'%c'}}}", ns, ns));
		for (char p = 'a'; p <= 'c'; p++)
			tell(w, pod_text(&a, ns, p, arena_printf(&a, "'pod':'%c'", p), POD_PORTS));
	}
	commit(w);
}

/* A policy in namespace ns. */
#define POLICY(ns, name, spec) \
	"{'kind':'NetworkPolicy','metadata':{'name':'" name "','namespace':'" ns "'},'spec':{" spec "}}"

static _unused_ void drop_policy(struct pworld *w, const char *ns, const char *name)
{
	netpol_track_policy(w->t, sv_from(ns), sv_from(name), NULL, false);
	commit(w);
}

static _unused_ struct ip_addr ip_of(const char *pod, bool v6)
{
	char text[64];

	(void)snprintf(text, sizeof(text), v6 ? "fd00::%d:%d" : "192.168.%d.%d", pod[0] - 'x' + 1, pod[2] - 'a' + 1);
	return kit_ip(text);
}

static _unused_ bool reaches(struct pworld *w, const char *from, const char *to, unsigned proto, uint16_t port)
{
	bool v4 = netpol_track_allows(w->t, ip_of(from, false), ip_of(to, false), proto, port);

	assert_int_equal(v4, netpol_track_allows(w->t, ip_of(from, true), ip_of(to, true), proto, port));
	return v4;
}

static bool pod_is_like(const char *pod, const char *pattern)
{
	return (pattern[0] == '*' || pattern[0] == pod[0]) && (pattern[2] == '*' || pattern[2] == pod[2]);
}

/* The whole table: everybody reaches everybody, but for the rules, of which the last one that fits holds:
 * "-*"/"*>x/a" nobody reaches x/a, "+y/b>x/a" but y/b does. Each "SIGN FROM > TO", 8 bytes, separated by blanks. */
static _unused_ void expect(struct pworld *w, unsigned proto, uint16_t port, const char *rules)
{
	for (int f = 0; f < 9; f++)
		for (int t = 0; t < 9; t++) {
			char from[4] = { (char)('x' + f / 3), '/', (char)('a' + f % 3), 0 };
			char to[4] = { (char)('x' + t / 3), '/', (char)('a' + t % 3), 0 };
			bool want = true;

			for (const char *r = rules; *r; r += r[8] ? 9 : 8)
				if (pod_is_like(from, r + 1) && pod_is_like(to, r + 5))
					want = r[0] == '+';
			want |= f == t; /* a pod reaches itself */
			if (reaches(w, from, to, proto, port) != want)
				fail_msg("%s -> %s, port %u of protocol %u: should be %s", from, to, port, proto,
					 want ? "allowed" : "denied");
		}
}

static _unused_ void drop_pod(struct pworld *w, const char *ns, const char *name)
{
	netpol_track_pod(w->t, sv_from(ns), sv_from(name), NULL);
	commit(w);
}

static _unused_ bool last_has(struct pworld *w, const char *text)
{
	return strstr(buf_cstr(&w->last), text) != NULL;
}

static _unused_ size_t last_count(struct pworld *w, const char *text)
{
	size_t n = 0;

	for (const char *p = buf_cstr(&w->last); (p = strstr(p, text)); p++)
		n++;
	return n;
}
