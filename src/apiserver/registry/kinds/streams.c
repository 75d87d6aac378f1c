/* Pod subresources that reach into a node: log, exec, attach, portforward. */
#include "apiserver/authz.h"
#include "apiserver/flow/flow.h"
#include "apiserver/kubelet_client.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/set_aside.h"
#include "apiserver/standing.h"
#include "base/buf.h"
#include "base/percent.h"
#include "net/remotecommand.h"
#include "net/ws.h"
#include "object/annotation.h"
#include "object/feature.h"

/* A pod and where it runs. */
struct target {
	struct obj *pod;
	struct http_endpoint kubelet;
	struct sv container;
};

static int streams_bad(struct api_req *q, const char *fmt, ...) _printf_(2, 3);

static int streams_bad(struct api_req *q, const char *fmt, ...)
{
	struct err err = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	err_set(&err, ERR_BAD_REQUEST, "%s", arena_vprintf(q->arena, fmt, ap));
	va_end(ap);
	api_req_fail(q, &err);
	return -1;
}

static bool streams_has_container(const struct val *pod, struct sv name)
{
	static const enum sym lists[] = { F_containers, F_initContainers, F_ephemeralContainers };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(pod, F_spec, lists[k]), c)
			if (sv_eq(val_get_str(c, F_name), name))
				return true;
	return false;
}

static struct sv container_names(struct arena *a, const struct val *list)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(list, c)
		buf_printf(&b, "%s%.*s", b.n ? " " : "", SV_ARG(val_get_str(c, F_name)));
	return arena_sv(a, buf_sv(&b));
}

/* The container asked for, or the only one, or the one the annotation names. */
static int pick_container(struct api_req *q, struct target *t)
{
	const struct val *pod = obj_root(t->pod), *list = val_get(pod, F_spec, F_containers);
	struct sv name = SV("");

	(void)api_req_param(q, "container", &name);
	if (name.n == 0)
		name = annotation_of(pod, "kubectl.kubernetes.io/default-container");
	if (name.n == 0 && val_len(list) == 1)
		name = val_get_str(val_at(list, 0), F_name);
	if (name.n == 0) {
		struct sv inits = container_names(q->arena, val_get(pod, F_spec, F_initContainers));

		if (inits.n)
			return streams_bad(
			    q,
			    "a container name must be specified for pod %.*s, choose one of: [%.*s] or one of "
			    "the init containers: [%.*s]",
			    SV_ARG(q->name), SV_ARG(container_names(q->arena, list)), SV_ARG(inits));
		return streams_bad(q, "a container name must be specified for pod %.*s, choose one of: [%.*s]",
				   SV_ARG(q->name), SV_ARG(container_names(q->arena, list)));
	}
	if (!streams_has_container(pod, name))
		return streams_bad(q, "container %.*s is not valid for pod %.*s", SV_ARG(name), SV_ARG(q->name));
	t->container = name;
	return 0;
}

/* -1 after having answered q. */
static int find_target(struct api_req *q, struct target *t, bool with_container)
{
	struct err err = ERR_INIT;
	struct sv node;

	*t = (struct target){ .pod = registry_peek(q, RES(core_pods), q->ns, q->name) };
	if (!t->pod) {
		set_aside_error(q->server, RES(core_pods), q->ns, q->name, &err);
		api_req_fail(q, &err);
		return -1;
	}
	if (with_container && pick_container(q, t) < 0)
		return -1;
	node = val_str(obj_get(t->pod, F_spec, F_nodeName));
	if (node.n == 0 && sv_is(q->subresource, "log")) { /* nothing has been written yet */
		q->sink->bytes(q, 204, "", NULL, 0);
		return -1;
	}
	if (node.n == 0)
		return streams_bad(q, "pod %.*s does not have a host assigned", SV_ARG(q->name));
	if (kubelet_endpoint(q->server, q->arena, node, &t->kubelet, &err) < 0) {
		api_req_fail(q, &err);
		return -1;
	}
	return 0;
}

/* --- query strings --- */

static void add_param(struct buf *b, const char *name, struct sv value)
{
	buf_addc(b, sv_find(buf_sv(b), '?') < 0 ? '?' : '&');
	buf_adds(b, name);
	buf_addc(b, '=');
	percent_encode(b, value, PERCENT_UNRESERVED);
}

/* --- log --- */

/* An option of logs that is a number: not below least, in upstream's words. -1 after having answered q. */
static int int_param(struct api_req *q, struct field_errs *fe, const char *name, int64_t least)
{
	struct fpath at = FPATH_NAME(NULL, sv_from(name));
	struct sv v;
	int64_t n;

	if (!api_req_param(q, name, &v))
		return 0;
	if (!sv_to_i64(v, &n)) {
		struct err err = ERR_INIT;

		(void)err_bad_number(&err, v);
		api_req_fail(q, &err);
		return -1;
	}
	if (n < least)
		fe_invalid(fe, &at, val_new_int(fe->a, n),
			   least ? "must be greater than 0" : "must be greater than or equal to 0");
	return 0;
}

/* Everything that is wrong with the options of a log, at once. -1 after having answered q. */
static int log_options(struct api_req *q)
{
	static const struct resource options = { .group = "", .kind = "PodLogOptions" };
	static const char *const streams[] = { "All", "Stderr", "Stdout", NULL };
	struct fpath nowhere = FPATH_NAME(NULL, SV("[]")), stream_at = FPATH_NAME(NULL, SV("stream")),
		     tail_at = FPATH_NAME(NULL, SV("tailLines"));
	struct err err = ERR_INIT;
	struct field_errs fe;
	struct sv v;

	field_errs_init(&fe, q->arena);
	if (int_param(q, &fe, "tailLines", 0) < 0 || int_param(q, &fe, "limitBytes", 1) < 0)
		return -1;
	if (api_req_param(q, "sinceSeconds", &v) && api_req_param(q, "sinceTime", &v))
		fe_forbidden(&fe, &nowhere, "at most one of `sinceTime` or `sinceSeconds` may be specified");
	else if (int_param(q, &fe, "sinceSeconds", 1) < 0)
		return -1;
	if (api_req_param(q, "stream", &v) && v.n) {
		if (!sv_is(v, "All") && !sv_is(v, "Stderr") && !sv_is(v, "Stdout"))
			fe_not_supported(&fe, &stream_at, val_new_str(q->arena, v), streams);
		else if (!sv_is(v, "All") && api_req_param(q, "tailLines", &v))
			fe_forbidden(&fe, &tail_at, "`tailLines` and specific `stream` are mutually exclusive for now");
	}
	if (field_errs_to_err(&fe, &options, q->name, &err) == 0)
		return 0;
	api_req_fail(q, &err);
	return -1;
}

void pod_log(struct api_req *q)
{
	static const char *const passed[] = { "follow",	    "previous",	    "timestamps", "tailLines",
					      "limitBytes", "sinceSeconds", "sinceTime",  "stream" };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct target t;

	if (log_options(q) < 0 || find_target(q, &t, true) < 0)
		return;
	buf_printf(&b, "/containerLogs/%.*s/%.*s/%.*s", SV_ARG(q->ns), SV_ARG(q->name), SV_ARG(t.container));
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		struct sv v;

		if (api_req_param(q, passed[i], &v))
			add_param(&b, passed[i], v);
	}
	kubelet_stream(q, &t.kubelet, arena_cstr(q->arena, buf_sv(&b)));
}

/* --- exec, attach, portforward --- */

/* A session and the right to it; in the request's arena. */
struct connection {
	struct rc_session *session;
	struct standing *standing;
	bool answered;
	bool kubelet;	/* it is a kubelet's, not another's */
	bool plain;	/* what fails is told as text */
	struct err err; /* why it could not be connected */
};

/* The last of a connection: nothing else uses q any more. */
static void connection_over(struct api_req *q)
{
	struct connection *c = q->stream;

	if (c->answered) {
		api_req_answered(q, 101);
		http_req_unref(q->http); /* the adapter's, as its sink would have done */
	} else if (c->plain) {
		answer_text(q, 503, "text/plain; charset=utf-8", arena_svf(q->arena, "%s\n", err_msg(&c->err)));
		err_release(&c->err);
	} else {
		api_req_fail(q, &c->err);
	}
}

static void stream_done(struct http_req *r, bool answered, const struct err *why, void *ctx)
{
	struct api_req *q = ctx;
	struct connection *c = q->stream;

	(void)r;
	c->answered = answered;
	c->session = NULL;
	if (!answered && why && why->reason == RC_NO_UPGRADE)
		err_set(&c->err, ERR_INTERNAL, "%s", err_msg(why));
	else if (!answered && c->kubelet)
		kubelet_unreached(&c->err, why);
	else if (!answered)
		err_set(&c->err, ERR_INTERNAL, "error dialing backend: %s", why ? err_msg(why) : "connection closed");
	standing_end(c->standing);
}

static void connection_revoked(struct api_req *q, struct err *why)
{
	struct connection *c = q->stream;

	if (c->session)
		rc_revoke(c->session, why);
	err_release(why);
}

static bool websocket_offers(const struct http_req *r, const char *what)
{
	return sv_find_sv(http_header_get(r, "sec-websocket-protocol"), sv_from(what)) >= 0;
}

/* A GET that opens a stream needs the right to create one, too: reading must not be enough. */
static int may_connect(struct api_req *q, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = SV("create"),
		.resource_request = true,
		.version = q->version,
		.resource = q->plural,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name,
	};

	return authz_require(q, &at, err);
}

static void connection_opts(struct api_req *q, struct connection *c, struct rc_opts *o)
{
	o->done = stream_done;
	o->ctx = q;
	o->ret_session = &c->session;
}

static void connection_stands(struct api_req *q, struct connection *c, int (*also)(struct api_req *q, struct err *err))
{
	flow_release(q); /* what stands holds no seat */
	q->stream = c;
	c->standing = standing_begin(
	    q, &(struct standing_opts){ .revoke = connection_revoked, .also = also, .release = connection_over });
}

/* What is to be connected, from before it is known whether it may be. */
struct connecting {
	struct connection *c;
	struct rc_opts o;
	struct rc_backend backend;
	bool commands; /* not bytes of a port */
	int (*connect)(struct api_req *q, struct connecting *t, struct err *err);
	bool ask; /* GET is not right enough */
};

static int connecting_go(struct api_req *q, void *ctx, struct err *err)
{
	struct connecting *t = ctx;
	int rc = t->ask ? may_connect(q, err) : 0;

	if (rc)
		return rc;
	connection_opts(q, t->c, &t->o);
	if (t->connect(q, t, err) < 0)
		return -1;
	connection_stands(q, t->c, t->ask ? may_connect : NULL);
	return 0;
}

static struct connecting *connecting_new(struct api_req *q, const struct http_endpoint *ep, const char *target)
{
	struct connecting *t = ARENA_NEW(q->arena, struct connecting);

	t->c = ARENA_NEW(q->arena, struct connection);
	t->backend.endpoint = *ep;
	t->backend.target = target;
	return t;
}

static int connect_pipe(struct api_req *q, struct connecting *t, struct err *err)
{
	return rc_pipe(q->http, &t->backend, &t->o, err);
}

void stream_pipe(struct api_req *q, const struct http_endpoint *ep, const char *target,
		 const struct http_header *headers, size_t n_headers, bool plain, bool create_to_upgrade)
{
	struct connecting *t = connecting_new(q, ep, target);

	t->backend.method = arena_cstr(q->arena, q->method);
	t->backend.headers = headers;
	t->backend.n_headers = n_headers;
	t->connect = connect_pipe;
	t->c->plain = plain;
	t->ask = create_to_upgrade;
	req_ask(q, connecting_go, t);
}

/* The command streams over WebSocket are translated to the SPDY that every kubelet takes; those of port-forward go
 * through as they are, as runtimes speak both forms of it. */
static int connect_kubelet(struct api_req *q, struct connecting *t, struct err *err)
{
	if (ws_is_upgrade(q->http) && websocket_offers(q->http, "portforward.k8s.io"))
		return rc_unwrap(q->http, &t->backend, &t->o, err);
	if (t->commands && ws_is_upgrade(q->http) && websocket_offers(q->http, "channel.k8s.io"))
		return rc_translate(q->http, &t->backend, &t->o, err);
	t->backend.method = arena_cstr(q->arena, q->method); /* a WebSocket's must be GET, at every hop */
	return rc_pipe(q->http, &t->backend, &t->o, err);
}

static void connect_stream(struct api_req *q, const struct target *to, const char *target, bool commands,
			   const struct rc_opts *o)
{
	struct connecting *t;

	if (!q->http || !rc_is_upgrade(q->http)) {
		streams_bad(q, "Upgrade request required");
		return;
	}
	t = connecting_new(q, &to->kubelet, target);
	t->o = *o;
	t->o.unreached = kubelet_unreached;
	t->c->kubelet = true;
	t->commands = commands;
	t->connect = connect_kubelet;
	t->ask = feature_on(FG_AuthorizePodWebsocketUpgradeCreatePermission);
	req_ask(q, connecting_go, t);
}

static void command_stream(struct api_req *q, const char *what, bool commands)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rc_opts o = {
		.want_stdin = option_bool(q, "stdin"),
		.want_stdout = option_bool(q, "stdout"),
		.want_stderr = option_bool(q, "stderr"),
		.tty = option_bool(q, "tty"),
	};
	struct target t;
	int n = 0;

	if (find_target(q, &t, true) < 0)
		return;
	if (!o.want_stdin && !o.want_stdout && !o.want_stderr) {
		streams_bad(q, "you must specify at least 1 of stdin, stdout, stderr");
		return;
	}
	if (o.tty)
		o.want_stderr = false; /* a terminal has one output */
	buf_printf(&b, "/%s/%.*s/%.*s/%.*s", what, SV_ARG(q->ns), SV_ARG(q->name), SV_ARG(t.container));
	for (size_t i = 0; commands && i < q->n_params; i++)
		if (sv_is(q->params[i].name, "command")) {
			add_param(&b, "command", q->params[i].value);
			n++;
		}
	if (commands && n == 0) {
		streams_bad(q, "you must specify at least one command");
		return;
	}
	if (o.want_stdin)
		add_param(&b, "input", SV("1"));
	if (o.want_stdout)
		add_param(&b, "output", SV("1"));
	if (o.want_stderr)
		add_param(&b, "error", SV("1"));
	if (o.tty)
		add_param(&b, "tty", SV("1"));
	connect_stream(q, &t, arena_cstr(q->arena, buf_sv(&b)), true, &o);
}

void pod_exec(struct api_req *q)
{
	command_stream(q, "exec", true);
}

void pod_attach(struct api_req *q)
{
	command_stream(q, "attach", false);
}

/* Ports of a `ports` or `port` parameter, each of which may name several: "80,443". Returns how many, or -1. */
static int add_ports(struct api_req *q, struct buf *b, struct sv list)
{
	struct sv one;
	int64_t port;
	int n = 0;

	for (; sv_split(&list, ',', &one); n++) {
		if (!sv_to_i64(one, &port))
			return streams_bad(q, "unable to parse \"%.*s\" as a port: invalid syntax", SV_ARG(one));
		if (port < 1)
			return streams_bad(q, "port \"%.*s\" must be > 0", SV_ARG(one));
		if (port > UINT16_MAX)
			return streams_bad(q, "unable to parse \"%.*s\" as a port: value out of range", SV_ARG(one));
		add_param(b, "port", one);
	}
	return n;
}

/* Two channels a port, and a channel is one byte, of which the last value closes channels. */
#define PORTS_MAX 127

/* By SPDY the client names ports as it goes; by WebSocket channels in the query, once and for all. */
void pod_portforward(struct api_req *q)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rc_opts o = { 0 };
	struct target t;
	int n_ports = 0;

	if (find_target(q, &t, false) < 0)
		return;
	buf_printf(&b, "/portForward/%.*s/%.*s", SV_ARG(q->ns), SV_ARG(q->name));
	for (size_t i = 0; i < q->n_params; i++) {
		int n = 0;

		if (sv_is(q->params[i].name, "ports") || sv_is(q->params[i].name, "port"))
			n = add_ports(q, &b, q->params[i].value);
		if (n < 0)
			return;
		n_ports += n;
	}
	if (n_ports > PORTS_MAX) {
		streams_bad(q, "at most %d ports can be forwarded by one connection", PORTS_MAX);
		return;
	}
	if (n_ports == 0 && q->http && ws_is_upgrade(q->http) && !websocket_offers(q->http, "portforward.k8s.io")) {
		streams_bad(q, "query parameter \"port\" is required");
		return;
	}
	connect_stream(q, &t, arena_cstr(q->arena, buf_sv(&b)), false, &o);
}
