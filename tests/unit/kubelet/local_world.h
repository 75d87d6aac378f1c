/* local_world.h - a cluster whose claims are of the class local-path: API server, controllers, scheduler and the
 * provisioners of two nodes, each with the rights it has in life. */
#pragma once

#include "../controllers/real.h"

#include "kubelet/local/local_machine.h"
#include "kubelet/local_path.h"
#include "object/annotation.h"
#include "scheduler/scheduler.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define PODS "/api/v1/namespaces/default/pods"
#define PVS "/api/v1/persistentvolumes"

/* --- a machine with quotas, or with nothing --- */

static bool has_quota, cannot_grow;
static uint32_t project;
static int64_t limit;

static _unused_ bool fake_quota_there(int dir)
{
	(void)dir;
	return has_quota;
}

static _unused_ uint32_t fake_project_of(int dir)
{
	(void)dir;
	return project;
}

static _unused_ bool fake_project_used(int dir, uint32_t p)
{
	(void)dir;
	(void)p;
	return false;
}

static _unused_ int fake_project_set(int dir, uint32_t p, struct err *err)
{
	(void)dir;
	(void)err;
	project = p;
	return 0;
}

static _unused_ int fake_project_limit(int dir, uint32_t p, int64_t bytes, struct err *err)
{
	(void)dir;
	(void)p;
	if (cannot_grow && bytes > limit)
		return err_set(err, ERR_FORBIDDEN, "not now");
	limit = bytes;
	return 0;
}

static _unused_ int fake_image_possible(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "there is no mkfs.ext4");
}

static _unused_ int fake_freeze(int file, const char *at, struct err *err)
{
	(void)file;
	(void)at;
	(void)err;
	return 0;
}

static _unused_ int fake_device_drop(int file, struct err *err)
{
	(void)file;
	(void)err;
	return 0;
}

static const struct local_machine machine = { .quota_there = fake_quota_there,
					      .project_of = fake_project_of,
					      .project_used = fake_project_used,
					      .project_set = fake_project_set,
					      .project_limit = fake_project_limit,
					      .image_possible = fake_image_possible,
					      .freeze = fake_freeze,
					      .device_drop = fake_device_drop };

struct world {
	struct cluster k;
	struct client *sched_client, *client;
	struct scheduler *sched;
	struct local_path *nodes[2];
	char dir[32];
};

static _unused_ struct local_path *provisioner(struct world *w, const char *node)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *dir = xasprintf("%s/%s", w->dir, node);
	struct local_path *l = local_path_start(
	    &(struct local_path_opts){
		.env = w->k.rig->env, .client = w->client, .node_name = node, .dir = dir, .machine = &machine },
	    &err);

	if (!l)
		fail_msg("%s", err_msg(&err));
	return l;
}

static _unused_ struct world begin(void **state)
{
	struct world w = { .k = cluster_start(state), .dir = "/tmp/caravel-test-XXXXXX" };
	struct rig *r = w.k.rig;

	has_quota = cannot_grow = false;
	project = 0;
	limit = 0;
	assert_non_null(mkdtemp(w.dir));
	for (int i = 1; i <= 2; i++) {
		const char *path = arena_printf(&r->arena, "/api/v1/nodes/n%d", i);

		if (i == 2)
			expect(r, 201, "POST", "/api/v1/nodes",
			       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n2\"}}");
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
			    arena_printf(&r->arena,
					 "{\"metadata\":{\"labels\":{\"kubernetes.io/hostname\":\"n%d\"}},"
					 "\"spec\":{\"taints\":null}}",
					 i));
		expect_type(r, 200, "PATCH", arena_printf(&r->arena, "%s/status", path), "application/merge-patch+json",
			    "{\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},"
			    "\"conditions\":[{\"type\":"
			    "\"Ready\",\"status\":\"True\"}]}}");
	}
	w.client = apiserver_client_account(r->server, "local-path-provisioner", "local-path-provisioner");
	w.sched_client = apiserver_client(r->server, "kube-scheduler", "system:kube-scheduler", NULL);
	w.sched = scheduler_new(&(struct scheduler_opts){ .env = r->env, .client = w.sched_client });
	w.nodes[0] = provisioner(&w, "n1");
	w.nodes[1] = provisioner(&w, "n2");
	rig_run(r, 2 * NS_PER_SEC);
	return w;
}

static _unused_ void end(struct world *w)
{
	local_path_stop(w->nodes[0]);
	local_path_stop(w->nodes[1]);
	scheduler_free(w->sched);
	client_free(w->sched_client);
	cluster_finish(&w->k);
	client_free(w->client);
	for (int i = 1; i <= 2; i++)
		(void)rmdir(arena_printf(&w->k.rig->arena, "%s/n%d", w->dir, i));
	assert_int_equal(rmdir(w->dir), 0);
}

static _unused_ void claim(struct rig *r, const char *name, const char *more)
{
	expect(r, 201, "POST", CLAIMS,
	       arena_printf(
		   &r->arena,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}%s}}",
		   name, more));
}

static _unused_ void pod(struct rig *r, const char *name, const char *pvc, const char *node)
{
	expect(r, 201, "POST", PODS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeSelector\":{\"kubernetes.io/"
			    "hostname\":\"%s\"},\"containers\""
			    ":[{\"name\":\"c\",\"image\":\"a\"}],\"volumes\":[{\"name\":\"d\","
			    "\"persistentVolumeClaim\":{\"claimName\":"
			    "\"%s\"}}]}}",
			    name, node, pvc));
}

/* The claim's volume and its directory; NULL: it has none. */
static _unused_ const char *directory(struct rig *r, const char *pvc)
{
	const struct val *c = expect(r, 200, "GET", arena_printf(&r->arena, CLAIMS "/%s", pvc), NULL), *v;

	if (!val_is(val_get(c, F_status, F_phase), "Bound"))
		return NULL;
	v = expect(r, 200, "GET", arena_printf(&r->arena, PVS "/%.*s", SV_ARG(val_get_str(c, F_spec, F_volumeName))),
		   NULL);
	return arena_cstr(&r->arena, val_get_str(v, F_spec, F_hostPath, F_path));
}

static _unused_ size_t volumes(struct rig *r)
{
	return val_len(val_get(expect(r, 200, "GET", PVS, NULL), F_items));
}

static _unused_ void gone(struct rig *r, const char *path)
{
	expect(r, 200, "DELETE", path, NULL);
}
