/* kit.h - objects from short JSON, and a cache to put them in, for the scheduler's tests.
 *
 * JSON is written with ' for ", which no test needs inside a string.
 */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "scheduler/framework.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct kit {
	struct cache cache;
	struct arena arena;
	VEC(struct pod_info *) pods;
	struct cycle_state cs;
	size_t start;
};

static _unused_ struct obj *kit_obj(const char *fmt, ...)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\'')
			b.p[i] = '"';
	v = json_decode(&a, buf_sv(&b), NULL, NULL);
	assert_non_null(v);
	return obj_new(v, 0);
}

/* spec and status are members without braces: "'unschedulable':true". */
static _unused_ struct node_info *kit_node_full(struct kit *k, const char *name, const char *labels, const char *spec,
						const char *status)
{
	struct obj *o =
	    kit_obj("{'kind':'Node','metadata':{'name':'%s','uid':'%s','labels':{'kubernetes.io/hostname':'%s'%s%s}},"
		    "'spec':{%s},'status':{%s}}",
		    name, name, name, labels[0] ? "," : "", labels, spec, status);
	uint32_t ev;
	struct node_info *n = cache_set_node(&k->cache, o, &ev);

	obj_unref(o);
	return n;
}

#define ROOMY "'allocatable':{'cpu':'4','memory':'8Gi','pods':'110'}"

static _unused_ struct node_info *kit_node(struct kit *k, const char *name, const char *labels)
{
	return kit_node_full(k, name, labels, "", ROOMY);
}

/* node NULL: not placed. labels and spec are members without braces. */
static _unused_ struct pod_info *kit_pod_meta(struct kit *k, const char *node, const char *name, const char *meta,
					      const char *spec, const char *status)
{
	struct obj *o = kit_obj("{'kind':'Pod','metadata':{'name':'%s','namespace':'default','uid':'u-%s'%s%s},"
				"'spec':{%s},'status':{%s}}",
				name, name, meta[0] ? "," : "", meta, spec, status);
	struct pod_info *p = pod_info_new(&k->cache, o);

	obj_unref(o);
	if (node)
		cache_add_pod(&k->cache, p, sv_from(node));
	vec_push(&k->pods, p);
	return p;
}

static _unused_ struct pod_info *kit_pod(struct kit *k, const char *node, const char *name, const char *labels,
					 const char *spec)
{
	char meta[256];

	snprintf(meta, sizeof(meta), "'labels':{%s}", labels);
	return kit_pod_meta(k, node, name, meta, spec, "");
}

/* Runs one cycle for p; the chosen node's name, or "" with the message left in k->cs. */
static _unused_ const char *kit_find(struct kit *k, struct pod_info *p)
{
	struct node_info *n = NULL;

	arena_reset(&k->arena);
	if (cycle_begin(&k->cs, &k->cache, p, &k->arena) == SCHED_OK)
		n = cycle_find(&k->cs, &k->start);
	return n ? n->name : "";
}

static _unused_ void kit_refused(struct kit *k, struct pod_info *p, const char *message)
{
	assert_string_equal(kit_find(k, p), "");
	assert_sv(cycle_message(&k->cs), message);
}

static _unused_ void kit_remove(struct kit *k, struct pod_info *p)
{
	for (size_t i = 0; i < k->pods.n; i++)
		if (k->pods.p[i] == p) {
			vec_remove(&k->pods, i);
			break;
		}
	if (p->node)
		cache_remove_pod(&k->cache, p);
	pod_info_free(&k->cache, p);
}

static _unused_ int kit_setup(void **state)
{
	struct kit *k = xcalloc(1, sizeof(*k));

	cache_init(&k->cache);
	*state = k;
	return 0;
}

static _unused_ int kit_teardown(void **state)
{
	struct kit *k = *state;

	while (k->pods.n)
		kit_remove(k, k->pods.p[0]);
	vec_release(&k->pods);
	cache_release(&k->cache);
	arena_release(&k->arena);
	free(k);
	return 0;
}

#define KIT_TEST(fn) cmocka_unit_test_setup_teardown(fn, kit_setup, kit_teardown)
