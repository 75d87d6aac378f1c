/* protobuf-internal.h - shared by protobuf.c and protobuf_write.c. */
#pragma once

#include "object/protobuf.h"

/* What a FIELD_RAW is on the wire. Most are bytes of JSON, { raw 1 }; three types of apiextensions.k8s.io, which are
 * one of two things in JSON, have a field for each. */
enum raw_form {
	RAW_JSON,
	RAW_SCHEMA_OR_LIST,    /* { schema 1, jSONSchemas 2 } */
	RAW_SCHEMA_OR_BOOL,    /* { allows 1, schema 2 } */
	RAW_SCHEMA_OR_STRINGS, /* { schema 1, property 2 } */
};
enum raw_form protobuf_raw_form(const struct field *f);
const struct schema *protobuf_json_schema(const struct field *f); /* of one of these: what its schema is of */

/* The message that a field is in, and those in it: see struct field.via. The next one inwards, or 0. */
static inline uint16_t protobuf_via_in(uint16_t via, uint32_t number)
{
	return (uint16_t)(via ? via | number << 8 : number);
}
