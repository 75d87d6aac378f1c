/* print.h - objects as rows of text, as `kubectl get` shows them: whoever answers with Tables and whoever prints them.
 *
 * A resource's columns stand in the api folder, most with a path to their value. The cells of the others come from
 * the kind's printer. Texts are upstream's, because people and scripts read them.
 *
 * Functions of the object and the time alone; any thread.
 */
#pragma once

#include "base/buf.h"
#include "object/obj.h"
#include "object/schema.h"

/* Appends one cell for each column of the kind without a path, in the order of the columns. now_ns is the wall
 * clock. */
typedef void print_fn(struct arena *a, const struct val *obj, int64_t now_ns, struct val *cells);
/* The kind's printer; NULL: all its columns have paths. */
print_fn *printer_for(const struct resource *r);

/* The cells of one row, as a JSON list. A resource without columns of its own shows name and time of creation. */
void print_cells(struct buf *b, const struct resource *r, const struct val *obj, int64_t now_ns);
/* The columns, as the JSON list of a Table's columnDefinitions. */
void print_columns(struct buf *b, const struct resource *r);
