/* annotation.h - one annotation of a document. */
#pragma once

#include "codec/doc.h"

/* Its value, a view into the document; "" when it is absent or no text. */
struct sv annotation_of(const struct val *doc, const char *name);
/* Sets it; name and value are copied into the arena. */
void annotation_set(struct arena *a, struct val *doc, const char *name, struct sv value);
