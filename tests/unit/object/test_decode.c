#include "random_doc.h"
#include "unit.h"

#include "codec/json.h"
#include "object/decode.h"
#include "object/feature.h"

#include <stdlib.h>

/* Decodes text as a type; the JSON of the result or the error's message, arena-owned. */
static struct sv decoded(struct arena *a, const char *ref, const char *text, bool defaults,
			 struct decode_report *report)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct schema *s = schema_find(sv_from(ref));
	struct val *raw, *v;

	assert_non_null(s);
	raw = json_decode(a, sv_from(text), NULL, &err);
	if (!raw)
		fail_msg("%s: %s", text, err_msg(&err));
	v = decode_typed(a, s, raw, report, &err);
	if (!v) {
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		return arena_sv(a, sv_from(err_msg(&err)));
	}
	assert_int_equal(err.reason, ERR_NONE);
	if (defaults)
		default_typed(a, s, v);
	json_encode(&b, v);
	return arena_sv(a, buf_sv(&b));
}

#define assert_decodes(ref, text, want)                                      \
	do {                                                                 \
		_cleanup_(arena_release) struct arena a_ = ARENA_INIT;       \
		assert_sv(decoded(&a_, (ref), (text), false, NULL), (want)); \
	} while (0)

static void test_deployment(void **state)
{
	static const char text[] =
	    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"image\":\"nginx\",\"name\":\"web\",\"ports\":"
	    "[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"0.5\",\"memory\":\"1024Ki\"}}}]},"
	    "\"metadata\":{\"labels\":{\"app\":\"web\"}}},\"selector\":{\"matchLabels\":{\"app\":\"web\"}}},"
	    "\"metadata\":{\"name\":\"web\",\"annotations\":{},\"labels\":null},\"apiVersion\":\"apps/v1\",\"kind\":"
	    "\"Deployment\"}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	assert_sv(
	    decoded(&a, "apps/v1.Deployment", text, false, NULL),
	    "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"web\"},\"spec\":{"
	    "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}}"
	    ","
	    "\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"nginx\",\"ports\":[{\"containerPort\":80}],"
	    "\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Mi\"}}}]}},\"strategy\":{}},\"status\":{}}");
	assert_sv(
	    decoded(&a, "apps/v1.Deployment", text, true, NULL),
	    "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"web\"},\"spec\":{"
	    "\"replicas\":1,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":"
	    "{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"nginx\",\"ports\":[{"
	    "\"containerPort\":80,\"protocol\":\"TCP\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":"
	    "\"1Mi\"}}"
	    ",\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\"}],"
	    "\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\","
	    "\"securityContext\":{},\"schedulerName\":\"default-scheduler\"}},\"strategy\":{\"type\":"
	    "\"RollingUpdate\"},\"revisionHistoryLimit\":10,\"progressDeadlineSeconds\":600},\"status\":{}}");
}

/* What decoding writes of nothing and what is added to nothing are the same, for every type. */
static void test_zero_typed(void **state)
{
	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct schema *s = schema_all[i];
		struct val *want = decode_typed(&a, s, val_new_map(&a), NULL, &err), *got = val_new_map(&a);

		assert_non_null(want);
		zero_typed(&a, s, got);
		if (!val_equal(got, want))
			fail_msg("%s", s->ref);
	}
}

/* What is in order needs no look, and what was added to it since is found all the same: a member moved to the end is
 * neither taken for missing nor passed over with what it lacks. For every type, each member in turn. */
static void test_zero_ordered(void **state)
{
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		const struct schema *s = schema_all[i];
		size_t moved = 0, n = 1;

		for (; moved < n; moved++, tried++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			struct random_doc g = { .a = &a, .rng = 1 + i };
			struct val *doc = random_doc_of(&g, s, 7), *want, last;

			order_typed(&a, s, doc);
			n = doc->n;
			want = val_clone(&a, doc);
			if (moved < n && doc->items[moved].sym) {
				last = doc->items[moved];
				val_del(doc, (enum sym)last.sym);
				val_set(&a, doc, (enum sym)last.sym, &last);
			}
			zero_typed(&a, s, want);
			zero_ordered(&a, s, doc);
			if (!val_equal(doc, want))
				fail_msg("%s, member %zu", s->ref, moved);
		}
	}
	assert_true(tried > 2 * schema_count);
}

static void test_zero_values(void **state)
{
	(void)state;
	/* Without omitempty a zero is written: lists and maps as null, times as null. */
	assert_decodes("rbac.authorization.k8s.io/v1.Role", "{\"rules\":[]}", "{\"metadata\":{},\"rules\":null}");
	assert_decodes(
	    "core/v1.Event", "{\"eventTime\":null}",
	    "{\"metadata\":{},\"involvedObject\":{},\"source\":{},\"firstTimestamp\":null,\"lastTimestamp\":null,"
	    "\"eventTime\":null,\"reportingComponent\":\"\",\"reportingInstance\":\"\"}");
	/* A pointer keeps its zero; what is not one loses it. */
	assert_decodes("apps/v1.DeploymentSpec",
		       "{\"replicas\":0,\"minReadySeconds\":0,\"selector\":{},\"paused\":false}",
		       "{\"replicas\":0,\"selector\":{},\"template\":{\"metadata\":{},\"spec\":{\"containers\":null}},"
		       "\"strategy\":{}}");
	assert_decodes("core/v1.EmptyDirVolumeSource", "{\"medium\":\"\"}", "{}");
	assert_decodes("core/v1.ResourceFieldSelector", "{\"resource\":\"limits.cpu\"}",
		       "{\"resource\":\"limits.cpu\",\"divisor\":\"0\"}");
	assert_decodes("core/v1.ServicePort", "{\"port\":80}", "{\"port\":80,\"targetPort\":0}");
	assert_decodes("core/v1.ConfigMap", "{\"data\":{\"a\":null,\"name\":\"\"}}",
		       "{\"metadata\":{},\"data\":{\"a\":\"\",\"name\":\"\"}}");
	assert_decodes("core/v1.PodSpec", "{\"containers\":[null]}",
		       "{\"containers\":[{\"name\":\"\",\"resources\":{}}]}");
	assert_decodes("apps/v1.ControllerRevision", "{}", "{\"metadata\":{},\"data\":null,\"revision\":0}");
	/* An omitzero time and a Go zero time are no time. */
	assert_decodes("meta/v1.ObjectMeta", "{\"creationTimestamp\":null}", "{}");
	assert_decodes("meta/v1.ObjectMeta", "{\"creationTimestamp\":\"0001-01-01T00:00:00Z\"}", "{}");
	assert_decodes("meta/v1.ObjectMeta", "{\"creationTimestamp\":\"0001-01-01T00:00:01Z\"}",
		       "{\"creationTimestamp\":\"0001-01-01T00:00:01Z\"}");
	assert_decodes("meta/v1.ObjectMeta", "{\"deletionTimestamp\":\"9999-12-31T23:59:59Z\"}",
		       "{\"deletionTimestamp\":\"9999-12-31T23:59:59Z\"}");
}

static void test_scalars(void **state)
{
	(void)state;
	assert_decodes("meta/v1.ObjectMeta", "{\"creationTimestamp\":\"2026-01-02T05:04:05.9+02:00\"}",
		       "{\"creationTimestamp\":\"2026-01-02T03:04:05Z\"}");
	assert_decodes("coordination.k8s.io/v1.LeaseSpec", "{\"renewTime\":\"2026-01-02T05:04:05.000001+02:00\"}",
		       "{\"renewTime\":\"2026-01-02T03:04:05.000001Z\"}");
	assert_decodes("core/v1.Secret", "{\"data\":{\"k\":\"aGVs\\nbG8=\",\"e\":\"\"}}",
		       "{\"metadata\":{},\"data\":{\"k\":\"aGVsbG8=\",\"e\":\"\"}}");
	assert_decodes("core/v1.HTTPGetAction", "{\"port\":\"web\"}", "{\"port\":\"web\"}");
	assert_decodes("core/v1.HTTPGetAction", "{\"port\":8080}", "{\"port\":8080}");
	assert_decodes("core/v1.ResourceRequirements", "{\"limits\":{\"cpu\":2,\"memory\":\"0.5Gi\"}}",
		       "{\"limits\":{\"cpu\":\"2\",\"memory\":\"512Mi\"}}");
	/* finer than a thousandth only outside of resource lists */
	assert_decodes("core/v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"0.0001\"}}",
		       "{\"limits\":{\"cpu\":\"1m\"}}");
	assert_decodes("core/v1.EmptyDirVolumeSource", "{\"sizeLimit\":\"0.0001\"}", "{\"sizeLimit\":\"100u\"}");
	assert_decodes("authentication.k8s.io/v1.UserInfo", "{\"extra\":{\"a\":[\"b\",\"c\"]}}",
		       "{\"extra\":{\"a\":[\"b\",\"c\"]}}");
	assert_decodes("meta/v1.ManagedFieldsEntry", "{\"fieldsV1\":{\"f:a\":{\".\":{}}}}",
		       "{\"fieldsV1\":{\"f:a\":{\".\":{}}}}");
	assert_decodes("apiextensions.k8s.io/v1.JSONSchemaProps",
		       "{\"default\":{\"x\":[1,null]},\"items\":{\"anything\":1},\"maximum\":1.5}",
		       "{\"default\":{\"x\":[1,null]},\"maximum\":1.5,\"items\":{\"anything\":1}}");
}

static void test_type_errors(void **state)
{
#define DEPLOYMENT(msg) "Deployment in version \"v1\" cannot be handled as a Deployment: " msg
	static const struct {
		const char *ref, *text, *want;
	} rows[] = {
		{ "apps/v1.Deployment", "{\"spec\":{\"replicas\":\"3\"}}",
		  DEPLOYMENT("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type "
			     "int32") },
		{ "apps/v1.Deployment", "{\"spec\":{\"replicas\":1.5}}",
		  DEPLOYMENT(
		      "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type "
		      "int32") },
		{ "apps/v1.Deployment", "{\"spec\":{\"replicas\":4294967296}}",
		  DEPLOYMENT(
		      "json: cannot unmarshal number 4294967296 into Go struct field DeploymentSpec.spec.replicas of "
		      "type int32") },
		{ "apps/v1.Deployment", "{\"spec\":{\"template\":{\"spec\":{\"containers\":\"x\"}}}}",
		  DEPLOYMENT("json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers "
			     "of type "
			     "[]v1.Container") },
		{ "apps/v1.Deployment", "{\"spec\":{\"template\":{\"spec\":{\"containers\":[7]}}}}",
		  DEPLOYMENT("json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.containers "
			     "of type "
			     "v1.Container") },
		{ "apps/v1.Deployment", "{\"metadata\":{\"labels\":{\"a\":1}}}",
		  DEPLOYMENT(
		      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string") },
		{ "apps/v1.Deployment", "{\"metadata\":{\"labels\":[]}}",
		  DEPLOYMENT("json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type "
			     "map[string]string") },
		{ "apps/v1.Deployment", "{\"spec\":[]}",
		  DEPLOYMENT(
		      "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec") },
		{ "apps/v1.Deployment", "{\"spec\":{\"paused\":\"yes\"}}",
		  DEPLOYMENT(
		      "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool") },
		{ "apps/v1.Deployment", "[]",
		  DEPLOYMENT("json: cannot unmarshal array into Go value of type v1.Deployment") },
		{ "core/v1.Secret", "{\"data\":{\"k\":\"a\"}}",
		  "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 1" },
		{ "core/v1.Secret", "{\"data\":{\"k\":\"a=b=\"}}",
		  "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 1" },
		{ "core/v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"lots\"}}",
		  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'" },
		{ "core/v1.HTTPGetAction", "{\"port\":true}",
		  "json: cannot unmarshal bool into Go struct field HTTPGetAction.port of type int32" },
		{ "meta/v1.ObjectMeta", "{\"deletionTimestamp\":\"soon\"}",
		  "parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\"" },
		{ "authentication.k8s.io/v1.UserInfo", "{\"extra\":{\"a\":\"b\"}}",
		  "json: cannot unmarshal string into Go struct field UserInfo.extra of type []string" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_decodes(rows[i].ref, rows[i].text, rows[i].want);
}

/* A value of f, for a document of any type. */
static const char *some_value(const struct field *f)
{
	if (f->card == CARD_LIST)
		return "[]";
	if (f->card == CARD_MAP || f->kind == FIELD_STRUCT || f->kind == FIELD_RAW)
		return "{}";
	return f->kind == FIELD_STRING ? "\"x\"" : f->kind == FIELD_BOOL ? "true" : "1";
}

/* What belongs to a feature that is off is known, checked, and not kept: of every type. */
static void test_what_is_off(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		const struct schema *s = schema_all[i];

		for (size_t k = 0; k < s->n_fields; k++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			_cleanup_(buf_release) struct buf with = BUF_INIT;
			struct decode_report report = { 0 };
			struct sv name = sym_name(s->fields[k].sym);

			if (field_on(&s->fields[k]))
				continue;
			n++;
			buf_printf(&with, "{\"%.*s\":%s}", SV_ARG(name), some_value(&s->fields[k]));
			assert_true(sv_eq(decoded(&a, s->ref, buf_cstr(&with), false, &report),
					  decoded(&a, s->ref, "{}", false, NULL)));
			assert_int_equal(report.strict.n, 0);
		}
	}
	assert_true(n >= 20);
	assert_decodes("core/v1.EmptyDirVolumeSource", "{\"mode\":\"x\"}",
		       "json: cannot unmarshal string into Go struct field EmptyDirVolumeSource.mode of type int32");
}

static void test_strict(void **state)
{
	static const char text[] =
	    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"imagee\":\"x\",\"Image\":\"y\"}]}},"
	    "\"replica\":1},\"foo\":{\"bar\":1},\"metadata\":{\"labels\":{\"any\":\"thing\"}}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct decode_report report = { 0 };

	(void)state;
	decoded(&a, "apps/v1.Deployment", text, false, &report);
	/* in the order of the text */
	assert_int_equal(report.strict.n, 4);
	assert_sv(report.strict.p[0], "unknown field \"spec.template.spec.containers[1].imagee\"");
	assert_sv(report.strict.p[1], "unknown field \"spec.template.spec.containers[1].Image\"");
	assert_sv(report.strict.p[2], "unknown field \"spec.replica\"");
	assert_sv(report.strict.p[3], "unknown field \"foo\"");
	vec_release(&report.strict);
}

/* Repeated members stand where they are in the text, unless the text was YAML: then by name. One that is
 * unknown is unknown only. */
static void test_strict_order(void **state)
{
	static const char text[] =
	    "{\"spec\":{\"zz\":1,\"replicas\":2,\"aa\":3,\"template\":{\"metadata\":{\"labels\":{"
	    "\"a.b\":\"c\"}}}}}";
	const struct sv repeated[] = { SV("spec.zz"), SV("spec.replicas"), SV("spec.template.metadata.labels.a.b") };
	static const char *const want[2][4] = {
		{ "unknown field \"spec.zz\"", "duplicate field \"spec.replicas\"", "unknown field \"spec.aa\"",
		  "duplicate field \"spec.template.metadata.labels.a.b\"" },
		{ "unknown field \"spec.aa\"", "duplicate field \"spec.replicas\"",
		  "duplicate field \"spec.template.metadata.labels.a.b\"", "unknown field \"spec.zz\"" },
	};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct decode_report report = { .repeated = repeated, .n_repeated = 3, .sorted = k == 1 };

		decoded(&a, "apps/v1.Deployment", text, false, &report);
		assert_int_equal(report.strict.n, 4);
		for (size_t i = 0; i < 4; i++)
			assert_sv(report.strict.p[i], want[k][i]);
		vec_release(&report.strict);
	}
}

/* Every declared default: an empty struct of its type gets it, and a given value stays. */
static void test_every_default(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		const struct schema *s = schema_all[i];

		for (size_t k = 0; k < s->n_fields; k++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			const struct field *f = &s->fields[k];
			struct val *doc = val_new_map(&a), *want;

			if (!f->json_default)
				continue;
			n++;
			want = json_decode(&a, sv_from(f->json_default), NULL, NULL);
			assert_non_null(want);
			if (f->kind == FIELD_STRUCT) /* its members have defaults, too */
				default_typed(&a, f->type, want);
			default_typed(&a, s, doc);
			assert_true(val_equal(val_member(doc, f->sym), want));
			val_set(&a, doc, f->sym, val_new_str(&a, SV("given")));
			default_typed(&a, s, doc);
			assert_true(val_is(val_member(doc, f->sym), "given"));
		}
	}
	assert_true(n > 80);
}

/* Who adds more before it is put in order need not have it put in order before. */
static void test_defaults_last(void **state)
{
	static const char text[] = "{\"image\":\"i\",\"name\":\"n\",\"tty\":true}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct schema *s = schema_find(SV("core/v1.Container"));
	_cleanup_(buf_release) struct buf at_once = BUF_INIT, later = BUF_INIT;
	struct val *v, *w;

	(void)state;
	assert_non_null(s);
	v = decode_typed(&a, s, json_decode(&a, sv_from(text), NULL, NULL), NULL, NULL);
	w = val_clone(&a, v);
	default_typed(&a, s, v);
	default_members(&a, s, w);
	assert_true(w->n > 4);
	assert_string_equal(sym_name((enum sym)w->items[3].sym).p, "tty");
	assert_true(val_equal(v, w));
	order_typed(&a, s, w);
	json_encode(&at_once, v);
	json_encode(&later, w);
	assert_string_equal(buf_cstr(&at_once), buf_cstr(&later));
}

/* Decoding what decoding gave changes nothing, whatever the type. */
static void test_empty_of_every_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < schema_count; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv first, second;

		if (schema_all[i]->n_fields == 0)
			continue;
		first = decoded(&a, schema_all[i]->ref, "{}", true, NULL);
		second = decoded(&a, schema_all[i]->ref, first.p, true, NULL);
		assert_string_equal(first.p, second.p);
	}
}

static void test_order(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = json_decode(&a,
				    SV("{\"status\":{\"hostIP\":\"h\",\"phase\":\"p\"},\"x\":1,\"spec\":{\"volumes\":[{"
				       "\"emptyDir\":{},\"name\":\"n\"}]}}"),
				    NULL, NULL);

	(void)state;
	order_typed(&a, schema_find(SV("core/v1.Pod")), v);
	json_encode(&b, v);
	assert_sv(buf_sv(&b), "{\"spec\":{\"volumes\":[{\"name\":\"n\",\"emptyDir\":{}}]},\"status\":{\"phase\":\"p\","
			      "\"hostIP\":\"h\"},\"x\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deployment),    cmocka_unit_test(test_zero_values),
		cmocka_unit_test(test_zero_typed),    cmocka_unit_test(test_zero_ordered),
		cmocka_unit_test(test_scalars),	      cmocka_unit_test(test_type_errors),
		cmocka_unit_test(test_strict),	      cmocka_unit_test(test_what_is_off),
		cmocka_unit_test(test_strict_order),  cmocka_unit_test(test_every_default),
		cmocka_unit_test(test_defaults_last), cmocka_unit_test(test_empty_of_every_type),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
