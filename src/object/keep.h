/* keep.h - which fields of objects somebody reads: the rest need not be held.
 *
 * For who has a copy of many objects of which he reads a twentieth (informer_factory_keep()). Paths are
 * member names parted by blanks, which no name has; lists are passed through:
 *
 *	"spec ports name", "metadata labels kubernetes.io/service-name", "status loadBalancer"
 *
 * A path keeps all below it. Name, namespace, uid, resourceVersion and deletionTimestamp are always kept.
 *
 * One that reads what he does not name finds it absent where he has his objects of a server elsewhere, and finds it in
 * the server's own process. So each list of paths stands in the file that reads them, tests hand out kept objects, and
 * in builds for debugging such a read ends the process, and says which field it was, whether this object has it or not
 * (codec/doc_items.h). Only of a map of which nothing was kept that is not seen.
 *
 * Threads: while paths are added one, afterwards any; references are atomic.
 */
#pragma once

#include "codec/doc.h"

struct keep;

struct keep *keep_new(void);
void keep_add(struct keep *k, const char *const *paths);       /* NULL-terminated; what was added before stays */
bool keep_has(const struct keep *k, const char *const *paths); /* would adding them change nothing? */
struct keep *keep_ref(struct keep *k);			       /* NULL stays NULL */
struct keep *keep_unref(struct keep *k);		       /* returns NULL */

/* doc with these fields alone, in the order they have: a copy of the nodes, in a; strings are doc's. */
struct val *keep_copy(struct arena *a, const struct keep *k, const struct val *doc);
