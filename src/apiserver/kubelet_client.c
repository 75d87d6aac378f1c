#include "apiserver/kubelet_client.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/dial_address.h"
#include "apiserver/inflight.h"
#include "apiserver/node_tunnel.h"
#include "apiserver/pki.h"
#include "apiserver/standing.h"
#include "apiserver/watchcache.h"
#include "base/buf.h"
#include "object/node_identity.h"

#include <stdlib.h>

#define DEFAULT_KUBELET_PORT 10250
#define CONNECT_TIMEOUT_NS (10 * NS_PER_SEC)
#define ERROR_BODY_MAX ((size_t)64 * 1024)
#define HIGH_WATER ((size_t)256 * 1024) /* bytes queued towards a slow client before we stop reading */

/* The first address of the first of these types that a Node has any of; NULL: none. */
static const char *kubelet_address(struct arena *a, const struct obj *node, const char *const *types, bool dialled)
{
	for (; *types; types++) {
		if (dialled && !strstr(*types, "IP"))
			continue;
		VAL_EACH(obj_get(node, F_status, F_addresses), ad)
			if (val_is(val_get(ad, F_type), *types) && val_get_str(ad, F_address).n)
				return arena_cstr(a, val_get_str(ad, F_address));
	}
	return NULL;
}

int kubelet_endpoint(struct apiserver *s, struct arena *a, struct sv node, struct http_endpoint *ret, struct err *err)
{
	static const char *const own_types[] = { "InternalIP", NULL };
	static const char *const usual[] = {
		"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP", NULL
	};
	_cleanup_obj_ struct obj *o = wc_get(s->wc, RES(core_nodes), SV(""), node);
	const struct apiserver_kubelets *k = &s->o.kubelets;
	const char *const *types = !k->ca_file ? own_types : k->address_types ? k->address_types : usual;
	const char *host;
	struct dial_own own;
	int64_t port;

	if (!o)
		return err_not_found(err, RES(core_nodes), node);
	host = kubelet_address(a, o, types, true);
	if (!host)
		return err_set(err, ERR_UNAVAILABLE, "node '%.*s' reports no %s, so its kubelet cannot be reached",
			       SV_ARG(node), k->ca_file ? "address of the preferred types" : "InternalIP");
	port = val_get_int(obj_root(o), DEFAULT_KUBELET_PORT, F_status, F_daemonEndpoints, F_kubeletEndpoint, F_Port);
	if (port < 1 || port > UINT16_MAX)
		port = -1; /* refused with its reason */
	if (dial_allowed(DIAL_NODE, sv_from(host), (int)port, dial_own(s, &own), err) < 0)
		return err_wrap(err, "node '%.*s' at %s", SV_ARG(node), host);
	*ret = (struct http_endpoint){
		.host = host,
		.port = (int)port,
		.peer_name = arena_printf(a, NODE_USER_PREFIX "%.*s", SV_ARG(node)),
		.tls = pki_kubelet_tls(s->pki, err),
		.via = node_tunnel_via(s, o),
	};
	if (k->ca_file) {
		ret->server_name = kubelet_address(a, o, types, false);
		ret->peer_name = NULL;
		ret->via = NULL; /* who keeps connections to us has a certificate of ours */
	}
	return ret->tls ? 0 : -1;
}

struct forward {
	struct api_req *q;
	struct http_dialog *dialog;
	struct standing *standing;
	int status;
	bool streaming, gone, paused;
	struct buf error;
};

/* Followed logs whose reader may not read them any more end. */
static void kubelet_stream_revoked(struct api_req *q, struct err *why)
{
	struct forward *f = q->stream;

	err_release(why);
	if (f->dialog)
		http_dialog_close(f->dialog);
}

static void kubelet_stream_end(struct api_req *q)
{
	q->sink->stream_end(q);
}

static void kubelet_stream_on_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	struct forward *f = ctx;
	struct sv type = http_response_header(head, "content-type");

	(void)d;
	f->status = head->status;
	if (head->status / 100 != 2)
		return;
	f->streaming = true;
	f->q->sink->stream_begin(f->q, type.n ? arena_cstr(f->q->arena, type) : "text/plain");
	f->standing = standing_begin(
	    f->q, &(struct standing_opts){ .revoke = kubelet_stream_revoked, .release = kubelet_stream_end });
}

static void free_owner(void *p)
{
	free(p);
}

static void kubelet_stream_on_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	struct forward *f = ctx;
	struct http_chunk c;

	if (!f->streaming) {
		buf_addsv(&f->error, bytes);
		return;
	}
	if (f->gone)
		return;
	c.owner = xmemdup(bytes.p, bytes.n);
	c.data = sv_make(c.owner, bytes.n);
	c.release = free_owner;
	if (f->q->sink->stream_write(f->q, &c) > HIGH_WATER) {
		f->paused = true;
		http_dialog_pause(d, true);
	}
}

static void kubelet_stream_on_drain(struct api_req *q)
{
	struct forward *f = q->stream;

	if (f->paused && f->dialog) {
		f->paused = false;
		http_dialog_pause(f->dialog, false);
	}
}

static void kubelet_stream_on_gone(struct api_req *q)
{
	struct forward *f = q->stream;

	f->gone = true;
	if (f->dialog)
		http_dialog_close(f->dialog);
}

static enum err_reason reason_of(int status)
{
	for (int r = ERR_NONE + 1; r < _ERR_REASON_MAX; r++)
		if (err_reason_code((enum err_reason)r) == status)
			return (enum err_reason)r;
	return ERR_INTERNAL;
}

int kubelet_unreached(struct err *err, const struct err *why)
{
	struct sv text = sv_from(why ? err_msg(why) : "connection closed");

	/* A node serves with one of its own making until the cluster's is there. */
	return err_set(err, ERR_INTERNAL, "error dialing backend: %.*s%s", SV_ARG(text),
		       sv_find_sv(text, SV("self-signed certificate")) >= 0
			   ? " (the node's certificate for serving is not issued yet: see 'kubectl get csr')"
			   : "");
}

static void kubelet_stream_on_closed(struct http_dialog *d, const struct err *why, void *ctx)
{
	struct forward *f = ctx;
	struct api_req *q = f->q;
	struct sv text = sv_trim(buf_sv(&f->error));
	struct err err = ERR_INIT;

	(void)d;
	f->dialog = NULL;
	q->on_gone = NULL;
	q->on_drain = NULL;
	if (f->streaming) {
		standing_end(f->standing); /* ends the stream */
	} else {
		if (f->status == 0)
			kubelet_unreached(&err, why);
		else
			err_set(&err, reason_of(f->status), "%.*s",
				SV_ARG(text.n ? text : SV("the kubelet gave no reason")));
		api_req_fail(q, &err);
	}
	buf_release(&f->error);
	free(f);
}

void kubelet_stream(struct api_req *q, const struct http_endpoint *ep, const char *target)
{
	static const struct http_dialog_cb cb = { .head = kubelet_stream_on_head,
						  .data = kubelet_stream_on_data,
						  .closed = kubelet_stream_on_closed };
	struct forward *f;
	struct err err = ERR_INIT;

	if (!q->http || !q->sink->stream_begin) {
		err_set(&err, ERR_METHOD_NOT_ALLOWED, "this subresource can only be read over HTTP");
		api_req_fail(q, &err);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->q = q;
	f->error.limit = ERROR_BODY_MAX;
	q->stream = f;
	q->on_gone = kubelet_stream_on_gone;
	q->on_drain = kubelet_stream_on_drain;
	inflight_add(q);
	inflight_waits(q, "the kubelet");
	f->dialog =
	    http_dial(http_req_loop(q->http), ep, "GET", target, NULL, 0, SV(""),
		      q->server->o.kubelets.timeout_ns ? q->server->o.kubelets.timeout_ns : CONNECT_TIMEOUT_NS, &cb, f);
}
