/* What CustomResourceDefinitions may say, rule by rule, in upstream's words and with the paths of its internal type. */
#include "validate_table.h"

#define STATUS ",'status':{'storedVersions':['v1']}"
#define NAMES "'names':{'plural':'ws','singular':'w','kind':'W','listKind':'WL'}"
#define CRD(name, spec, versions)                                                                                 \
	"{'metadata':{'name':'" name "'},'spec':{'group':'e.x','scope':'Cluster'," NAMES ",'versions':[" versions \
	"]" spec "}" STATUS "}"
#define V1(schema) "{'name':'v1','served':true,'storage':true,'schema':{'openAPIV3Schema':" schema "}}"
#define OBJECT "{'type':'object'}"
#define V1_WITH(more) "{'name':'v1','served':true,'storage':true,'schema':{'openAPIV3Schema':" OBJECT "}" more "}"
#define SCHEMA(schema) CRD("ws.e.x", "", V1(schema))
#define PROPERTY(a) SCHEMA("{'type':'object','properties':{'a':" a "}}")
#define AT_A "spec.validation.openAPIV3Schema.properties[a]"

#define R RES(apiextensions_customresourcedefinitions)
#define FINE(doc)                        \
	{                                \
		R, doc, NULL, NULL, NULL \
	}
#define BAD(doc, want)                   \
	{                                \
		R, doc, NULL, NULL, want \
	}

static void test_names(void **state)
{
	const struct kind_case cases[] = {
		FINE(CRD("ws.e.x", "", V1(OBJECT))),
		BAD(CRD("w.e.x", "", V1(OBJECT)),
		    "metadata.name: Invalid value: 'w.e.x': must be spec.names.plural+'.'+spec.group"),
		BAD("{'metadata':{'name':'ws.ex'},'spec':{'group':'ex','scope':'Both'," NAMES
		    ",'versions':[" V1(OBJECT) "]}" STATUS "}",
		    "[spec.group: Invalid value: 'ex': should be a domain with at least one dot, spec.scope: "
		    "Unsupported "
		    "value: 'Both': supported values: 'Cluster', 'Namespaced']"),
		BAD("{'metadata':{'name':'ws.e.x'},'spec':{'group':'e.x','scope':'Cluster','names':{'plural':'ws',"
		    "'singular':'w','kind':'W','listKind':'W'},'versions':[" V1(OBJECT) "]}" STATUS "}",
		    "spec.names.listKind: Invalid value: 'W': kind and listKind may not be the same"),
		BAD("{'metadata':{'name':'ws.e.k8s.io'},'spec':{'group':'e.k8s.io','scope':'Cluster'," NAMES
		    ",'versions':[" V1(OBJECT) "]}" STATUS "}",
		    "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have "
		    "approval annotation 'api-approved.kubernetes.io', see "
		    "https://github.com/kubernetes/enhancements/pull/1111"),
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_versions(void **state)
{
	const struct kind_case cases[] = {
		BAD(CRD("ws.e.x", "", "{'name':'v1','served':true,'storage':true}"),
		    "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
		BAD(CRD("ws.e.x", "",
			"{'name':'V','served':true,'storage':false,'schema':{'openAPIV3Schema':" OBJECT
			"}}," V1(OBJECT)),
		    "[spec.versions[0].name: Invalid value: 'V': a DNS-1035 label must consist of lower case "
		    "alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric "
		    "character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
		    "'[a-z]([-a-z0-9]*[a-z0-9])?'), spec.version: Invalid value: 'V': a DNS-1035 label must consist of "
		    "lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
		    "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
		    "'[a-z]([-a-z0-9]*[a-z0-9])?')]"),
		BAD(CRD("ws.e.x", "", V1_WITH(",'deprecationWarning':'x'")),
		    "spec.versions[0].deprecationWarning: Invalid value: 'x': can only be set for deprecated versions"),
		BAD(CRD("ws.e.x", "",
			V1_WITH(",'additionalPrinterColumns':[{'name':'a','type':'text','jsonPath':'x'}]")),
		    "[spec.additionalPrinterColumns[0].type: Invalid value: 'text': must be one of "
		    "boolean,date,integer,number,string, spec.additionalPrinterColumns[0].JSONPath: Invalid value: "
		    "'x': "
		    "must be a simple json path starting with .]"),
		BAD(CRD("ws.e.x", "",
			V1_WITH(
			    ",'subresources':{'scale':{'specReplicasPath':'.status.n','statusReplicasPath':'.status.n',"
			    "'labelSelectorPath':'.x'}}")),
		    "[spec.subresources.scale.specReplicasPath: Invalid value: '.status.n': should be a json path "
		    "under "
		    ".spec, spec.subresources.scale.labelSelectorPath: Invalid value: '.x': should be a json path "
		    "under "
		    "either .spec or .status]"),
		BAD(CRD("ws.e.x", "",
			V1_WITH(",'selectableFields':[{'jsonPath':'.spec.x'},{'jsonPath':'.metadata.name'}]")),
		    "[spec.selectableFields[0].jsonPath: Invalid value: '.spec.x': is an invalid path: does not refer "
		    "to a "
		    "valid field, spec.selectableFields[1].jsonPath: Invalid value: '.metadata.name': must not point "
		    "to "
		    "fields in metadata]"),
		BAD(CRD("ws.e.x", ",'conversion':{'strategy':'Webhook'},'preserveUnknownFields':true", V1(OBJECT)),
		    "[spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook, "
		    "spec.conversion.conversionReviewVersions: Required value, spec.preserveUnknownFields: Invalid "
		    "value: "
		    "true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
		    "spec.versions[*].schema instead]"),
		BAD(CRD("ws.e.x",
			",'conversion':{'strategy':'Webhook','webhook':{'clientConfig':{'url':'http://a/'},"
			"'conversionReviewVersions':['v9']}}",
			V1(OBJECT)),
		    "[spec.conversion.webhookClientConfig.url: Invalid value: 'http': 'https' is the only allowed URL "
		    "scheme; desired format: https://host[/path], spec.conversion.conversionReviewVersions: Invalid "
		    "value: ['v9']: must include at least one of v1, v1beta1]"),
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* Each keyword in a place where it may not be. */
static void test_schemas(void **state)
{
	const struct kind_case cases[] = {
		FINE(PROPERTY("{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}")),
		FINE(PROPERTY("{'type':'string','allOf':[{'maxLength':3}],'not':{'enum':['x']}}")),
		FINE(SCHEMA("{'type':'object','properties':{'metadata':{'type':'object','properties':{'name':{'type':"
			    "'string','maxLength':9}}}}}")),
		BAD(SCHEMA("{'type':'string'}"),
		    "spec.validation.openAPIV3Schema.type: Invalid value: 'string': must be object at the root"),
		BAD(PROPERTY("{}"), AT_A ".type: Required value: must not be empty for specified object fields"),
		BAD(PROPERTY("{'type':'array'}"), AT_A ".items: Required value: must be specified"),
		BAD(PROPERTY("{'type':'array','items':{}}"),
		    AT_A ".items.type: Required value: must not be empty for specified array items"),
		BAD(PROPERTY("{'type':'string','anyOf':[{'type':'string'}]}"),
		    AT_A ".anyOf[0].type: Forbidden: must be empty to be structural"),
		BAD(PROPERTY("{'type':'object','allOf':[{'properties':{'b':{'maxLength':1}}}]}"),
		    AT_A ".properties[b]: Required value: because it is defined in " AT_A ".allOf[0].properties[b]"),
		BAD(PROPERTY("{'type':'object','additionalProperties':true,'x-kubernetes-embedded-resource':true}"),
		    "[" AT_A
		    ".additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set, " AT_A
		    ".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
		    "x-kubernetes-preserve-unknown-fields]"),
		BAD(PROPERTY("{'type':'string','pattern':'('}"),
		    AT_A ".pattern: Invalid value: '(': must be a valid regular expression, but isn't: error parsing "
			 "regexp: missing closing ): `(`"),
		BAD(PROPERTY("{'$ref':'#/x'}"), AT_A ".$ref: Forbidden: $ref is not supported"),
		BAD(PROPERTY("{'type':'array','items':{'type':'string'},'uniqueItems':true}"), AT_A
		    ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
		    "quadratic"),
		BAD(PROPERTY("{'type':'object','properties':{'b':{'type':'string'}},'additionalProperties':{'type':"
			     "'string'}}"),
		    AT_A ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
		BAD(PROPERTY("{'type':'array','items':{'type':'object','properties':{'k':{'type':'string'}}},"
			     "'x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k']}"),
		    AT_A
		    ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so "
		    "it must have a default or be a required property"),
		BAD(PROPERTY("{'type':'object','x-kubernetes-list-type':'set'}"),
		    AT_A ".type: Invalid value: 'object': must be array if x-kubernetes-list-type is specified"),
		BAD(SCHEMA("{'type':'object','properties':{'metadata':{'type':'object','maxProperties':3}}}"),
		    "spec.validation.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other "
		    "than "
		    "name and generateName, but metadata is implicitly specified"),
		BAD(PROPERTY("{'type':'string','default':5}"),
		    AT_A ".default: Invalid value: 'integer':  in body must be of type string: 'integer'"),
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* A version whose schema differs is named; what is kept of before is not judged again. */
static void test_updates(void **state)
{
#define OLD PROPERTY("{'anyOf':[]}")
#define TWO                                                                                                        \
	CRD("ws.e.x", "",                                                                                          \
	    V1(OBJECT) ",{'name':'v2','served':true,'storage':false,'schema':{'openAPIV3Schema':{'type':'object'," \
		       "'properties':{'a':{}}}}}")
	const struct kind_case cases[] = {
		BAD(TWO,
		    "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty "
		    "for specified object fields"),
		{ R, OLD, OLD, NULL, NULL },
		{ R,
		  "{'metadata':{'name':'ws.e.x'},'spec':{'group':'e.y','scope':'Cluster','names':{'plural':'wz','"
		  "singular':"
		  "'w','kind':'W','listKind':'WL'},'versions':[" V1(OBJECT) "]}" STATUS "}",
		  CRD("ws.e.x", "", V1(OBJECT)), NULL,
		  "[spec.group: Invalid value: 'e.y': field is immutable, spec.names.plural: Invalid value: 'wz': "
		  "field is "
		  "immutable]" },
		{ R,
		  CRD("ws.e.x", "",
		      "{'name':'v2','served':true,'storage':true,'schema':{'openAPIV3Schema':" OBJECT "}}"),
		  CRD("ws.e.x", "", V1(OBJECT)), NULL,
		  "[status.storedVersions: Invalid value: ['v1']: must have the storage version v2, "
		  "status.storedVersions[0]: Invalid value: 'v1': must appear in spec.versions]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_versions),
					    cmocka_unit_test(test_schemas), cmocka_unit_test(test_updates) };

	return cmocka_run_group_tests_name("crd_rules", tests, NULL, NULL);
}
