/* dra.h - shared by the files about resource.k8s.io (dynamic resource allocation): dra.c and its users.
 *
 * Pure functions; paths and words are upstream's. Expressions are not compiled here, only their length is looked at.
 */
#pragma once

#include "apiserver/registry/validate/kinds-internal.h"

#define DRA_DRIVER_MAX 63
#define DRA_PARAMETERS_MAX (10 * 1024) /* bytes of JSON */

/* A label that has to be there. */
void dra_label_text(struct field_errs *fe, struct sv s, const struct fpath *at);
void dra_pool_name(struct field_errs *fe, struct sv name, const struct fpath *at);
void dra_node_name(struct field_errs *fe, struct sv name, const struct fpath *at);
void dra_uid(struct field_errs *fe, struct sv s, const struct fpath *at);
/* "domain/identifier"; without a domain it is the driver's own. */
void dra_attribute_name(struct field_errs *fe, struct sv name, const struct fpath *at, bool domain_needed);
/* False with the error when there are more: then nothing more is said of them. */
bool dra_few(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max);
/* A driver's own document, an object. stored: it is old and may be as long as it is. */
void dra_parameters(struct field_errs *fe, const struct val *v, const struct fpath *at, bool stored);
void dra_selectors(struct field_errs *fe, const struct val *list, const struct fpath *at, bool stored);
void dra_opaque(struct field_errs *fe, const struct val *config, const struct fpath *up, bool stored);
void dra_taint(struct field_errs *fe, const struct val *taint, const struct val *old, const struct fpath *at);
void dra_tolerations(struct field_errs *fe, const struct val *list, const struct fpath *at);
void dra_binding_conditions(struct field_errs *fe, const struct val *v, const struct fpath *up);
void dra_skipped(struct field_errs *fe, const struct val *list, const struct fpath *at); /* operations of nodes */
/* device_capacity.c: one of a device's capacities; shared: several claims may have parts of the device. */
void dra_capacity(struct field_errs *fe, const struct val *c, const struct fpath *up, bool shared);
