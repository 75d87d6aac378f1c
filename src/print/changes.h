/* changes.h - what is different between two states of an object, as YAML for people.
 *
 *	  spec:
 *	-   replicas: 2
 *	+   replicas: 3                      # kubectl
 *	    template:
 *	      spec:
 *	        containers:
 *	        - name: web
 *	-         image: web:1
 *	+         image: web:2               # ci
 *
 * Only what is different is told, with what leads there. Items of a list are the same by what the API merges them by
 * (`name`, `type`, ...), where all of them have that once, else by their place. Behind # stands who owns the field by
 * managedFields: of what is there now, or, when it is gone, of what was. managedFields and resourceVersion themselves
 * are left out.
 *
 * Of Secrets the values are not told, but that they are others, as kubectl does it.
 *
 * Pure; any thread. Documents are at most JSON_DEPTH_MAX deep. Costs what both are long, times the managers.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc.h"

/* Lines, appended. before or after NULL: it was not there, is gone: all of the other one. */
void changes_print(struct buf *b, struct arena *a, const struct val *before, const struct val *after);
/* There is something to tell. */
bool changes_any(const struct val *before, const struct val *after);
/* The object with what a Secret holds made unreadable; other: the same object at the other moment, or NULL. In a.
 * word: what stands for a value that is another there. */
struct val *changes_hide(struct arena *a, const struct val *o, const struct val *other, const char *word);
