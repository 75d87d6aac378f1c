/* A pod's status on its way to the API: gathered from what runs, computed by status.c, sent when it changed. */
#include "kubelet/status_sync.h"

#include "kubelet/beneath.h"
#include "kubelet/instance.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/logs.h"
#include "kubelet/pod_actual.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_spec.h"
#include "kubelet/probes.h"
#include "kubelet/status.h"
#include "pod/pod_phase.h"

#include <stdlib.h>

#define TERMINATION_MESSAGE_MAX 4096

/* As upstream: the first is of the family of the node's first, whichever a network plugin brings first. */
static void pod_ips_add(struct buf *b, const struct rt_sandbox *s, bool v6)
{
	for (size_t i = 0; i < s->n_ips; i++)
		if ((sv_find(s->ips[i], ':') >= 0) == v6)
			buf_printf(b, "%s%.*s", b->n ? " " : "", SV_ARG(s->ips[i]));
}

void pod_ips_update(struct kpod *p, struct arena *a, const struct pod_actual *x)
{
	bool v6 = strcspn(p->k->node_ips, ":") < strcspn(p->k->node_ips, " ");
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rt_sandbox s;

	if (!x->sandbox || (p->ips_of && sv_is(x->sandbox->id, p->ips_of)))
		return;
	if (p->k->rt->ops->sandbox_status(p->k->rt, a, x->sandbox->id, &s, NULL) < 0)
		return;
	pod_ips_add(&b, &s, v6);
	pod_ips_add(&b, &s, !v6);
	pthread_mutex_lock(&p->lock);
	free(p->ips);
	free(p->ips_of);
	p->ips = xstrdup(buf_cstr(&b));
	p->ips_of = xstrndup(x->sandbox->id.p, x->sandbox->id.n);
	pthread_mutex_unlock(&p->lock);
}

/* What a container left at its terminationMessagePath, or the end of its log when that is empty and it failed. */
static struct sv termination_message(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
				     const struct rt_container *rc)
{
	struct sv text = SV("");
	const char *path;

	if (!p->k->files || !rc || rc->state != RT_EXITED)
		return text;
	path = termination_log_path(p->k, a, sv_from(p->uid), rc->name, rt_restart_count(rc));
	beneath_tail(a, p->k->root_dir, path, TERMINATION_MESSAGE_MAX, &text, NULL);
	if (!text.n && rc->exit_code && val_is(val_member(spec, F_terminationMessagePolicy), "FallbackToLogsOnError"))
		logs_tail_text(a, p->k->log_dir, container_log_path(a, pod, rc->name, rt_restart_count(rc)), 80, 2048,
			       &text);
	return text;
}

static void gather(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec, bool init,
		   const struct pod_actual *x, struct status_container *c)
{
	struct sv name = val_get_str(spec, F_name);
	struct kcont *kc = kpod_cont(p, name);
	const struct val *old = pod_container_status(pod, name);

	*c = (struct status_container){ .spec = spec, .init = init, .sidecar = init && container_is_sidecar(spec) };
	c->cur = pod_actual_find(x, name, 0);
	c->prev = c->cur ? pod_actual_find(x, name, 1) : NULL;
	if (c->cur && instance_never_ran(kc, pod, c->cur)) { /* its start failed, was cut off, or is under way */
		struct rt_container *made = ARENA_NEW(a, struct rt_container);

		*made = *c->cur;
		made->state = RT_CREATED; /* whatever the runtime made of it: it is not told as an end */
		c->cur = c->prev ? c->prev : made;
		c->prev = c->prev ? pod_actual_find(x, name, 2) : NULL;
	}
	c->ephemeral = container_is_ephemeral(pod, spec);
	c->restart_count = c->cur ? rt_restart_count(c->cur) : (int)val_get_int(old, 0, F_restartCount);
	pthread_mutex_lock(&p->lock);
	c->wait_reason = kc->wait_reason ? arena_strdup(a, kc->wait_reason) : NULL;
	c->wait_message = kc->wait_message ? arena_strdup(a, kc->wait_message) : NULL;
	pthread_mutex_unlock(&p->lock);
	c->waiting = c->wait_reason && c->cur && c->cur->state == RT_EXITED;
	if (c->cur && c->cur->state == RT_RUNNING) {
		c->started = kcont_started(p, kc, spec);
		c->ready = kcont_ready(p, kc, spec);
	} else if (c->sidecar) {
		c->started = c->cur && c->restart_count > 0; /* was up before: does not hold initialisation up */
	}
	if (kc->resize_reason) {
		c->resize_reason = kc->resize_reason;
		c->resize_message = kc->resize_message ? arena_strdup(a, kc->resize_message) : "";
		c->resources = val_member(old, F_resources);
	}
	c->term_message = termination_message(p, a, pod, spec, c->cur);
	c->prev_message = termination_message(p, a, pod, spec, c->prev);
}

const struct val *pod_told(const struct kpod *p, const struct obj *obj)
{
	bool ours = p->sent && obj_rev(p->sent) > obj_rev(obj) && sv_eq(obj_uid(p->sent), obj_uid(obj));

	return obj_root(ours ? p->sent : obj);
}

int pod_status_sync(struct kpod *p, struct arena *a, struct obj *obj, const struct pod_actual *x, struct err *err)
{
	const struct val *pod = pod_told(p, obj), *spec = val_member(pod, F_spec);
	const struct val *extra = val_member(spec, F_ephemeralContainers);
	size_t n = 0, n_extra = 0,
	       cap = val_len(val_member(spec, F_initContainers)) + val_len(val_member(spec, F_containers));
	struct status_container *c = ARENA_ARRAY(a, struct status_container, cap + 1);
	struct status_container *e_c = ARENA_ARRAY(a, struct status_container, val_len(extra) + 1);
	const struct client_write_opts opts = { .subresource = "status" };
	const char *host_ips = p->k->node_ips;
	struct status_input in;
	struct sv *ips, rest, ip;
	struct val *patch, *doc;
	struct err e = ERR_INIT;
	struct obj *got;

	/* A pod already written off as finished keeps what it said. */
	if (p->terminal && pod_phase_terminal(pod) && p->state == POD_STOPPED)
		return 0;
	pod_ips_update(p, a, x);
	VAL_EACH(val_member(spec, F_initContainers), s)
		gather(p, a, pod, s, true, x, &c[n++]);
	VAL_EACH(val_member(spec, F_containers), s)
		gather(p, a, pod, s, false, x, &c[n++]);
	VAL_EACH(extra, s)
		gather(p, a, pod, s, false, x, &e_c[n_extra++]);
	in = (struct status_input){
		.pod = pod,
		.c = c,
		.n = n,
		.ephemeral = e_c,
		.n_ephemeral = n_extra,
		.host_ips = host_ips,
		.sandbox_ready = x->sandbox != NULL,
		.terminal = p->state == POD_STOPPED && p->terminal,
		/* Failed is final: not said while something runs. */
		.reason = p->state == POD_STOPPED ? p->forced_reason : NULL,
		.message = p->forced_message,
		.overdue = p->forced_reason && !strcmp(p->forced_reason, "DeadlineExceeded"),
		.refused = p->refused,
		.now_ns = env_now_ns(p->k->env),
		.start_ns = p->started_ns,
	};
	rest = sv_from(p->ips ? p->ips : "");
	if (pod_host_network(pod))
		rest = sv_from(host_ips);
	ips = ARENA_ARRAY(a, struct sv, 8);
	while (in.n_pod_ips < 8 && sv_split(&rest, ' ', &ip))
		if (ip.n)
			ips[in.n_pod_ips++] = ip;
	in.pod_ips = ips;
	patch = status_patch(a, val_member(pod, F_status), status_compute(a, &in));
	if (!patch)
		return 0;
	doc = val_new_map(a);
	val_set_str(a, val_set_map(a, doc, F_metadata), F_uid, obj_uid(obj)); /* not a successor's */
	val_set(a, doc, F_status, patch);
	if (client_patch(p->k->client, RES(core_pods), sv_from(p->ns), sv_from(p->name), PATCH_STRATEGIC, doc, &opts,
			 &got, &e) < 0) {
		if (e.reason == ERR_NOT_FOUND || e.reason == ERR_CONFLICT) { /* gone, or another by now */
			err_release(&e);
			return 0;
		}
		err_wrap(&e, "writing the status");
		return err_move(err, &e);
	}
	obj_unref(p->sent);
	p->sent = got;
	return 0;
}
