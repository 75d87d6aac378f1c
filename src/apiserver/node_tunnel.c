#include "apiserver/node_tunnel.h"

#include "apiserver/authz/node.h"
#include "net/reverse.h"
#include "object/annotation.h"
#include "object/node_identity.h"
#include "object/node_labels.h"

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

static void node_tunnel_over(struct http_req *r, void *ctx)
{
	(void)ctx;
	http_req_unref(r); /* the adapter's, as its sink would have done */
}

/* On the request's loop. */
static void node_tunnel_park(struct http_req *r, void *ctx)
{
	struct api_req *q = ctx;
	struct apiserver *s = q->server;
	struct err err = ERR_INIT;

	r->on_gone = NULL;
	flow_release(q); /* what stands holds no seat */
	if (reverse_park(s->tunnels->hub, r, q->user.name, node_tunnel_over, q, &err) < 0)
		api_req_fail(q, &err);
	else
		api_req_answered(q, 101);
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
		http_req_post(q->http, node_tunnel_park, q);
	}
	return true;
}
