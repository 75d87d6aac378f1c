/* quarantine.h - what has ended the process twice and is left alone since.
 *
 * A key is that of a stored object ("/registry/pods/default/web": not loaded, not handed out) or of a reconcile
 * ("reconcile deployment default/web": not run), as written down on the board when the process died. The list is the
 * file DIR/quarantine, a key a line; deleting a line, or the file, and starting again takes things back.
 *
 * Threads: quarantine_load() before any other thread; the rest from any.
 */
#pragma once

#include "base/err.h"

/* Reads the list of dir, which need not exist. */
void quarantine_load(const char *dir);
/* Cheap while the list is empty. */
bool quarantine_has(struct sv key);
size_t quarantine_count(void);
/* Keys in order; false past the end. The text lives until the process ends. */
bool quarantine_at(size_t i, struct sv *ret_key);
/* The object was deleted: a new one of its name is another. Also in the file, as far as that can be written. */
void quarantine_drop(struct sv key);
/* Adds a line to the file of dir; the supervisor's, who hands no objects out. */
int quarantine_add(const char *dir, struct sv key, struct err *err);
