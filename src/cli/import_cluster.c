/* `caravel import --from-kubeconfig`: what a running cluster has is created in another one, through both their APIs. */
#include "base/strmap.h"
#include "base/vec.h"
#include "cli/agent.h"
#include "cli/api_way.h"
#include "cli/import.h"
#include "cli/import_read.h"
#include "cli/import_rules.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DOCUMENT_MAX ((size_t)64 << 20) /* a page of objects */
#define PAGE "500"
#define ESTABLISHED_TRIES 30 /* of a second */
#define TOLD_MAX 200	     /* failures that are told one by one */

/* One kind that is served there. */
struct cluster_resource {
	struct sv group, version, plural, kind;
	int rank;
	size_t order; /* as it was found */
};

struct cluster {
	struct api_way from, to;
	struct arena a; /* of resources */
	VEC(struct cluster_resource) resources;
	struct strmap seen;  /* group/plural */
	struct strmap left;  /* why: how many, as (void *)n */
	struct strmap finds; /* namespace/name of Services with a selector */
	bool own_namespaces; /* kube-system and so on, too */
	size_t made, there, failed;
};

static int cluster_get(struct api_way *w, struct arena *a, const char *target, struct http_response *ret,
		       struct err *err)
{
	return api_way_call(w, a, "GET", target, SV(""), DOCUMENT_MAX, ret, err);
}

static void cluster_pause(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static struct val *cluster_read(struct api_way *w, struct arena *a, const char *target, const char *field,
				int *ret_absent, struct err *err)
{
	const struct import_reader r = { w, cluster_get, cluster_pause };

	return import_read_list(&r, a, target, field, ret_absent, err);
}

static bool has_verb(const struct val *verbs, const char *verb)
{
	VAL_EACH(verbs, v)
		if (val_is(v, verb))
			return true;
	return false;
}

/* The kinds of one group version, those that an earlier version of the group did not have. */
static int find_in_version(struct cluster *c, struct sv group, struct sv version, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *target = group.n ? arena_printf(&a, "/apis/%.*s/%.*s", SV_ARG(group), SV_ARG(version))
				     : arena_printf(&a, "/api/%.*s", SV_ARG(version));
	/* Groups without a dot are the server's own, and are there when it is. */
	bool maybe = sv_find(group, '.') >= 0;
	int absent = 0;
	const struct val *list = cluster_read(&c->from, &a, target, "resources", maybe ? &absent : NULL, err);

	if (absent) {
		cli_print("left out: all of %.*s/%.*s, of which the cluster says %d\n", SV_ARG(group), SV_ARG(version),
			  absent);
		return 0;
	}
	if (!list)
		return -1;
	VAL_EACH(val_member_sv(list, SV("resources")), r) {
		const struct val *verbs = val_member_sv(r, SV("verbs"));
		struct sv name = val_str(val_member_sv(r, SV("name")));
		struct sv key = arena_svf(&c->a, "%.*s/%.*s", SV_ARG(group), SV_ARG(name));
		struct cluster_resource one = { .rank = import_rank(group, name), .order = c->resources.n };

		if (sv_find(name, '/') >= 0 || !has_verb(verbs, "list") || !has_verb(verbs, "create") ||
		    strmap_get(&c->seen, key))
			continue;
		strmap_set(&c->seen, key, c);
		one.group = arena_sv(&c->a, group);
		one.version = arena_sv(&c->a, version);
		one.plural = arena_sv(&c->a, name);
		one.kind = arena_sv(&c->a, val_str(val_member_sv(r, SV("kind"))));
		vec_push(&c->resources, one);
	}
	return 0;
}

static int find_in_group(struct cluster *c, const struct val *g, struct err *err)
{
	struct sv group = val_str(val_member_sv(g, SV("name")));
	struct sv preferred = val_str(val_member_sv(val_member_sv(g, SV("preferredVersion")), SV("version")));

	if (preferred.n && find_in_version(c, group, preferred, err) < 0)
		return -1;
	VAL_EACH(val_member_sv(g, SV("versions")), v) {
		struct sv version = val_str(val_member_sv(v, SV("version")));

		if (!sv_eq(version, preferred) && find_in_version(c, group, version, err) < 0)
			return -1;
	}
	return 0;
}

static int resource_order(const void *x, const void *y)
{
	const struct cluster_resource *a = x, *b = y;

	return a->rank != b->rank ? a->rank - b->rank : a->order < b->order ? -1 : a->order > b->order;
}

static int find_resources(struct cluster *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *groups = cluster_read(&c->from, &a, "/apis", "groups", NULL, err);

	if (!groups || find_in_version(c, SV(""), SV("v1"), err) < 0)
		return -1;
	VAL_EACH(val_member_sv(groups, SV("groups")), g)
		if (find_in_group(c, g, err) < 0)
			return -1;
	if (!c->resources.n)
		return err_set(err, ERR_NOT_FOUND, "%s shows nothing that could be taken", c->from.what);
	qsort(c->resources.p, c->resources.n, sizeof(c->resources.p[0]), resource_order);
	return 0;
}

/* --- objects --- */

static const char *resource_path(struct arena *a, const struct cluster_resource *r, struct sv ns)
{
	const char *root = r->group.n ? arena_printf(a, "/apis/%.*s/%.*s", SV_ARG(r->group), SV_ARG(r->version))
				      : arena_printf(a, "/api/%.*s", SV_ARG(r->version));

	return ns.n ? arena_printf(a, "%s/namespaces/%.*s/%.*s", root, SV_ARG(ns), SV_ARG(r->plural))
		    : arena_printf(a, "%s/%.*s", root, SV_ARG(r->plural));
}

static void count_left(struct cluster *c, const char *why)
{
	uintptr_t n = (uintptr_t)strmap_get(&c->left, sv_from(why));

	strmap_set(&c->left, sv_from(why), (void *)(n + 1));
}

static void import_tell(struct cluster *c, const struct cluster_resource *r, struct sv ns, struct sv name,
			const char *what)
{
	if (c->failed > TOLD_MAX)
		return;
	cli_print("%.*s %.*s%s%.*s: %s\n", SV_ARG(r->plural), SV_ARG(ns), ns.n ? "/" : "", SV_ARG(name), what);
}

static int post(struct cluster *c, struct arena *a, const char *path, const struct val *o, struct http_response *ret,
		struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, o);
	return api_way_call(&c->to, a, "POST", path, buf_sv(&b), DOCUMENT_MAX, ret, err);
}

/* An address of the old cluster's range may be none here, or somebody else's; a port, too. */
static bool without_address(struct val *o)
{
	struct val *spec = val_member_sv_mut(o, SV("spec"));

	if (!spec || val_is(val_member_sv(spec, SV("clusterIP")), "None"))
		return false;
	(void)val_del_sv(spec, SV("clusterIP"));
	(void)val_del_sv(spec, SV("clusterIPs"));
	(void)val_del_sv(spec, SV("healthCheckNodePort"));
	return true;
}

static void without_ports(struct val *o)
{
	struct val *ports = val_member_sv_mut(val_member_sv_mut(o, SV("spec")), SV("ports"));

	for (size_t i = 0; i < val_len(ports); i++)
		(void)val_del_sv(val_at_mut(ports, i), SV("nodePort"));
}

/* Refused for what it asks for, which may be because it is there itself and has it: then that is what counts. */
static int is_there(struct cluster *c, struct arena *a, const char *path, struct sv name, struct http_response *ret,
		    struct err *err)
{
	struct http_response there;

	if (api_way_call(&c->to, a, "GET", arena_printf(a, "%s/%.*s", path, SV_ARG(name)), SV(""), DOCUMENT_MAX, &there,
			 err) < 0)
		return -1;
	if (there.status == 200)
		ret->status = 409;
	return 0;
}

/* A Service that is refused, as others have what it asks for. */
static int post_service(struct cluster *c, struct arena *a, const char *path, struct val *o, const char **ret_told,
			struct http_response *ret, struct err *err)
{
	if (!without_address(o))
		return 0;
	*ret_told = "has another cluster IP";
	if (post(c, a, path, o, ret, err) < 0)
		return -1;
	if (ret->status != 422)
		return 0;
	without_ports(o);
	*ret_told = "has another cluster IP, and other ports of nodes";
	return post(c, a, path, o, ret, err);
}

static int take_one(struct cluster *c, struct arena *a, const struct cluster_resource *r, struct val *o,
		    struct err *err)
{
	const struct val *meta = val_member_sv(o, SV("metadata"));
	struct sv ns = arena_sv(a, val_str(val_member_sv(meta, SV("namespace"))));
	struct sv name = arena_sv(a, val_str(val_member_sv(meta, SV("name"))));
	const char *path = resource_path(a, r, ns), *left = import_left_out(r->group, r->plural, o), *told = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct http_response answer;

	if (import_selects(r->group, r->plural, o))
		strmap_set(&c->finds, arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name)), c);
	if (!left && !r->group.n && sv_is(r->plural, "endpoints") &&
	    strmap_get(&c->finds, arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name))))
		left = IMPORT_FOUND;
	if (!left && !c->own_namespaces && import_own_namespace(ns))
		left = "in kube-system, kube-public and kube-node-lease (--with-kube-system takes them)";
	if (left) {
		count_left(c, left);
		return 0;
	}
	import_prepare(a, r->group, r->plural, o);
	/* A list leaves these out of its items. */
	val_set_sv(a, o, SV("apiVersion"),
		   val_new_strf(a, r->group.n ? "%.*s/%.*s" : "%.*s%.*s", SV_ARG(r->group), SV_ARG(r->version)));
	val_set_str_sv(a, o, SV("kind"), r->kind);
	if (post(c, a, path, o, &answer, err) < 0)
		return -1;
	if (answer.status >= 400 && answer.status != 409 && is_there(c, a, path, name, &answer, err) < 0)
		return -1;
	if (answer.status == 422 && !r->group.n && sv_is(r->plural, "services") &&
	    post_service(c, a, path, o, &told, &answer, err) < 0)
		return -1;
	if (told && answer.status == 201)
		import_tell(c, r, ns, name, told);
	if (answer.status == 201) {
		c->made++;
	} else if (answer.status == 409) {
		c->there++;
	} else {
		c->failed++;
		(void)api_way_refused(&c->to, &answer, &why);
		import_tell(c, r, ns, name, err_msg(&why));
	}
	return 0;
}

static int take_resource(struct cluster *c, const struct cluster_resource *r, struct err *err)
{
	_cleanup_free_ char *next = xstrdup("");

	do {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *target = arena_printf(&a, "%s?limit=" PAGE "%s%s", resource_path(&a, r, SV("")),
						  *next ? "&continue=" : "", next);
		struct val *list = cluster_read(&c->from, &a, target, "items", NULL, err), *items;

		if (!list)
			return err_wrap(err, "%.*s", SV_ARG(r->plural));
		items = val_member_sv_mut(list, SV("items"));
		for (size_t i = 0; i < val_len(items); i++)
			if (take_one(c, &a, r, val_at_mut(items, i), err) < 0)
				return -1;
		free(next);
		next = xstrdup(
		    arena_cstr(&a, val_str(val_member_sv(val_member_sv(list, SV("metadata")), SV("continue")))));
	} while (*next);
	return 0;
}

/* None of them is taken, which is told with their number. What cannot be counted is told, too. */
static void count_resource(struct cluster *c, const struct cluster_resource *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *target = arena_printf(&a, "%s?limit=1", resource_path(&a, r, SV("")));
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *list = cluster_read(&c->from, &a, target, "items", NULL, &why);
	const struct val *meta = val_member_sv(list, SV("metadata"));
	size_t n = val_len(val_member_sv(list, SV("items")));
	int64_t more = val_int_or(val_member_sv(meta, SV("remainingItemCount")), 0);

	if (!list)
		cli_print("left out: all %.*s, which cannot be counted: %s\n", SV_ARG(r->plural), err_msg(&why));
	else if (n)
		strmap_set(&c->left, arena_svf(&a, "%.*s, as each cluster has its own or none", SV_ARG(r->plural)),
			   (void *)(uintptr_t)(n + (size_t)MAX(more, 0)));
}

/* Definitions count a moment after they were made. */
static int wait_established(struct cluster *c, struct err *err)
{
	static const char path[] = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

	for (int i = 0; i < ESTABLISHED_TRIES; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct val *list = cluster_read(&c->to, &a, path, "items", NULL, err);
		struct http_response r;
		bool all = true;

		if (!list)
			return -1;
		VAL_EACH(val_member_sv(list, SV("items")), d) {
			bool good = false;

			VAL_EACH(val_member_sv(val_member_sv(d, SV("status")), SV("conditions")), k)
				good |= val_is(val_member_sv(k, SV("type")), "Established") &&
					val_is(val_member_sv(k, SV("status")), "True");
			all &= good;
		}
		if (all)
			return 0;
		/* A watch that lasts a second is how to wait for one. */
		if (api_way_call(&c->to, &a, "GET", arena_printf(&a, "%s?watch=1&timeoutSeconds=1", path), SV(""),
				 DOCUMENT_MAX, &r, err) < 0)
			return -1;
	}
	return 0; /* what needs the others will say so */
}

static int take_all(struct cluster *c, struct err *err)
{
	int rank = 0;

	for (size_t i = 0; i < c->resources.n; i++) {
		const struct cluster_resource *r = &c->resources.p[i];

		if (rank <= 1 && r->rank > 1 && wait_established(c, err) < 0)
			return -1;
		rank = MAX(r->rank, 0);
		if (r->rank < 0)
			count_resource(c, r);
		else if (take_resource(c, r, err) < 0)
			return -1;
	}
	return 0;
}

static void cluster_told(struct cluster *c)
{
	printf("created %zu objects, %zu were there already, %zu could not be created\n", c->made, c->there, c->failed);
	STRMAP_EACH(&c->left, e)
		cli_print("left out: %zu %s\n", (size_t)(uintptr_t)e->value, e->key);
	printf("uids, owners and resource versions are new; what volumes hold is not copied\n");
}

int import_cluster(struct snapshot_cmd *c, const char *from, bool own_namespaces, struct err *err)
{
	struct cluster k = { .a = ARENA_INIT, .own_namespaces = own_namespaces };
	const char *to = snapshot_cmd_kubeconfig(c);
	int rc;

	if (!to)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "into which cluster? its server is to run, and --kubeconfig names an administrator's file");
	rc = api_way_open(&k.from, &c->arena, from, err);
	if (rc == 0)
		rc = api_way_open(&k.to, &c->arena, to, err);
	if (rc == 0 && strcmp(k.from.what, k.to.what) == 0)
		rc = err_set(err, ERR_INVALID, "both kubeconfigs lead to %s", k.to.what);
	if (rc == 0)
		rc = find_resources(&k, err);
	if (rc == 0)
		rc = take_all(&k, err);
	if (rc == 0)
		cluster_told(&k);
	if (rc == 0 && k.failed)
		rc = err_set(err, ERR_INVALID,
			     "%zu objects could not be created; what is above says why, and the same command "
			     "goes on where it is mended",
			     k.failed);
	api_way_release(&k.from);
	api_way_release(&k.to);
	vec_release(&k.resources);
	strmap_release(&k.seen);
	strmap_release(&k.left);
	strmap_release(&k.finds);
	arena_release(&k.a);
	return rc;
}
