/* spec.h - OpenAPI documents of version 2 that others wrote, cut to what they serve here, and put into one with ours.
 *
 *	theirs ─▶ agg_spec_cut(): one group version's paths, and what those refer to ─▶ kept
 *	ours, and all that are kept ─▶ agg_specs_merge() ─▶ what is added to ours
 *
 * As in upstream's aggregator ours comes first and stays what it is, then others by the priority of their APIServices.
 * A definition of theirs that has the name of another one and says the same is that one; one that says something else
 * gets a name of its own, "NAME_v2", and is referred to by that.
 *
 * Pure functions over any bytes; bounds below. */
#pragma once

#include "base/buf.h"
#include "base/budget.h"
#include "base/err.h"

#include <stdatomic.h>

#define AGG_SPEC_TEXT_MAX ((size_t)8 * 1024 * 1024) /* bytes of another's document */
#define AGG_SPEC_MAX ((size_t)2 * 1024 * 1024)	    /* and of what is kept of one; */
#define AGG_SPECS_MAX ((size_t)8 * 1024 * 1024)	    /* of all */
#define AGG_SPEC_VALUES_MAX ((size_t)400 * 1000)

/* What is kept of one: immutable. */
struct agg_spec {
	atomic_int refs;
	struct buf text;
};
struct agg_spec *agg_spec_hold(struct agg_spec *s); /* NULL is fine for both */
struct agg_spec *agg_spec_unref(struct agg_spec *s);

/* What a document is made of beside its paths. */
enum spec_section { SPEC_DEFINITIONS, SPEC_PARAMETERS, SPEC_RESPONSES, SPEC_SECTIONS };
extern const char *const agg_spec_sections[SPEC_SECTIONS];
/* "#/definitions/NAME": false, it refers to something else. */
bool agg_spec_ref(struct sv ref, enum spec_section *ret, struct sv *ret_name);

/* {"paths":{...},"definitions":{...},"parameters":{...},"responses":{...}}; nothing when it has no path of the group
 * version. -1: it is no JSON, or too large; what is in out then is nothing. */
int agg_spec_cut(struct sv text, struct sv group, struct sv version, struct buf *out, struct err *err);

/* What is added to ours: members, with commas between. */
struct spec_merged {
	struct buf paths, sections[SPEC_SECTIONS];
};
void agg_spec_merged_release(struct spec_merged *m);
/* own: our document, whole; theirs: what was kept of the others, in their order. */
void agg_specs_merge(struct sv own, const struct sv *theirs, size_t n, struct spec_merged *ret);
/* Our document with what is added. */
void agg_specs_join(struct sv own, const struct spec_merged *m, struct buf *out);
