/* The version 3 document of a group version as protobuf (gnostic's openapi.v3.Document), by the tables of
 * openapi_proto.h. */
#include "codec/json.h"
#include "object/openapi.h"
#include "object/openapi_proto.h"

static const struct pfield v3_schema[] = {
	{ "nullable", 1, BOOL, NULL, 0 },
	{ "readOnly", 3, BOOL, NULL, 0 },
	{ "writeOnly", 4, BOOL, NULL, 0 },
	{ "example", 7, ANY, NULL, 0 },
	{ "deprecated", 8, BOOL, NULL, 0 },
	{ "title", 9, STR, NULL, 0 },
	{ "multipleOf", 10, NUM, NULL, 0 },
	{ "maximum", 11, NUM, NULL, 0 },
	{ "exclusiveMaximum", 12, BOOL, NULL, 0 },
	{ "minimum", 13, NUM, NULL, 0 },
	{ "exclusiveMinimum", 14, BOOL, NULL, 0 },
	{ "maxLength", 15, INT, NULL, 0 },
	{ "minLength", 16, INT, NULL, 0 },
	{ "pattern", 17, STR, NULL, 0 },
	{ "maxItems", 18, INT, NULL, 0 },
	{ "minItems", 19, INT, NULL, 0 },
	{ "uniqueItems", 20, BOOL, NULL, 0 },
	{ "maxProperties", 21, INT, NULL, 0 },
	{ "minProperties", 22, INT, NULL, 0 },
	{ "required", 23, STRS, NULL, 0 },
	{ "enum", 24, ANYS, NULL, 0 },
	{ "type", 25, STR, NULL, 0 },
	{ "allOf", 26, OR_REFS, v3_schema, 0 },
	{ "oneOf", 27, OR_REFS, v3_schema, 0 },
	{ "anyOf", 28, OR_REFS, v3_schema, 0 },
	{ "not", 29, MSG, v3_schema, 0 },
	{ "items", 30, HOLD_OR_REF, v3_schema, 1 },
	{ "properties", 31, MAP_OR_REF, v3_schema, 1 },
	{ "additionalProperties", 32, OR_REF_OR_BOOL, v3_schema, 0 },
	{ "default", 33, SCALAR, NULL, 0 },
	{ "description", 34, STR, NULL, 0 },
	{ "format", 35, STR, NULL, 0 },
	{ "", 36, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_media[] = {
	{ "schema", 1, OR_REF, v3_schema, 0 },
	{ "", 5, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_parameter[] = {
	{ "name", 1, STR, NULL, 0 },
	{ "in", 2, STR, NULL, 0 },
	{ "description", 3, STR, NULL, 0 },
	{ "required", 4, BOOL, NULL, 0 },
	{ "deprecated", 5, BOOL, NULL, 0 },
	{ "style", 7, STR, NULL, 0 },
	{ "schema", 10, OR_REF, v3_schema, 0 },
	{ "content", 13, MAP, v3_media, 1 },
	{ "", 14, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_body[] = {
	{ "description", 1, STR, NULL, 0 }, { "content", 2, MAP, v3_media, 1 },
	{ "required", 3, BOOL, NULL, 0 },   { "", 4, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_response[] = {
	{ "description", 1, STR, NULL, 0 },
	{ "content", 3, MAP, v3_media, 1 },
	{ "", 5, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_operation[] = {
	{ "tags", 1, STRS, NULL, 0 },
	{ "summary", 2, STR, NULL, 0 },
	{ "description", 3, STR, NULL, 0 },
	{ "operationId", 5, STR, NULL, 0 },
	{ "parameters", 6, OR_REFS, v3_parameter, 0 },
	{ "requestBody", 7, OR_REF, v3_body, 0 },
	{ "responses", 8, RESPONSES, v3_response, 0 },
	{ "deprecated", 10, BOOL, NULL, 0 },
	{ "", 13, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_path[] = {
	{ "summary", 2, STR, NULL, 0 },
	{ "description", 3, STR, NULL, 0 },
	{ "get", 4, MSG, v3_operation, 0 },
	{ "put", 5, MSG, v3_operation, 0 },
	{ "post", 6, MSG, v3_operation, 0 },
	{ "delete", 7, MSG, v3_operation, 0 },
	{ "options", 8, MSG, v3_operation, 0 },
	{ "head", 9, MSG, v3_operation, 0 },
	{ "patch", 10, MSG, v3_operation, 0 },
	{ "parameters", 13, OR_REFS, v3_parameter, 0 },
	{ "", 14, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_scheme[] = {
	{ "type", 1, STR, NULL, 0 }, { "description", 2, STR, NULL, 0 }, { "name", 3, STR, NULL, 0 },
	{ "in", 4, STR, NULL, 0 },   { "scheme", 5, STR, NULL, 0 },	 { "bearerFormat", 6, STR, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_components[] = {
	{ "schemas", 1, MAP_OR_REF, v3_schema, 1 },
	{ "securitySchemes", 7, MAP_OR_REF, v3_scheme, 1 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_info[] = {
	{ "title", 1, STR, NULL, 0 },
	{ "description", 2, STR, NULL, 0 },
	{ "version", 6, STR, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield v3_document[] = {
	{ "openapi", 1, STR, NULL, 0 },	 { "info", 2, MSG, v3_info, 0 },
	{ "paths", 4, MAP, v3_path, 1 }, { "components", 5, MSG, v3_components, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

bool openapi_v3_proto(struct buf *b, struct sv group, struct sv version, const struct openapi_custom *custom, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	if (!openapi_v3(&text, group, version, custom, n))
		return false;
	openapi_proto_message(b, json_decode(&a, buf_sv(&text), &(struct json_opts){ .borrow_text = true }, NULL),
			      v3_document);
	return true;
}
