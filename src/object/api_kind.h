/* api_kind.h - a kind that comes while the process runs: its resource and its types, made of a description.
 *
 * What tools/gen_schema.py makes of the api folder at build time, this makes at run time: the same structs, in an
 * arena of the kind's own, so that whatever walks the tables of schema.h takes it as it takes the others. The fields
 * are those of an OpenAPI v3 schema as CustomResourceDefinitions carry it (`properties`, `items`,
 * `additionalProperties`, `required`, `default`, `enum` and the x-kubernetes- extensions that say how lists and maps
 * merge); what a field of ours cannot say is a value of any form there (FIELD_RAW). No further validation.
 *
 * A kind is immutable and counted. Its resource and types live as long as somebody holds it: a snapshot
 * (api_set.h), or whoever keeps a `const struct resource *` longer than the snapshot it found it in. For built-in
 * resources all of that costs nothing.
 */
#pragma once

#include "base/err.h"
#include "codec/doc.h"
#include "object/obj.h"
#include "object/schema.h"

struct api_kind; /* opaque */

/* All is copied. */
struct api_kind_def {
	const char *group, *version, *plural, *singular, *kind, *list_kind; /* singular, list_kind NULL: made of kind */
	const char *const *short_names, *const *categories;		    /* NULL-terminated, or NULL */
	bool namespaced, status;					    /* status: with that subresource */
	bool unserved;		  /* known of what is stored, asked for by nobody */
	const struct val *schema; /* openAPIV3Schema; NULL: an object of any members */
	/* Columns of its Table beside the name; NULL: its age. Of a custom kind a path is a JSONPath. */
	const struct column *columns;
	size_t n_columns;
	/* Its objects are not typed: they are what the schema, compiled (structural.h), says. */
	bool custom;
	const struct api_scale *scale; /* with that subresource; NULL: without */
	const char *storage_hash;      /* resource.storage_version_hash; NULL: "" */
	const char *deprecated;	       /* told whoever asks for it in this version; NULL: nothing */
	/* Labels of field selectors beside name and namespace, "spec.colour"; NULL-terminated, or NULL. */
	const char *const *selectable;
	/* The object that schema is part of, and lives in: the kind keeps it, and copies nothing of it. NULL: copied.
	 */
	struct obj *holder;
};

/* Where the objects of a custom kind have what a Scale shows: ".spec.replicas". selector NULL: nowhere. */
struct api_scale {
	const char *replicas, *status_replicas, *selector;
};

#define API_KIND_FIELDS_MAX 65535 /* of one type */

/* NULL: *err says what of the description cannot be (ERR_BAD_REQUEST), or that too many names are taken. */
struct api_kind *api_kind_new(const struct api_kind_def *d, struct err *err);
/* Another version of a kind: of its group and plural, and of its kind, as that has not been shown to anybody yet. The
 * first one is the storage version. It is part of the first, has no references of its own (those of all are counted
 * there) and comes, goes and is freed with it. NULL as above. */
struct api_kind *api_kind_add_version(struct api_kind *k, const struct api_kind_def *d, struct err *err);
struct api_kind *
api_kind_next(const struct api_kind *k); /* its versions: the storage version, and from there on; NULL */
const struct api_kind *api_kind_storage(const struct api_kind *k); /* the first of its versions */
bool api_kind_served(const struct api_kind *k);
/* r is the first served version of a late kind, the one that stands for it where each kind is looked at once. */
bool api_kind_first(const struct resource *r);
struct api_kind *api_kind_ref(struct api_kind *k); /* NULL is fine for both */
void api_kind_unref(struct api_kind *k);

const struct resource *api_kind_resource(const struct api_kind *k);
const struct api_scale *api_kind_scale(const struct api_kind *k); /* NULL: it has none */
const char *api_kind_deprecated(const struct api_kind *k);	  /* NULL: it is not */
const struct val *api_kind_openapi(const struct api_kind *k);	  /* the schema as given, or NULL */
uint64_t api_kind_hash(const struct api_kind *k);		  /* of all that its OpenAPI document says */

/* Made at run time? Their ids are all R_COUNT: tables by id have no row for them. */
static inline bool resource_late(const struct resource *r)
{
	return r->id >= R_COUNT;
}
/* The kind that r is, in its version; NULL for what is built in. */
struct api_kind *api_kind_of(const struct resource *r);
/* Keeps r, whatever it is, until resource_unref(). */
const struct resource *resource_ref(const struct resource *r);
void resource_unref(const struct resource *r);

/* What a server keeps for a kind, in each version: set once, before anybody else has the kind, and freed with it, that
 * of the storage version last. */
void api_kind_attach(struct api_kind *k, void *state, void (*state_free)(void *state));
void *api_kind_state(const struct api_kind *k); /* NULL: none */
