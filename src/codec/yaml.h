/* yaml.h - YAML 1.1 text (as sigs.k8s.io/yaml reads it) to documents and back, on libyaml.
 *
 * Plain scalars resolve by YAML 1.1's core rules as yaml.v2 does (yes/no/on/off are booleans
 * only where Kubernetes takes them so: sigs.k8s.io/yaml). Anchors and aliases are followed
 * with a bound on the total number of nodes (no "billion laughs"); mapping keys become
 * strings; duplicate keys are an error, as upstream.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

/* The documents of a stream one by one: cuts the first document off *rest (at "---" lines).
 * Returns false at the end. Empty documents are skipped. */
bool yaml_next_document(struct sv *rest, struct sv *ret_doc);

/* Decodes a single document; JSON is YAML too. NULL on failure (ERR_BAD_REQUEST, with line). */
struct val *yaml_decode(struct arena *a, struct sv text, struct err *err);

/* Block style, keys in document order, strings quoted only where YAML would misread them. */
void yaml_encode(struct buf *b, const struct val *v);
