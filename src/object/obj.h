/* obj.h - one published object: immutable, reference-counted, shared by everybody.
 *
 * Made from a document that some writer built in its arena: obj_new() encodes it once to
 * JSON, and lays the node tree and that text into one block; strings that need no escapes
 * point into the text. The watch cache, every watcher, every in-process informer and every
 * response then share it. After obj_new() nothing changes.
 *
 * Memory: about twice the JSON text (16 bytes a node on top of it).
 * Threads: any; references are atomic.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/doc.h"

struct obj;

/* Publishes root with metadata.resourceVersion set to rev (rev 0: left as it is). root and its
 * arena stay the caller's. Caller owns the one reference. */
struct obj *obj_new(const struct val *root, int64_t rev);
/* The same in two steps, for a revision that is not known yet: obj_new() with a likely one where the document was made,
 * and this where the revision becomes known, before anybody else sees o. False when rev takes another number of
 * digits than the likely one did: then o is of no use. */
bool obj_set_rev(struct obj *o, int64_t rev);
/* A third as large: without its JSON (obj_json() is ""), and what list items repeat is there once. For who holds many,
 * and hands none out. */
struct obj *obj_new_lean(const struct val *root);
struct obj *obj_ref(struct obj *o);   /* returns o; NULL stays NULL */
struct obj *obj_unref(struct obj *o); /* returns NULL */
DEFINE_CLEANUP(struct obj *, obj_unrefp, obj_unref)
#define _cleanup_obj_ _cleanup_(obj_unrefp)
struct obj *obj_link(struct arena *a, struct obj *o_take); /* a's reset drops the reference; returns o */

const struct val *obj_root(const struct obj *o); /* view until the last unref */
struct sv obj_json(const struct obj *o);	 /* compact JSON, view until the last unref; "" of a lean one */
/* The JSON without metadata.resourceVersion, as it is stored. Copied into a. */
struct sv obj_json_stored(struct arena *a, const struct obj *o);
int64_t obj_rev(const struct obj *o);  /* metadata.resourceVersion as a number */
size_t obj_bytes(const struct obj *o); /* memory it takes */

/* How long o is in protobuf, which says lengths in front: lists want the sum before they encode the first. Noted by who
 * encoded it, so that the next list need not do so twice; 0: nobody did. */
size_t obj_message_bytes(const struct obj *o);
void obj_note_message_bytes(const struct obj *o, size_t n);

/* Shorthands into metadata; views until the last unref. */
struct sv obj_name(const struct obj *o);
struct sv obj_ns(const struct obj *o); /* "" when cluster-scoped */
struct sv obj_uid(const struct obj *o);
const struct val *obj_labels(const struct obj *o);
bool obj_has_finalizer(const struct obj *o, const char *name);
/* Of a document that is edited: it has the finalizer behind the others, or not at all. false: it was so already. */
bool obj_set_finalizer(struct arena *a, struct val *doc, const char *name, bool on);
bool obj_deleting(const struct obj *o); /* metadata.deletionTimestamp is set */
/* The ownerReference with controller: true, or NULL. */
const struct val *obj_controller_ref(const struct obj *o);

/* val_get() on the root. */
#define obj_get(o, ...) val_get(obj_root(o), __VA_ARGS__)

/* A copy of the document to change: nodes copied into a, strings borrowed from o, of which a
 * takes a reference. */
struct val *obj_edit(struct arena *a, struct obj *o);
/* The same of metadata and status alone, for who changes nothing else: all else, and every text, is root's still, which
 * must outlive a. */
struct val *obj_edit_status(struct arena *a, const struct val *root);

/* What every reference to o says: kind, namespace (of what has one), name and uid. */
struct val *obj_reference(struct arena *a, const char *kind, const struct obj *o);

/* "NAMESPACE/NAME", by which maps of objects of one kind know them; in b, which is cleared first. */
struct buf;
struct sv obj_path(struct buf *b, struct sv ns, struct sv name);

/* Same object at the same version? By uid and resourceVersion. */
bool obj_same_version(const struct obj *a, const struct obj *b);
