#include "docs.h"

#include "object/validate.h"

#include <stdlib.h>

#define LABEL_MSG                                                                                                   \
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and " \
	"end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "          \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_MSG                                                                                              \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must " \
	"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "          \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *(*fmt)(struct sv);
	const char *text, *msg; /* msg NULL: conforms; "*": any complaint */
} formats[] = {
	{ fmt_dns_label, "web-0", NULL },
	{ fmt_dns_label, A63, NULL },
	{ fmt_dns_label, A63 "a", "must be no more than 63 bytes" },
	{ fmt_dns_label, "Web", LABEL_MSG },
	{ fmt_dns_label, "-a", LABEL_MSG },
	{ fmt_dns_label, "", LABEL_MSG },
	{ fmt_dns_label, "a.b", "must not contain dots" },
	{ fmt_dns_subdomain, "a.b-c.d0", NULL },
	{ fmt_dns_subdomain, "a..b", SUBDOMAIN_MSG },
	{ fmt_dns_subdomain, "a.", SUBDOMAIN_MSG },
	{ fmt_dns_subdomain, "a_b", SUBDOMAIN_MSG },
	{ fmt_dns1035_label, "a-1", NULL },
	{ fmt_dns1035_label, "1-a", "*" },
	{ fmt_qualified_name, "app", NULL },
	{ fmt_qualified_name, "app.kubernetes.io/Name_1", NULL },
	{ fmt_qualified_name, "/a", "prefix part must be non-empty" },
	{ fmt_qualified_name, "a/", "name part must be non-empty" },
	{ fmt_qualified_name, "A/b", "prefix part " SUBDOMAIN_MSG },
	{ fmt_qualified_name, "a/b/c", "*" },
	{ fmt_qualified_name, "-a", "*" },
	{ fmt_qualified_name, A63 "a", "name part must be no more than 63 bytes" },
	{ fmt_label_value, "", NULL },
	{ fmt_label_value, "a_B.c-1", NULL },
	{ fmt_label_value, "a b",
	  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
	  "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
	  "'my_value',  or '12345', regex used for validation is "
	  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')" },
	{ fmt_port_name, "http-2", NULL },
	{ fmt_port_name, "0123456789abcdef", "must be no more than 15 bytes" },
	{ fmt_port_name, "80", "must contain at least one letter (a-z)" },
	{ fmt_port_name, "a--b", "must not contain consecutive hyphens" },
	{ fmt_port_name, "a-", "must not begin or end with a hyphen" },
	{ fmt_port_name, "", "*" },
	{ fmt_path_segment, "system:node", NULL },
	{ fmt_path_segment, "..", "may not be '..'" },
	{ fmt_path_segment, "a/b", "may not contain '/'" },
	{ fmt_path_segment, "a%b", "may not contain '%'" },
	{ fmt_config_key, "a.b_C-1", NULL },
	{ fmt_config_key, "..a", "must not start with '..'" },
	{ fmt_config_key, ".", "must not be '.'" },
	{ fmt_config_key, "a b", "*" },
	{ fmt_env_name, "MY_VAR", NULL },
	{ fmt_env_name, "a=b", "*" },
	{ fmt_finalizer, "orphan", NULL },
	{ fmt_finalizer, "example.com/x", NULL },
	{ fmt_finalizer, "x", "name is neither a standard finalizer name nor is it fully qualified" },
	{ fmt_wildcard_subdomain, "*.example.com", NULL },
	{ fmt_wildcard_subdomain, "*", "*" },
	{ fmt_percent, "25%", NULL },
	{ fmt_percent, "%", "*" },
	{ fmt_nonspecial_ip, "10.0.0.1", NULL },
	{ fmt_nonspecial_ip, "127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
	{ fmt_nonspecial_ip, "::ffff:10.0.0.1", NULL },
	{ fmt_nonspecial_ip, "::ffff:127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
	{ fmt_nonspecial_ip, "::ffff:0.0.0.0", "may not be unspecified (0.0.0.0 or ::)" },
	{ fmt_nonspecial_ip, "::ffff:169.254.169.254",
	  "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
	{ fmt_nonspecial_ip, "::", "may not be unspecified (0.0.0.0 or ::)" },
	{ fmt_nonspecial_ip, "fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
};

/* Formats that a text misses in several ways say all of them. */
static void test_all_of_a_format(void **state)
{
	const char *list[FMT_MSGS_MAX];

	(void)state;
	assert_int_equal(fmt_all(fmt_dns_subdomain, SV("a.b"), list), 0);
	assert_int_equal(fmt_all(fmt_qualified_name, SV(""), list), 2);
	assert_string_equal(list[0], "name part must be non-empty");
	assert_int_equal(fmt_all(fmt_qualified_name, SV("A_/b c"), list), 2);
	assert_int_equal(fmt_all(fmt_port_name, SV("-TOO--LONG-A-NAME-"), list), 5);
	assert_string_equal(list[4], "must not begin or end with a hyphen");
	assert_int_equal(fmt_all(fmt_percent, SV("x"), list), 1);
}

/* What marks and rules both say stands in the words of the rules. */
static void test_merge(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath at = FPATH_ROOT(F_spec), other = FPATH(&at, F_name);
	struct field_errs marks, rules;

	(void)state;
	field_errs_init(&marks, &a);
	field_errs_init(&rules, &a);
	fe_invalid(&marks, &at, val_new_int(&a, 1), "by mark");
	fe_required(&marks, &at);
	fe_invalid(&marks, &other, val_new_int(&a, 1), "by mark");
	fe_invalid(&rules, &at, val_new_int(&a, 1), "by rule");
	fe_invalid(&rules, &at, val_new_int(&a, 1), "by another");
	field_errs_merge(&marks, &rules);
	field_errs_to_err(&marks, RES(core_pods), SV("x"), &err);
	assert_string_equal(err_msg(&err),
			    "Pod \"x\" is invalid: [spec: Required value, spec.name: Invalid value: 1: by mark, "
			    "spec: Invalid value: 1: by rule, spec: Invalid value: 1: by another]");
}

static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const char *msg = formats[i].fmt(sv_from(formats[i].text));

		if (!formats[i].msg ? msg != NULL
				    : !msg || (*formats[i].msg != '*' && strcmp(msg, formats[i].msg) != 0))
			fail_msg("'%s': %s", formats[i].text, msg ? msg : "(accepted)");
	}
	assert_true(fmt_ip(SV("10.0.0.1")) && fmt_ip(SV("2001:db8::1")));
	assert_false(fmt_ip(SV("10.0.0.01")) || fmt_ip(SV("10.0.0")) || fmt_ip(SV("")) || fmt_ip(SV("a")));
	assert_true(fmt_cidr(SV("10.0.0.0/8")) && fmt_cidr(SV("fd00::/64")) && fmt_cidr(SV("0.0.0.0/0")));
	assert_false(fmt_cidr(SV("10.0.0.0/33")) || fmt_cidr(SV("10.0.0.0")) || fmt_cidr(SV("10.0.0.0/+8")) ||
		     fmt_cidr(SV("10.0.0.0/08")));
}

static void test_paths(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct fpath spec = FPATH_ROOT(F_spec), list = FPATH(&spec, F_containers), item = FPATH_AT(&list, 3);
	struct fpath name = FPATH(&item, F_name), key = FPATH_KEY(&spec, SV("a/b")), dyn = FPATH_NAME(&spec, SV("x"));

	(void)state;
	assert_sv(fpath_str(&a, &name), "spec.containers[3].name");
	assert_sv(fpath_str(&a, &key), "spec[a/b]");
	assert_sv(fpath_str(&a, &dyn), "spec.x");
	assert_sv(fpath_str(&a, NULL), "");
}

static void test_errors(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath spec = FPATH_ROOT(F_spec), f = FPATH(&spec, F_name);
	static const char *const abc[] = { "A", "B", NULL };
	struct field_errs fe;

	(void)state;
	field_errs_init(&fe, &a);
	assert_int_equal(field_errs_to_err(&fe, RES(core_pods), SV("x"), &err), 0);
	assert_int_equal(err.reason, ERR_NONE);

	fe_required(&fe, &f);
	assert_int_equal(field_errs_to_err(&fe, RES(core_pods), SV("x"), &err), -1);
	assert_string_equal(err_msg(&err), "Pod \"x\" is invalid: spec.name: Required value");
	assert_int_equal(err_code(&err), 422);
	assert_string_equal(err.kind, "Pod");
	assert_string_equal(err.name, "x");
	assert_int_equal(err.n_causes, 1);
	assert_string_equal(err.causes[0].reason, "FieldValueRequired");
	assert_string_equal(err.causes[0].message, "Required value");
	assert_string_equal(err.causes[0].field, "spec.name");
	err_release(&err);

	fe_required(&fe, &f); /* said once, caused twice */
	fe_invalid(&fe, &f, val_new_str(&a, SV("q\"\n")), "must be nice");
	fe_invalid(&fe, &f, val_new_int(&a, -1), "must be positive");
	fe_invalid(&fe, &f, NULL, "no");
	fe_invalid(&fe, &f, doc(&a, "{'a':[1,true]}"), "odd");
	fe_not_supported(&fe, &f, val_new_str(&a, SV("C")), abc);
	fe_forbidden(&fe, &f, "may not change");
	fe_duplicate(&fe, &f, val_new_str(&a, SV("d")));
	fe_not_found(&fe, &f, val_new_str(&a, SV("n")));
	fe_too_long(&fe, &f, 63);
	fe_too_many(&fe, &f, 3, 2);
	assert_int_equal(field_errs_to_err(&fe, RES(apps_deployments), SV("web"), &err), -1);
	assert_string_equal(err_msg(&err), "Deployment.apps \"web\" is invalid: [spec.name: Required value, "
					   "spec.name: Invalid value: \"q\\\"\\n\": must be nice, "
					   "spec.name: Invalid value: -1: must be positive, "
					   "spec.name: Invalid value: \"null\": no, "
					   "spec.name: Invalid value: {\"a\":[1,true]}: odd, "
					   "spec.name: Unsupported value: \"C\": supported values: \"A\", \"B\", "
					   "spec.name: Forbidden: may not change, "
					   "spec.name: Duplicate value: \"d\", "
					   "spec.name: Not found: \"n\", "
					   "spec.name: Too long: may not be more than 63 bytes, "
					   "spec.name: Too many: 3: must have at most 2 items]");
	assert_int_equal(err.n_causes, 12);
	assert_string_equal(err.causes[6].reason, "FieldValueNotSupported");
	assert_string_equal(err.group, "apps");
}

/* A rule that names the whole list, once an element: 1,000 times a megabyte. */
static void test_errors_end(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath f = FPATH_ROOT(F_spec);
	char *text = arena_alloc(&a, 1000000);
	struct field_errs fe;

	(void)state;
	memset(text, 'x', 1000000);
	field_errs_init(&fe, &a);
	for (size_t i = 0; i < 1000; i++)
		fe_format(&fe, &f, sv_make(text, 1000000), i % 2 ? "must be short" : "must not be long");
	assert_int_equal(field_errs_to_err(&fe, RES(apps_deployments), SV("web"), &err), -1);
	assert_true(strlen(err_msg(&err)) < 3000000); /* each thing once */
	assert_true(sv_ends(sv_from(err_msg(&err)), SV("must be short, and 995 more]")));
	assert_int_equal(err.n_causes, 5);
}

/* Message of validating metadata of r, without its head; "" when valid. */
static const char *meta_errors(struct arena *a, const struct resource *r, const char *meta, const char *old)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct field_errs fe;
	const char *colon;

	field_errs_init(&fe, a);
	validate_object_meta(&fe, r, doc(a, meta), old ? doc(a, old) : NULL, fmt_dns_subdomain);
	if (field_errs_to_err(&fe, r, SV("x"), &err) == 0)
		return "";
	colon = strstr(err_msg(&err), "is invalid: ");
	return arena_strdup(a, colon + strlen("is invalid: "));
}

static void test_meta(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct resource *pods = RES(core_pods), *nodes = RES(core_nodes);
	const char *live = "{'name':'a','namespace':'d','uid':'u','resourceVersion':'5','generation':2}";

	(void)state;
	assert_string_equal(meta_errors(&a, pods, "{'name':'a','namespace':'d','labels':{'x':'y'}}", NULL), "");
	assert_string_equal(meta_errors(&a, nodes, "{'name':'a'}", NULL), "");
	assert_string_equal(meta_errors(&a, pods, "{'namespace':'d'}", NULL),
			    "metadata.name: Required value: name or generateName is required");
	assert_string_equal(meta_errors(&a, pods, "{'name':'a'}", NULL), "metadata.namespace: Required value");
	assert_string_equal(meta_errors(&a, nodes, "{'name':'a','namespace':'d'}", NULL),
			    "metadata.namespace: Forbidden: not allowed on this type");
	assert_string_equal(meta_errors(&a, nodes, "{'name':'A'}", NULL),
			    "metadata.name: Invalid value: \"A\": " SUBDOMAIN_MSG);
	assert_string_equal(meta_errors(&a, nodes, "{'name':'a-x','generateName':'a-'}", NULL), "");
	assert_string_equal(
	    meta_errors(&a, nodes, "{'name':'a','finalizers':['x']}", NULL),
	    "metadata.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is "
	    "it fully qualified");
	assert_string_equal(meta_errors(&a, nodes,
					"{'name':'a','ownerReferences':[{'apiVersion':'v1','kind':'Pod',"
					"'name':'p'}]}",
					NULL),
			    "metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty");
	assert_string_equal(meta_errors(&a, nodes,
					"{'name':'a','ownerReferences':["
					"{'apiVersion':'v1','kind':'A','name':'p','uid':'1','controller':true},"
					"{'apiVersion':'v1','kind':'A','name':'q','uid':'2'}]}",
					NULL),
			    "");
	assert_string_equal(meta_errors(&a, pods, live, live), "");
	assert_string_equal(
	    meta_errors(&a, pods, "{'name':'a','namespace':'d','uid':'v','resourceVersion':'5','generation':1}", live),
	    "[metadata.generation: Invalid value: 1: must not be decremented, "
	    "metadata.uid: Invalid value: \"v\": field is immutable]");
	assert_string_equal(
	    meta_errors(&a, nodes,
			"{'name':'a','resourceVersion':'1','deletionTimestamp':'t','finalizers':['a/b','c/d']}",
			"{'name':'a','deletionTimestamp':'t','finalizers':['a/b']}"),
	    "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
	    "deleted, found new finalizers []string{\"c/d\"}");
}

static void test_annotations(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *meta = doc(&a, "{'name':'a'}"), *ann = val_set_map(&a, meta, F_annotations);
	char *big = arena_alloc(&a, 262144);
	struct field_errs fe;

	(void)state;
	memset(big, 'x', 262144);
	val_set_str_sv(&a, ann, SV("Example.com/K"), sv_make(big, 262144 - 13));
	field_errs_init(&fe, &a);
	validate_object_meta(&fe, RES(core_nodes), meta, NULL, NULL);
	assert_int_equal(fe.list.n, 0);
	val_set_str_sv(&a, ann, SV("k"), SV(""));
	validate_object_meta(&fe, RES(core_nodes), meta, NULL, NULL);
	assert_int_equal(fe.list.n, 1);
	assert_sv(fe.list.p[0].detail, "may not be more than 262144 bytes");
}

static void test_label_selector(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath at = FPATH_ROOT(F_selector);
	struct field_errs fe;

	(void)state;
	field_errs_init(&fe, &a);
	validate_label_selector(&fe,
				doc(&a, "{'matchLabels':{'a':'b'},'matchExpressions':["
					"{'key':'k','operator':'In','values':['v']},{'key':'k','operator':'Exists'}]}"),
				&at);
	assert_int_equal(fe.list.n, 0);
	validate_label_selector(&fe,
				doc(&a,
				    "{'matchExpressions':[{'key':'k','operator':'In'},"
				    "{'key':'k','operator':'Exists','values':['v']},{'key':'k','operator':'Near'}]}"),
				&at);
	field_errs_to_err(&fe, RES(core_pods), SV("x"), &err);
	assert_string_equal(
	    err_msg(&err),
	    "Pod \"x\" is invalid: [selector.matchExpressions[0].values: Required value: must be specified "
	    "when `operator` is 'In' or 'NotIn', selector.matchExpressions[1].values: Forbidden: may not be "
	    "specified when `operator` is 'Exists' or 'DoesNotExist', "
	    "selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector operator]");
}

static void test_typed(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct schema *s = schema_find(SV("apps/v1.Deployment"));
	struct field_errs fe;

	(void)state;
	field_errs_init(&fe, &a);
	validate_typed(&fe, s,
		       doc(&a, "{'spec':{'template':{'spec':{'restartPolicy':'Sometimes',"
			       "'terminationGracePeriodSeconds':30,'dnsPolicy':'Default',"
			       "'containers':[{'name':'a','terminationMessagePolicy':'File',"
			       "'imagePullPolicy':'Now'}]}}},'status':{'conditions':[{'type':'x'}]}}"),
		       NULL, NULL);
	field_errs_to_err(&fe, RES(apps_deployments), SV("x"), &err);
	assert_string_equal(
	    err_msg(&err),
	    "Deployment.apps \"x\" is invalid: [spec.selector: Required value, "
	    "spec.template.spec.containers[0].image: Required value, "
	    "spec.template.spec.containers[0].imagePullPolicy: Unsupported value: \"Now\": supported values: "
	    "\"Always\", \"IfNotPresent\", \"Never\", "
	    "spec.template.spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
	    "\"OnFailure\", \"Never\"]");
}

/* What is required and cannot change either is missed in both respects: of a pointer and of a text. */
static void test_required_and_immutable(void **state)
{
	static const struct {
		const char *ref, *doc, *old, *want;
	} rows[] = {
		{ "apps/v1.ReplicaSetSpec", "{}", "{'selector':{'matchLabels':{'a':'b'}}}",
		  "[selector: Required value, selector: Invalid value: \"null\": field is immutable]" },
		{ "discovery.k8s.io/v1.EndpointSlice", "{'addressType':''}", "{'addressType':'IPv4'}",
		  "[addressType: Required value, addressType: Invalid value: \"\": field is immutable]" },
		{ "discovery.k8s.io/v1.EndpointSlice", "{}", "{'addressType':'IPv4'}",
		  "[addressType: Required value, addressType: Invalid value: \"\": field is immutable]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct field_errs fe;

		field_errs_init(&fe, &a);
		validate_typed(&fe, schema_find(sv_from(rows[i].ref)), doc(&a, rows[i].doc), doc(&a, rows[i].old),
			       NULL);
		field_errs_to_err(&fe, RES(core_pods), SV("x"), &err);
		assert_string_equal(strstr(err_msg(&err), "is invalid: ") + 12, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),	    cmocka_unit_test(test_required_and_immutable),
		cmocka_unit_test(test_paths),	    cmocka_unit_test(test_all_of_a_format),
		cmocka_unit_test(test_merge),	    cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_end),  cmocka_unit_test(test_meta),
		cmocka_unit_test(test_annotations), cmocka_unit_test(test_label_selector),
		cmocka_unit_test(test_typed),
	};

	return cmocka_run_group_tests_name("validate", tests, NULL, NULL);
}
