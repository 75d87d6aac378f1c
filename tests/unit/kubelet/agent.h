/* agent.h - a kubelet on the fake runtime against a real API server, in virtual time: what tests of whole pods share.
 */
#pragma once

#include "../apiserver/harness.h"
#include "base/file.h"
#include "base/quarantine.h"

#include "kubelet/fake_runtime.h"
#include "kubelet/kubelet.h"
#include "kubelet/pod_spec.h"

#include <stdio.h>

struct world {
	struct rig *rig;
	struct runtime *rt;
	struct kubelet *k;
	struct client *client;
};

static _unused_ int nothing(struct kubelet *k, const struct val *pod, struct err *err)
{
	(void)k, (void)pod, (void)err;
	return 0;
}

static _unused_ int no_teardown(struct kubelet *k, struct sv uid, struct err *err)
{
	(void)k, (void)uid, (void)err;
	return 0;
}

static int64_t cgroup_memory; /* as last given to a pod's */

static _unused_ int cgroup(struct kubelet *k, const struct val *pod, bool create, struct err *err)
{
	struct cgroup_limits l;

	(void)k, (void)err;
	pod_cgroup_limits(pod, &l);
	if (create)
		cgroup_memory = l.memory_limit_bytes;
	return 0;
}

static _unused_ void machine(struct kubelet *k, struct arena *a, struct val *st)
{
	struct val *cap = val_new_map(a);

	(void)k;
	val_set_str_sv(a, cap, SV("cpu"), SV("4"));
	val_set_str_sv(a, cap, SV("memory"), SV("8Gi"));
	val_set_str_sv(a, cap, SV("pods"), SV("256"));
	val_set(a, st, F_capacity, cap);
	val_set(a, st, F_allocatable, cap);
}

/* One note is enough: of the container that stops. */
static char noted[256];

static _unused_ int note_put(struct kubelet *k, struct sv uid, const char *container, struct sv text, struct err *err)
{
	(void)k, (void)uid, (void)err;
	snprintf(noted, sizeof(noted), "%s %.*s", container, SV_ARG(text));
	return 0;
}

static _unused_ struct sv note_get(struct kubelet *k, struct arena *a, struct sv uid, const char *container)
{
	size_t n = strlen(container);

	(void)k, (void)uid;
	if (strncmp(noted, container, n) != 0 || noted[n] != ' ')
		return SV_NULL;
	return arena_sv(a, sv_from(noted + n + 1));
}

static int64_t emptydir_size;

static _unused_ int64_t emptydir_bytes(struct kubelet *k, const struct val *pod, struct sv volume)
{
	(void)k, (void)pod, (void)volume;
	return emptydir_size;
}

static bool have_apparmor;

static _unused_ bool apparmor(void)
{
	return have_apparmor;
}

static const char *no_volumes; /* the reason */

static _unused_ int setup_volumes(struct kubelet *k, const struct val *pod, struct err *err)
{
	(void)k, (void)pod;
	if (!no_volumes)
		return 0;
	(void)err_set(err, ERR_UNAVAILABLE, "no slot is free");
	err->reason_text = xstrdup(no_volumes);
	return -1;
}

static const struct kubelet_host host = {
	.apparmor = apparmor,
	.emptydir_bytes = emptydir_bytes,
	.make_pod_dirs = nothing,
	.setup_volumes = setup_volumes,
	.teardown_pod = no_teardown,
	.pod_cgroup = cgroup,
	.machine_info = machine,
	.note_put = note_put,
	.note_get = note_get,
};

static int hung; /* how often that was reported */

static _unused_ void runtime_hangs(void *ctx)
{
	(void)ctx;
	hung++;
}

/* What restricts connections, as the kubelet asks for it; on: refuses. */
static struct {
	bool on;
	int asked, gone;
	char last[128]; /* "name ip ip" */
} network;

static _unused_ int network_ready(void *ctx, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err)
{
	struct buf b = BUF_INIT;

	(void)ctx;
	network.asked++;
	buf_addsv(&b, obj_name(pod));
	for (size_t i = 0; i < n_ips; i++)
		buf_printf(&b, " %.*s", SV_ARG(ips[i]));
	snprintf(network.last, sizeof(network.last), "%s", buf_cstr(&b));
	buf_release(&b);
	return network.on ? err_set(err, ERR_UNAVAILABLE, "no rules yet") : 0;
}

static _unused_ void network_gone(void *ctx, struct obj *pod)
{
	(void)ctx, (void)pod;
	network.gone++;
}

static _unused_ void start_kubelet(struct world *w)
{
	static const char *const labels[] = { "node-role.kubernetes.io/control-plane=true", NULL };
	struct err err = ERR_INIT;

	w->k = kubelet_new(&(struct kubelet_opts){ .env = w->rig->env,
						   .client = w->client,
						   .runtime = w->rt,
						   .host = &host,
						   .node_name = "n1",
						   .node_ips = "192.0.2.1",
						   .cluster_dns = "10.43.0.10",
						   .node_labels = labels,
						   .runtime_hangs = runtime_hangs,
						   .runtime_ctx = w,
						   .network_ready = network_ready,
						   .network_gone = network_gone,
						   .network_ctx = w,
						   .port = -1 },
			   &err);
	if (!w->k)
		fail_msg("%s", err_msg(&err));
}

static _unused_ void restart_kubelet(struct world *w, int64_t away_ns)
{
	w->k = kubelet_free(w->k);
	rig_run(w->rig, away_ns);
	start_kubelet(w);
}

static _unused_ int setup(void **state)
{
	static const char *const groups[] = { "system:masters", NULL };
	struct world *w = calloc(1, sizeof(*w));
	void *rig = NULL;

	rig_setup(&rig);
	w->rig = rig;
	w->rt = runtime_fake_new(w->rig->env);
	w->client = apiserver_client(w->rig->server, "kubelet", "system:node:n1", groups);
	w->client->class = ENV_NODE;
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/serviceaccounts",
	       "{\"metadata\":{\"name\":\"default\"}}");
	*noted = '\0';
	have_apparmor = false;
	memset(&network, 0, sizeof(network));
	start_kubelet(w);
	rig_run(w->rig, 2 * NS_PER_SEC);
	*state = w;
	return 0;
}

static _unused_ int teardown(void **state)
{
	struct world *w = *state;
	void *rig = w->rig;

	w->k = kubelet_free(w->k);
	rig_run(w->rig, NS_PER_SEC);
	w->client = client_free(w->client);
	w->rt->ops->free(w->rt);
	rig_teardown(&rig);
	free(w);
	return 0;
}

static _unused_ const struct val *pod(struct world *w, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s", name);
	if (getenv("SHOW")) {
		struct answer *a = api(w->rig, "GET", path);

		fprintf(stderr, "%s\n", buf_cstr(&a->body));
		answer_free(a);
	}
	return expect(w->rig, 200, "GET", path, NULL);
}

static _unused_ void make(struct world *w, const char *name, const char *spec)
{
	char body[4096];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"n1\",%s}}", name, spec);
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/pods", body);
}

static _unused_ void gone(struct world *w, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s", name);
	expect_status(w->rig, 404, "NotFound", "not found", &(struct ask){ .method = "GET", .path = path });
}

static _unused_ const struct val *cond(const struct val *p, const char *type)
{
	VAL_EACH(val_get(p, F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return val_member(c, F_status);
	return NULL;
}

static _unused_ const struct val *cs(const struct val *p, size_t i)
{
	return val_at(val_get(p, F_status, F_containerStatuses), i);
}

static _unused_ struct sv uid_of(const struct val *p)
{
	return val_get_str(p, F_metadata, F_uid);
}

#define phase(p) val_get((p), F_status, F_phase)

/* How often events of this reason and message were told about this pod. */
static _unused_ int64_t events(struct world *w, const char *name, const char *reason, const char *message)
{
	int64_t n = 0;

	rig_run(w->rig, NS_PER_SEC); /* they are written beside the work */
	VAL_EACH(val_member(expect(w->rig, 200, "GET", "/api/v1/events", NULL), F_items), e) {
		if (getenv("SHOW"))
			fprintf(stderr, "event %.*s %.*s: %.*s\n", SV_ARG(val_get_str(e, F_involvedObject, F_name)),
				SV_ARG(val_get_str(e, F_reason)), SV_ARG(val_get_str(e, F_message)));
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_member(e, F_reason), reason) &&
		    val_is(val_member(e, F_message), message))
			n += val_get_int(e, 1, F_count);
	}
	return n;
}
