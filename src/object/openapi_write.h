/* openapi_write.h - the parts of the OpenAPI writer, shared by openapi*.c only. */
#pragma once

#include "codec/json.h"
#include "object/openapi.h"

/* A JSON writer that knows where commas go. */
struct jw {
	struct buf *b;
	bool comma; /* the next key or element needs one before it */
};

static inline void jw_comma(struct jw *w)
{
	if (w->comma)
		buf_addc(w->b, ',');
	w->comma = false;
}

static inline void jw_open(struct jw *w, char bracket)
{
	jw_comma(w);
	buf_addc(w->b, bracket);
}

static inline void jw_close(struct jw *w, char bracket)
{
	buf_addc(w->b, bracket);
	w->comma = true;
}

static inline void jw_keysv(struct jw *w, struct sv key)
{
	jw_comma(w);
	json_encode_str(w->b, key);
	buf_addc(w->b, ':');
}

static inline void jw_key(struct jw *w, const char *key)
{
	jw_keysv(w, sv_from(key));
}

static inline void jw_sv(struct jw *w, struct sv s)
{
	jw_comma(w);
	json_encode_str(w->b, s);
	w->comma = true;
}

static inline void jw_raw(struct jw *w, const char *json)
{
	jw_comma(w);
	buf_adds(w->b, json);
	w->comma = true;
}

static inline void jw_str(struct jw *w, const char *key, const char *value)
{
	jw_key(w, key);
	jw_sv(w, sv_from(value));
}

struct openapi_writer {
	struct jw w;
	bool v3;
	bool used[_FIELD_KIND_MAX]; /* scalar kinds that have definitions of their own: Time, Quantity, ... */
	bool *types;		    /* by index into schema_all: to be defined */
	void (*whole)(struct openapi_writer *o); /* called behind each definition; NULL: nothing */
};

/* "#/components/schemas/" or "#/definitions/" and name, as a $ref object's only member. */
void openapi_ref(struct openapi_writer *o, const char *name);
void openapi_gvk(struct openapi_writer *o, const char *group, const char *version, const char *kind);

/* Marks s and everything its fields lead to. */
void openapi_use(struct openapi_writer *o, const struct schema *s);
/* The members of the definitions object: every marked type. */
void openapi_definitions(struct openapi_writer *o);

/* The version 2 document part by part: members is JSON text, "key":value,..., of paths or of definitions, never empty.
 * All paths come first. */
enum openapi_part { OPENAPI_PATHS, OPENAPI_DEFINITIONS };
typedef void openapi_part_fn(enum openapi_part part, struct sv members, void *ctx);
void openapi_v2_parts(const struct openapi_custom *custom, size_t n, openapi_part_fn *fn, void *ctx);
/* What stands before its paths and behind its definitions: members, too. */
void openapi_v2_head(struct buf *b);
#define OPENAPI_V2_TAIL                                                                                   \
	"\"securityDefinitions\":{\"BearerToken\":{\"type\":\"apiKey\",\"description\":\"Bearer token\"," \
	"\"name\":\"authorization\",\"in\":\"header\"}},\"security\":[{\"BearerToken\":[]}]"
/* One custom kind and its list. */
void openapi_custom_definitions(struct openapi_writer *o, const struct openapi_custom *c);

/* The name of a resource's own definition or its list's; view until the next write to tmp. */
const char *openapi_kind_name(const struct resource *r, struct buf *tmp, bool list);
const struct schema *openapi_list_schema(const struct resource *r);

/* The members of the paths object for one resource and its subresources. */
void openapi_paths(struct openapi_writer *o, const struct resource *r);
