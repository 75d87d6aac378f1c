/* obj_view.h - what an object reads like in other versions of the API.
 *
 * An object is of one version. Another is made when somebody first asks for it and kept beside the object until that
 * goes: who lists or watches in it pays once an object, not once a reader.
 *
 * Threads: any. Two who ask at once may both make it; one result is kept, and both see that one.
 */
#pragma once

#include "object/obj.h"

/* What o reads like in another version, kept by whoever can make it (apiserver/versions.h). key: the version, an
 * address that is no other's while o lives. False: nothing is kept. */
bool obj_view(const struct obj *o, const void *key, struct obj **ret); /* borrowed: until o's last unref */
/* Keeps view_take, which may be NULL: that is a mark. Returns what is kept, the one of another thread when that was
 * faster; borrowed. */
struct obj *obj_keep_view(struct obj *o, const void *key, struct obj *view_take);
/* Bytes of all views there are in the process. obj_bytes() does not count them: it stays what it was when whoever sums
 * it up took the object in. */
size_t obj_view_bytes(void);
