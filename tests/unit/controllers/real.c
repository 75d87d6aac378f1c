/* See real.h. */
#include "real.h"

#include "controllers/podutil.h"
#include "controllers/status.h"

/* The node a daemon's pod is made for; n1 for all others. */
static struct sv asked_node(const struct obj *pod)
{
	const struct val *terms = obj_get(pod, F_spec, F_affinity, F_nodeAffinity,
					  F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);
	const struct val *field = val_at(val_member(val_at(terms, 0), F_matchFields), 0);

	return field ? val_str(val_at(val_member(field, F_values), 0)) : SV("n1");
}

static void ended(struct arena *a, struct val *st, const struct obj *pod, int code, int64_t now)
{
	struct val *list = val_set_list(a, st, F_containerStatuses);

	VAL_EACH(obj_get(pod, F_spec, F_containers), c) {
		struct val *one = val_push(a, list, val_new_map(a)), *state = val_set_map(a, one, F_state);
		struct val *end = val_set_map(a, state, F_terminated);

		val_set_str(a, one, F_name, val_get_str(c, F_name));
		val_set_cstr(a, one, F_image, "a");
		val_set_cstr(a, one, F_imageID, "a");
		val_set_bool(a, one, F_ready, false);
		val_set_int(a, one, F_restartCount, 0);
		val_set_int(a, end, F_exitCode, code);
		val_set_str(a, end, F_finishedAt, time_text(a, now));
	}
}

static void kubelet(struct cluster *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client *c = k->rig->client;

	assert_int_equal(client_list(c, RES(core_pods), SV(""), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++) {
		struct obj *pod = l.items[i];
		struct val *doc, *st;
		int code;

		if (obj_deleting(pod)) {
			struct client_delete_opts o = { .grace_seconds = 0 };

			assert_int_equal(client_delete(c, RES(core_pods), obj_ns(pod), obj_name(pod), &o, NULL), 0);
			continue;
		}
		if (pod_is_ready(pod) || pod_is_terminal(pod) || obj_get(pod, F_spec, F_schedulingGates) ||
		    (k->ill && k->ill(pod)))
			continue;
		if (!val_str(obj_get(pod, F_spec, F_nodeName)).n) {
			struct val *bind = val_new_map(&a), *meta = val_set_map(&a, bind, F_metadata), *to;

			val_set_str(&a, meta, F_name, obj_name(pod));
			val_set_cstr(&a, bind, F_apiVersion, "v1");
			val_set_cstr(&a, bind, F_kind, "Binding");
			to = val_set_map(&a, bind, F_target);
			val_set_cstr(&a, to, F_kind, "Node");
			val_set_str(&a, to, F_name, asked_node(pod));
			if (client_create_sub(c, RES(core_pods), obj_ns(pod), obj_name(pod), "binding", bind, NULL,
					      &err) < 0)
				fail_msg("binding: %s", err_msg(&err));
			continue;
		}
		doc = obj_edit(&a, pod);
		st = val_ensure_map(&a, doc, F_status);
		code = k->end ? k->end(pod) : k->hold ? -1 : k->fail;
		if (val_is(obj_get(pod, F_spec, F_restartPolicy), "Never") && code >= 0) {
			val_set_cstr(&a, st, F_phase, code ? "Failed" : "Succeeded");
			ended(&a, st, pod, code, env_now_ns(k->rig->env));
		} else {
			val_set_cstr(&a, st, F_phase, "Running");
			val_set_str(&a, st, F_startTime, time_text(&a, env_now_ns(k->rig->env)));
			val_set_strf(&a, st, F_podIP, "10.42.0.%d", (int)(obj_rev(pod) % 250) + 1);
			condition_set(&a, st, &(struct condition){ .type = "Ready", .status = "True", .reason = "" },
				      env_now_ns(k->rig->env));
		}
		if (client_update_status(c, RES(core_pods), doc, NULL, &err) < 0)
			fail_msg("status: %s", err_msg(&err));
	}
}

static void heartbeat(struct cluster *k)
{
	struct rig *r = k->rig;

	expect_type(r, 200, "PATCH", "/api/v1/nodes/n1/status", "application/merge-patch+json",
		    arena_printf(&r->arena,
				 "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"\","
				 "\"lastHeartbeatTime\":\"%.*s\"}]}}",
				 SV_ARG(time_text(&r->arena, env_now_ns(r->env)))));
}

void cluster_run(struct cluster *k, int seconds)
{
	for (int i = 0; i < seconds * 5; i++) {
		if (k->beat && env_now_ns(k->rig->env) >= k->next_beat_ns) {
			k->next_beat_ns = env_now_ns(k->rig->env) + 10 * NS_PER_SEC;
			heartbeat(k);
		}
		rig_run(k->rig, 200 * NS_PER_MS);
		kubelet(k);
	}
}

static struct cluster cluster_running; /* what a failed assertion leaves running */

static void cluster_end(void)
{
	struct cluster k = cluster_running;

	rig_unfinished = NULL;
	controllers_free(k.c);
	rig_run(k.rig, NS_PER_SEC);
	client_free(k.client);
}

void (*cluster_client)(struct client *c, const char *account);
bool cluster_snapshots;

static struct client *client_as(void *ctx, const char *account)
{
	struct client *c = apiserver_client_account(((struct rig *)ctx)->server, "kube-controller-manager", account);

	if (cluster_client)
		cluster_client(c, account);
	return c;
}

struct cluster cluster_start_again(void **state)
{
	struct cluster k = { .rig = *state };

	k.client = apiserver_client(k.rig->server, "kube-controller-manager", "system:kube-controller-manager", NULL);
	k.c = controllers_new(&(struct controllers_opts){
	    .env = k.rig->env,
	    .client = k.client,
	    .client_as = client_as,
	    .client_ctx = k.rig,
	    .kinds = apiserver_kinds(k.rig->server),
	    .empty_foreign = apiserver_empty_foreign,
	    .kinds_foreign = apiserver_kinds_foreign,
	    .ask_foreign = apiserver_ask_foreign,
	    .forget_foreign = apiserver_forget_foreign,
	    .foreign_ctx = k.rig->server,
	    .no_gateway = true, /* six kinds that no test is about */
	    .no_snapshots = !cluster_snapshots,
	    .cluster_cidr = "10.42.0.0/16",
	    .service_cidr = k.rig->service_cidr,
	    .root_ca_pem = apiserver_ca_pem(k.rig->server).n ? apiserver_ca_pem(k.rig->server) : SV("PEM"),
	    .signing_ca_pem = apiserver_ca_pem(k.rig->server),
	    .signing_key_pem = apiserver_ca_key_pem(k.rig->server),
	    .server_cert_pem = apiserver_cert_pem(k.rig->server),
	    .token_key_pem = apiserver_token_key_pem(k.rig->server) });
	cluster_running = k;
	rig_unfinished = cluster_end;
	rig_run(k.rig, NS_PER_SEC);
	assert_true(controllers_synced(k.c));
	return k;
}

struct cluster cluster_start(void **state)
{
	struct cluster k = cluster_start_again(state);

	expect(k.rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	rig_run(k.rig, NS_PER_SEC);
	return k;
}

void cluster_finish(struct cluster *k)
{
	cluster_running = *k;
	cluster_end();
}
