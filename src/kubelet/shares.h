/* shares.h - how much of what may hang is under way at once, whose it is, and who is next.
 *
 * A call of a driver, or a mount of a file server, may last as long as somebody outside likes: two minutes, then it is
 * given up, and comes again. What bounds them must not let one tenant's stop everybody's. So each kind of work has its
 * own places, and of these an owner has a few:
 *
 *	making    mounts. Of one owner a few; all of them are more than many owners can fill
 *	unmaking  what ends a pod; never behind making
 *	looking   how full, how well: nobody waits for it
 *
 * An owner is a namespace with one driver (or with no driver, where there is only one). A namespace has a bound over
 * all of its drivers, too: several may have one dead storage behind them.
 *
 * What hung is behind what did not: of such an owner has fewer. And what hung is remembered of the owner for
 * SHARES_LATE_NS after the last that did: a pod made anew has volumes that are new to us, but its namespace is not.
 * All that is of such an owner is late, also what did not hang itself: of that a namespace has a few, and all of them
 * together have a part. So who makes what hangs again and again does not fill everything, and what is well in such a
 * namespace still has a place.
 *
 * Who finds no place stands in line. Next is whose namespace has the fewest places, then what did not hang, then who
 * came first. A place is granted to who is next, who is told, and asks again; it is another's when that takes longer
 * than SHARES_GRANT_NS. So a place that is free is one that nobody in line may have, and who asks cannot push in.
 *
 * What is remembered is bounded: SHARES_LATE_MAX owners, the oldest go. A step costs as much as there are owners.
 *
 * Not thread-safe; told() is called from inside, and calls nothing of this. Zero is a valid empty one but for bounds.
 */
#pragma once

#include "base/list.h"
#include "base/strmap.h"

#define SHARES_HUNG_NS (20 * NS_PER_SEC)  /* what had its place for so long hung, however it ended */
#define SHARES_LATE_NS (300 * NS_PER_SEC) /* for so long that is remembered of its owner */
#define SHARES_LATE_MAX 256		  /* of so many owners */
#define SHARES_GRANT_NS (10 * NS_PER_SEC)

enum share_kind { SHARE_MAKING, SHARE_UNMAKING, SHARE_LOOKING, _SHARE_MAX };

struct share_bounds {
	int all, space, each;	  /* places; those of a namespace; of an owner */
	int late_all, late_space; /* of these, with what is late */
	int hung_each;		  /* of an owner, with what hung itself */
};

/* Whose it is. of: the driver; "": there is but one. nameless: the namespace is not known, space is something else by
 * which they are told apart, of which nothing is remembered. */
struct share_who {
	struct sv space, of;
	bool nameless;
};

/*	OUT ──▶ WAITS ──▶ GRANTED ──▶ HAS
 *
 * and from each of them back to OUT, by share_give(); a grant ends by time, too. */
enum share_state { SHARE_OUT, SHARE_WAITS, SHARE_GRANTED, SHARE_HAS };

struct share_owner;

/* Embedded in whatever asks. Zero: it has no place and waits for none. Read only, but for hung. */
struct share_place {
	enum share_state state;
	bool hung;	  /* what it is about did so the last time; whoever knows better may clear it */
	int64_t since_ns; /* of its state */
	/* shares.c alone */
	struct list link; /* in line, or of grants */
	struct share_owner *owner;
	enum share_kind kind;
	bool as_hung, as_late; /* as which it stands in line and counts */
	uint64_t number;
};

struct shares {
	const struct share_bounds *bounds;		      /* [_SHARE_MAX] */
	void (*told)(const struct share_place *p, void *ctx); /* it is granted: ask again. Not of who asks just now */
	void *ctx;
	int all[_SHARE_MAX], late[_SHARE_MAX], waiting[_SHARE_MAX];
	struct strmap spaces, owners; /* with a place, in line or remembered */
	struct list granted;	      /* in the order of their times; next NULL: none yet */
	struct list remembered;	      /* owners, as they hung last */
	size_t n_remembered;
	uint64_t line;
};

/* True: it has a place of that kind, until share_give(). False: it stands in line; who does already stays where he is.
 */
bool share_take(struct shares *s, struct share_place *p, enum share_kind kind, struct share_who who, int64_t now_ns);
/* The same, for who does not wait. */
bool share_try(struct shares *s, struct share_place *p, enum share_kind kind, struct share_who who, int64_t now_ns);
/* It is out, whatever it was; the place is another's. Fine when it is out. How long it had one says whether it hung. */
void share_give(struct shares *s, struct share_place *p, int64_t now_ns);
/* What is remembered of owners with that driver is of another time: it has begun anew. */
void shares_forget(struct shares *s, struct sv of);
/* Places that are not out are forgotten with it, and not touched. */
void shares_release(struct shares *s);
