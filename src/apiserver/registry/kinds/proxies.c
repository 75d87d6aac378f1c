/* Where pods/NAME/proxy, services/NAME/proxy and nodes/NAME/proxy lead. */
#include "apiserver/dial_address.h"
#include "apiserver/kubelet_client.h"
#include "apiserver/pki.h"
#include "apiserver/proxy.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/set_aside.h"

/* "https": with TLS, whoever answers: pods have certificates of their own making, if any. */
static int proxies_finish(struct api_req *q, struct sv scheme, struct sv host, int64_t port, struct http_endpoint *ret,
			  struct err *err)
{
	struct dial_own own;

	if (dial_allowed(DIAL_POD, host, port < 1 || port > UINT16_MAX ? -1 : (int)port, dial_own(q->server, &own),
			 err) < 0)
		return -1;
	*ret = (struct http_endpoint){ .host = arena_cstr(q->arena, host), .port = (int)port };
	if (sv_is(scheme, "https") && !(ret->tls = pki_any_tls(q->server->pki, err)))
		return -1;
	return 0;
}

/* A number, or the name of a container's port; none: the first there is. */
static int64_t pod_port(const struct obj *pod, struct sv wanted)
{
	int64_t n;

	if (wanted.n && sv_to_i64(wanted, &n))
		return n;
	VAL_EACH(obj_get(pod, F_spec, F_containers), c)
		VAL_EACH(val_get(c, F_ports), p)
			if (wanted.n == 0 || sv_eq(val_get_str(p, F_name), wanted))
				return val_get_int(p, -1, F_containerPort);
	return wanted.n ? -1 : 0;
}

void pod_proxy(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv scheme, name, port;
	struct http_endpoint ep;
	struct obj *pod;
	int64_t n;

	if (!proxy_split_name(q->name, &scheme, &name, &port)) {
		err_set(&err, ERR_BAD_REQUEST, "invalid pod request \"%.*s\"", SV_ARG(q->name));
		api_req_fail(q, &err);
		return;
	}
	pod = registry_peek(q, RES(core_pods), q->ns, name);
	if (!pod) {
		set_aside_error(q->server, RES(core_pods), q->ns, name, &err);
		api_req_fail(q, &err);
		return;
	}
	n = pod_port(pod, port);
	if (n == 0 && port.n == 0)
		n = sv_is(scheme, "https") ? 443 : 80;
	if (n < 0)
		err_set(&err, ERR_BAD_REQUEST, "pod \"%.*s\" has no port \"%.*s\"", SV_ARG(name), SV_ARG(port));
	if (n < 0 || proxies_finish(q, scheme, val_str(obj_get(pod, F_status, F_podIP)), n, &ep, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	proxy_serve(q, &ep, false);
}

/* The name of a Service's port that was given by number; -1: it has none of that number. */
static int port_by_number(struct api_req *q, const struct obj *svc, struct sv name, struct sv *port, struct err *err)
{
	int64_t n;

	if (port->n == 0 || !sv_to_i64(*port, &n))
		return 0;
	VAL_EACH(obj_get(svc, F_spec, F_ports), p)
		if (val_get_int(p, -1, F_port) == n) {
			*port = arena_sv(q->arena, val_get_str(p, F_name));
			return 0;
		}
	return err_set(err, ERR_UNAVAILABLE, "no service port %" PRId64 " found for service \"%.*s\"", n, SV_ARG(name));
}

/* An address of Endpoints counts only while it is that of the pod it names: they may be written by hand, and would lead
 * anywhere. */
static bool is_pods(struct api_req *q, const struct val *address)
{
	const struct val *ref = val_get(address, F_targetRef);
	struct obj *pod = val_is(val_get(ref, F_kind), "Pod")
			      ? registry_peek(q, RES(core_pods), q->ns, val_get_str(ref, F_name))
			      : NULL;
	struct sv ip = val_get_str(address, F_ip);

	if (!pod || !ip.n || !sv_eq(val_get_str(ref, F_namespace), q->ns))
		return false;
	VAL_EACH(obj_get(pod, F_status, F_podIPs), x)
		if (sv_eq(val_get_str(x, F_ip), ip))
			return true;
	return sv_eq(val_str(obj_get(pod, F_status, F_podIP)), ip);
}

/* Any ready address of the subsets that have the port, starting at a random one. */
static bool pick(struct api_req *q, const struct obj *eps, struct sv port, struct sv *ret_ip, int64_t *ret_port)
{
	const struct val *subsets = obj_get(eps, F_subsets);
	size_t n = val_len(subsets), start = n ? (size_t)env_random_below(q->server->env, n) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct val *s = val_at(subsets, (start + i) % n), *list = val_get(s, F_addresses);
		size_t m = val_len(list), at = m ? (size_t)env_random_below(q->server->env, m) : 0;

		VAL_EACH(val_get(s, F_ports), p) {
			if (!sv_eq(val_get_str(p, F_name), port))
				continue;
			for (size_t k = 0; k < m; k++) {
				const struct val *a = val_at(list, (at + k) % m);

				if (!is_pods(q, a))
					continue;
				*ret_ip = val_get_str(a, F_ip);
				*ret_port = val_get_int(p, -1, F_port);
				return true;
			}
		}
	}
	return false;
}

void service_proxy(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv scheme, name, port, ip;
	struct http_endpoint ep;
	struct obj *svc, *eps;
	int64_t n;

	if (!proxy_split_name(q->name, &scheme, &name, &port)) {
		err_set(&err, ERR_BAD_REQUEST, "invalid service request \"%.*s\"", SV_ARG(q->name));
		api_req_fail(q, &err);
		return;
	}
	svc = registry_peek(q, RES(core_services), q->ns, name);
	if (!svc) {
		set_aside_error(q->server, RES(core_services), q->ns, name, &err);
		api_req_fail(q, &err);
		return;
	}
	if (port_by_number(q, svc, name, &port, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	eps = registry_peek(q, RES(core_endpoints), q->ns, name);
	if (!eps) {
		set_aside_error(q->server, RES(core_endpoints), q->ns, name, &err);
		api_req_fail(q, &err);
		return;
	}
	/* None at all is the Service's doing, none that fits also that of the port in the request. */
	if (!val_len(obj_get(eps, F_subsets)) || !pick(q, eps, port, &ip, &n)) {
		err_set(&err, ERR_UNAVAILABLE, "no endpoints available for service \"%.*s\"",
			SV_ARG(val_len(obj_get(eps, F_subsets)) ? q->name : name));
		api_req_fail(q, &err);
		return;
	}
	if (proxies_finish(q, scheme, ip, n, &ep, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	proxy_serve(q, &ep, false);
}

/* The kubelet, or another port of its node. */
void node_proxy(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv scheme, name, port;
	struct http_endpoint ep;
	int64_t n;

	if (!proxy_split_name(q->name, &scheme, &name, &port)) {
		err_set(&err, ERR_BAD_REQUEST, "invalid node request \"%.*s\"", SV_ARG(q->name));
		api_req_fail(q, &err);
		return;
	}
	if (kubelet_endpoint(q->server, q->arena, name, &ep, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	if (port.n && (!sv_to_i64(port, &n) || n != ep.port)) {
		/* Not the kubelet: nothing of ours is shown there. */
		if (!sv_to_i64(port, &n))
			n = -1;
		if (proxies_finish(q, scheme, sv_from(ep.host), n, &ep, &err) < 0) {
			api_req_fail(q, &err);
			return;
		}
	}
	proxy_serve(q, &ep, true);
}
