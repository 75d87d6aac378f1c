/* crd-internal.h - shared by the files that judge CustomResourceDefinitions; nobody else includes it. */
#pragma once

#include "apiserver/registry/validate/kinds-internal.h"

/* What one definition may cost: lookups whose number is a product of sizes that its author chooses. */
#define CRD_STEPS_MAX 20000000

struct crd_check {
	struct field_errs *fe;
	size_t steps;
};

/* False, with an error at `at` the first time, when they are used up. */
bool crd_spend(struct crd_check *c, size_t steps, const struct fpath *at);
/* val_member_sv(), paid for. */
const struct val *crd_member(struct crd_check *c, const struct val *map, struct sv key, const struct fpath *at);

/* A path under `up` whose last name is no symbol. */
#define FPATH_WORD(up, word) FPATH_NAME((up), sv_from(word))

/* crd_structural.c: what makes a schema structural. -1: it uses what no structural schema knows at all, which
 * crd_openapi() will say. Returns how many errors it found. */
int crd_structural(struct crd_check *c, const struct val *schema, const struct fpath *at);
/* crd_openapi.c: the keywords of each place, and how they go together. */
void crd_openapi(struct crd_check *c, const struct val *schema, const struct fpath *at);
/* crd_versions.c: columns, scale, selectable fields; of one version, or of all when they are the same. */
void crd_columns(struct field_errs *fe, const struct val *list, const struct fpath *at);
void crd_subresources(struct field_errs *fe, const struct val *sub, const struct fpath *at);
void crd_selectable(struct crd_check *c, const struct val *list, const struct val *schema, const struct fpath *at);
void crd_conversion_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up);
