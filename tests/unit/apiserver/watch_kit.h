/* watch_kit.h - ConfigMaps, and those who watch them; shared by tests of watches. */
#pragma once

#include "harness.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"

static _unused_ void put(struct rig *r, const char *name, const char *label, const char *value)
{
	char body[256], path[128];
	struct answer *got;

	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%s\"}},\"data\":{\"k\":\"%s\"}}", name,
		       label, value);
	(void)snprintf(path, sizeof(path), CM "/%s", name);
	got = api(r, "GET", path);
	if (got->code == 200)
		expect(r, 200, "PUT", path, body);
	else
		expect(r, 201, "POST", CM, body);
	answer_free(got);
	rig_run(r, 0);
}

static _unused_ void assert_event(struct answer *a, size_t n, const char *type, const char *name)
{
	const struct val *e = stream_line(a, n);

	assert_non_null(e);
	assert_val(val_get(e, F_type), type);
	assert_val(val_get(e, F_object, F_metadata, F_name), name);
	assert_val(val_get(e, F_object, F_kind), "ConfigMap");
}

static _unused_ struct answer *watch(struct rig *r, const char *query)
{
	struct answer *a;
	char path[256];

	(void)snprintf(path, sizeof(path), CM "?watch=true%s", query);
	a = api(r, "GET", path);
	assert_true(a->streaming);
	return a;
}

static _unused_ struct answer *watch_from(struct rig *r, int64_t rev, const char *query)
{
	char all[160];

	(void)snprintf(all, sizeof(all), "&resourceVersion=%" PRId64 "%s", rev, query);
	return watch(r, all);
}
