/* toy_versions.h - a kind in three versions that say the same in different words, as the versions of
 * HorizontalPodAutoscaler do: v1 has one metric and hides the others in an annotation, v2 has a list of them. v1 is
 * stored, v2 the hub, v1beta1 known and not served. */
#pragma once

#include "unit.h"

#include "apiserver/versions.h"
#include "codec/json.h"

#include <stdio.h>

#define TOY_SPEC(members) \
	"{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{" members "}}," TOY_STATUS
#define TOY_STATUS "\"status\":{\"type\":\"object\",\"properties\":{\"sizeNow\":{\"type\":\"integer\"}}}}}"
#define TOY_METRICS "example.com/metrics"
#define TOY_INT(name) "\"" name "\":{\"type\":\"integer\"}"

static const struct toy_version {
	const char *version, *schema;
	const char *min, *max;
	bool unserved;
} toy_versions[] = {
	{ "v1", TOY_SPEC(TOY_INT("minSize") "," TOY_INT("maxSize") "," TOY_INT("targetCpu")), "minSize", "maxSize",
	  false },
	{ "v2",
	  TOY_SPEC(TOY_INT("min") "," TOY_INT("max") ",\"metrics\":{\"type\":\"array\",\"x-kubernetes-list-type\":"
						     "\"map\",\"x-kubernetes-list-map-keys\":[\"metricName\"],"
						     "\"items\":{\"type\":\"object\",\"required\":[\"metricName\"],"
						     "\"properties\":{\"metricName\":{\"type\":\"string\"}," TOY_INT(
							 "target") "}}}"),
	  "min", "max", false },
	{ "v1beta1", TOY_SPEC(TOY_INT("minSize") "," TOY_INT("size") "," TOY_INT("targetCpu")), "minSize", "size",
	  true },
};

static inline const struct toy_version *toy_version_of(const struct resource *r)
{
	for (size_t i = 0; i < ARRAY_LEN(toy_versions); i++)
		if (!strcmp(toy_versions[i].version, r->version))
			return &toy_versions[i];
	fail();
	return NULL;
}

static inline struct api_kind *toy_kind_named(const char *plural, const char *kind)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_kind *k = NULL;

	for (size_t i = 0; i < ARRAY_LEN(toy_versions); i++) {
		struct api_kind_def d = { .group = "example.com",
					  .version = toy_versions[i].version,
					  .plural = plural,
					  .kind = kind,
					  .namespaced = true,
					  .status = true,
					  .unserved = toy_versions[i].unserved,
					  .schema = json_decode(&a, sv_from(toy_versions[i].schema), NULL, NULL) };

		assert_non_null(d.schema);
		if (k)
			assert_non_null(api_kind_add_version(k, &d, NULL));
		else
			k = api_kind_new(&d, NULL);
	}
	assert_non_null(k);
	return k;
}

static inline struct api_kind *toy_kind(void)
{
	return toy_kind_named("scalers", "Scaler");
}

static inline void toy_take(struct arena *a, struct val *to, const char *as, const struct val *from, const char *is)
{
	const struct val *v = val_member_sv(from, sv_from(is));

	if (v)
		val_set_sv(a, to, sv_from(as), v);
}

/* The metrics of v1: its own, and those of the annotation, which goes. */
static inline struct val *toy_metrics(struct arena *a, const struct val *spec, struct val *annotations)
{
	const struct val *hidden = val_member_sv(annotations, SV(TOY_METRICS));
	struct val *list = val_new_list(a), *one;

	if (val_member_sv(spec, SV("targetCpu"))) {
		one = val_new_map(a);
		val_set_str_sv(a, one, SV("metricName"), SV("cpu"));
		toy_take(a, one, "target", spec, "targetCpu");
		val_push(a, list, one);
	}
	hidden = hidden ? json_decode(a, val_str(hidden), NULL, NULL) : NULL;
	VAL_EACH(hidden, m)
		val_push(a, list, m);
	(void)val_del_sv(annotations, SV(TOY_METRICS));
	return list;
}

static inline void toy_hide(struct arena *a, const struct val *metrics, struct val *spec, struct val *annotations)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *rest = val_new_list(a);

	VAL_EACH(metrics, m) {
		if (val_is(val_member_sv(m, SV("metricName")), "cpu"))
			toy_take(a, spec, "targetCpu", m, "target");
		else
			val_push(a, rest, m);
	}
	if (!val_len(rest))
		return;
	json_encode(&b, rest);
	val_set_str_sv(a, annotations, SV(TOY_METRICS), buf_sv(&b));
}

static inline struct val *toy_convert(struct arena *a, const struct val *doc, const struct resource *from,
				      const struct resource *to)
{
	const struct toy_version *f = toy_version_of(from), *t = toy_version_of(to);
	const struct val *spec = val_member(doc, F_spec);
	struct val *out = val_clone(a, doc), *s = val_new_map(a), *meta = val_ensure_map(a, out, F_metadata);
	struct val *notes = val_clone(a, val_member(meta, F_annotations));
	char av[64];

	notes = notes ? notes : val_new_map(a);
	val_set_cstr(a, out, F_apiVersion, resource_api_version(to, av, sizeof(av)));
	toy_take(a, s, t->min, spec, f->min);
	toy_take(a, s, t->max, spec, f->max);
	if (!strcmp(to->version, "v2"))
		val_set_sv(a, s, SV("metrics"), toy_metrics(a, spec, notes));
	else
		toy_hide(a, val_member_sv(spec, SV("metrics")), s, notes);
	val_del(val_member_mut(out, F_metadata), F_annotations);
	if (val_len(notes))
		val_set(a, val_member_mut(out, F_metadata), F_annotations, notes);
	if (spec)
		val_set(a, out, F_spec, s);
	return out;
}
