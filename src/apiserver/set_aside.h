/* set_aside.h - stored objects that are not handed out, each with its reason.
 *
 * The key exists, but what is behind it is not in the watch cache: lists and watches go on without it, and everything
 * that names it is told why (set_aside_error()). It can be deleted without being read, and the key is free then.
 *
 *	the store ──cannot be read, ends the server──▶ set aside ──written anew, or deleted──▶ forgotten
 *
 * What cannot be opened (ASIDE_SEALED, ASIDE_UNANSWERED) is most likely well, and comes back: by a key in the
 * configuration, or when a program answers again. So nobody is told that it is gone. It is hidden: as long as there is
 * one, lists and watches of its kind are refused as upstream's are, which name the key (set_aside_blocked()), nor does
 * a watcher hear of a deletion; watches that were open end, and start over by such a list. It is read again
 * (wc_read_again()): one that nobody answered about each second, and /readyz fails until then; all of them each minute.
 *
 * What is no object any more by itself is left out of lists, with a warning; watches that knew it end as well. Upstream
 * refuses those lists, too; here one spoilt block of the disk shall not end all controllers and nodes of a cluster that
 * looks after itself. Who decides by the lack of an object asks for it by name, and is told that it is there.
 *
 * An object is known by its resource and the part of its store key behind the resource's prefix ("default/web", or
 * "web"). Of a resource in several versions they are the same by any of them.
 *
 * Threads: any. As long as nothing is set aside every question costs one relaxed load.
 */
#pragma once

#include "apiserver/api_req.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "object/schema.h"

struct set_aside; /* opaque; one a server */

enum set_aside_why {
	ASIDE_UNREADABLE, /* the stored value is not an object of this name */
	ASIDE_DEADLY,	  /* it ended the server twice (base/quarantine.h): not even looked at */
	ASIDE_SEALED,	  /* it is encrypted, and by nothing that the server has */
	ASIDE_UNANSWERED, /* it is encrypted, and who has the key did not answer: read again each second */
	_ASIDE_MAX
};

/* What there is of one kind. */
struct aside_kind {
	struct strmap by_name;	/* "ns/name" -> struct aside */
	size_t hidden;		/* of them */
	uint64_t decode_errors; /* since the start */
};

void set_aside_release(struct aside_kind *k);

struct set_aside *set_aside_new(void);
struct set_aside *set_aside_free(struct set_aside *l);

/* What is there at revision rev is not handed out from now on; key: its store key, for people. Said in the log when it
 * is new. err: what the store said of it; may be NULL. */
void set_aside_put(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct sv key,
		   int64_t rev, enum set_aside_why why, const struct err *err);
/* It is another object now, or none. */
void set_aside_drop(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name);

/* r, a late kind, is served no more. */
void set_aside_forget(struct apiserver *s, const struct resource *r);

/* The revision it is at; 0: it is not set aside. */
int64_t set_aside_rev(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name);
/* It is hidden: what the cache has of it, if anything, is not what is stored. */
bool set_aside_hides(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name);
/* Something of r in ns ("": anywhere) is: -1, and in *err as upstream's store says it, with the keys of that namespace
 * alone. */
int set_aside_blocked(struct apiserver *s, const struct resource *r, struct sv ns, struct err *err);
/* The same of the kinds by which all writes are judged out of indexes of their own, and of Services for theirs: nothing
 * is let in because a rule cannot be read, no number is given twice because who has it cannot. Who looks at objects
 * when he judges is told by registry_each() (registry/strategy.h). */
int set_aside_unjudged(struct apiserver *s, const struct resource *r, struct err *err);
/* True when all were answered about; else *why names one. */
bool set_aside_answered(struct apiserver *s, struct err *why);
/* Something of r waits for an answer. */
bool set_aside_waits(struct apiserver *s, const struct resource *r);
/* One that is to be read again; key is in the caller's arena. */
struct aside_again {
	struct sv key;
	int64_t rev;
};
/* Those of r that are hidden, or that only answers lack for. */
size_t set_aside_hidden(struct apiserver *s, const struct resource *r, bool unanswered_only, struct arena *a,
			struct aside_again **ret);
/* Whether a plain DELETE may remove it: nobody can do better. */
bool set_aside_deletable(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name);
/* How many of r in ns ("": all) there are. */
size_t set_aside_count(struct apiserver *s, const struct resource *r, struct sv ns);

/* Why there is nothing to be had of this name: 500 with the key and what to do, or else 404. Returns -1. */
int set_aside_error(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct err *err);
/* Why there cannot be another of this name: 409, and the same words. Returns -1. */
int set_aside_exists(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct err *err);
/* The warning of a list of q's resource that some are missing from; none when none are. pinned: the one name the list
 * is about, or SV_NULL. */
void set_aside_warn(struct api_req *q, struct sv pinned);
/* The same of a list of the past, whose reader adds the keys that it leaves out. Zeroed is empty. */
struct aside_missing {
	size_t n;
	struct buf keys; /* the first of them */
};
void set_aside_add_missing(struct aside_missing *m, struct sv key);
void set_aside_warn_missing(struct api_req *q, struct aside_missing *m); /* and releases it */
/* In all such warnings. */
#define SET_ASIDE_MISSING "set aside and missing from this list"
/* Lines for /readyz?verbose, nothing when there is nothing to say. Anybody may read that, so that the keys, names of
 * Secrets among them, are for administrators. */
void set_aside_health(struct apiserver *s, bool with_keys, struct buf *b);
void set_aside_metrics(struct apiserver *s, struct buf *b);
