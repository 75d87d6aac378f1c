#include "apiserver/node_tunnel.h"

#include "apiserver/authz/node.h"
#include "apiserver/flow/flow.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/standing.h"
#include "net/reverse.h"
#include "object/annotation.h"
#include "object/node_identity.h"
#include "object/node_labels.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX SV("/v1-caravel/nodes/")
#define SUFFIX SV("/connect")
#define PREFER_NS (60 * NS_PER_SEC)

struct node_tunnels {
	struct apiserver *s;
	struct reverse_hub *hub;
	struct http_via via[3]; /* by their when */
};

static int node_tunnel_dial(void *ctx, const char *peer_name, struct err *err)
{
	return reverse_dial(((struct node_tunnels *)ctx)->hub, sv_from(peer_name), err);
}

/* The address has failed. */
static int node_tunnel_dial_else(void *ctx, const char *peer_name, struct err *err)
{
	struct node_tunnels *t = ctx;
	int fd = node_tunnel_dial(ctx, peer_name, err);

	if (fd >= 0)
		reverse_prefer(t->hub, sv_from(peer_name), env_mono_ns(t->s->env) + PREFER_NS);
	return fd;
}

struct node_tunnels *node_tunnels_new(struct apiserver *s)
{
	struct node_tunnels *t = xcalloc(1, sizeof(*t));

	t->s = s;
	t->hub = reverse_hub_new();
	t->via[VIA_ELSE] = (struct http_via){ node_tunnel_dial_else, t, VIA_ELSE };
	t->via[VIA_FIRST] = (struct http_via){ node_tunnel_dial, t, VIA_FIRST };
	t->via[VIA_ONLY] = (struct http_via){ node_tunnel_dial, t, VIA_ONLY };
	return t;
}

void node_tunnels_close(struct node_tunnels *t)
{
	reverse_hub_close(t->hub);
}

struct node_tunnels *node_tunnels_free(struct node_tunnels *t)
{
	t->hub = reverse_hub_free(t->hub);
	free(t);
	return NULL;
}

const struct http_via *node_tunnel_via(struct apiserver *s, const struct obj *node)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv key = annotation_of(obj_root(node), NODE_KEY_ANNOTATION),
		  name = arena_svf(&a, NODE_USER_PREFIX "%.*s", SV_ARG(obj_name(node)));

	/* Only agents of ours keep any, and a server needs none to its own node. */
	if (!key.n || sv_is(key, NODE_KEY_SERVER) || s->o.egress == EGRESS_ADDRESS)
		return NULL;
	if (s->o.egress == EGRESS_TUNNEL)
		return &s->tunnels->via[VIA_ONLY];
	return &s->tunnels->via[reverse_preferred(s->tunnels->hub, name) > env_mono_ns(s->env) ? VIA_FIRST : VIA_ELSE];
}

/* --- what nodes open --- */

/* One connection: q->stream. In the request's arena. */
struct node_tunnel {
	struct reverse_near *near; /* NULL: closed */
	struct standing *standing;
	char uid[64]; /* of the Node, as first seen; "": it was not there yet */
};

static void node_tunnel_see(struct node_tunnel *t, const struct obj *node)
{
	if (node && !t->uid[0])
		(void)snprintf(t->uid, sizeof(t->uid), "%.*s", SV_ARG(obj_uid(node)));
}

static void node_tunnel_revoked(struct api_req *q, struct err *why)
{
	struct node_tunnel *t = q->stream;

	err_release(why);
	if (t->near)
		reverse_near_close(t->near);
}

/* The Node is still the one that it was. A machine whose Node was deleted is no node, and must not be taken for the one
 * that joins under its name: it has a certificate that says so. */
static int node_tunnel_also(struct api_req *q, struct err *err)
{
	struct node_tunnel *t = q->stream;
	struct obj *node = registry_peek(q, RES(core_nodes), SV(""), node_identity(&q->user));

	node_tunnel_see(t, node);
	if (!node || !sv_is(obj_uid(node), t->uid))
		return err_set(err, ERR_FORBIDDEN, "the node is gone, or is another one");
	return 0;
}

static void node_tunnel_release(struct api_req *q)
{
	http_req_unref(q->http); /* the adapter's, as its sink would have done */
}

static void node_tunnel_over(struct http_req *r, void *ctx)
{
	struct api_req *q = ctx;
	struct node_tunnel *t = q->stream;

	(void)r;
	t->near = NULL;
	t->standing = standing_end(t->standing);
}

/* On the request's loop. */
static void node_tunnel_park(struct http_req *r, void *ctx)
{
	struct api_req *q = ctx;
	struct apiserver *s = q->server;
	struct node_tunnel *t = q->stream;
	struct err err = ERR_INIT;

	r->on_gone = NULL;
	flow_release(q); /* what stands holds no seat */
	t->near = reverse_park(s->tunnels->hub, r, q->user.name, node_tunnel_over, q, &err);
	if (!t->near) {
		api_req_fail(q, &err);
		return;
	}
	api_req_answered(q, 101);
	t->standing = standing_begin(q, &(struct standing_opts){ .revoke = node_tunnel_revoked,
								 .also = node_tunnel_also,
								 .release = node_tunnel_release });
}

bool node_tunnel_serve(struct api_req *q)
{
	struct sv name, node = node_identity(&q->user);
	struct err err = ERR_INIT;

	if (!sv_starts(q->path, PREFIX) || !sv_ends(q->path, SUFFIX) || q->path.n <= PREFIX.n + SUFFIX.n)
		return false;
	name = sv_sub(q->path, PREFIX.n, q->path.n - SUFFIX.n);
	name.n = q->path.n - PREFIX.n - SUFFIX.n;
	if (!node.n || !sv_eq(node, name)) {
		err_set(&err, ERR_FORBIDDEN, "only node \"%.*s\" itself may open connections to its kubelet",
			SV_ARG(name));
		api_req_fail(q, &err);
	} else if (!q->http) {
		err_set(&err, ERR_BAD_REQUEST, "Upgrade request required: " REVERSE_PROTOCOL);
		api_req_fail(q, &err);
	} else {
		q->stream = ARENA_NEW(q->arena, struct node_tunnel);
		node_tunnel_see(q->stream, registry_peek(q, RES(core_nodes), SV(""), node));
		http_req_post(q->http, node_tunnel_park, q);
	}
	return true;
}
