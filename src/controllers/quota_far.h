/* quota_far.h - objects of kinds that other API servers answer, counted for quotas that name
 * "count/things.example.com".
 *
 * It waits for nobody (client/foreign.h): of several names each is counted when its answer comes, and what was said is
 * kept QUOTA_FAR_NS, so that waiting for one asks for none of the others again. Times are monotonic. Threads: any.
 */
#pragma once

#include "base/strmap.h"
#include "controllers/controllers.h"

#include <pthread.h>

#define QUOTA_FAR_NS (30 * NS_PER_SEC) /* between two counts: nobody tells of what goes there */

enum quota_far {
	QUOTA_FAR_NONE,	   /* it names nothing of theirs that can be listed and watched */
	QUOTA_FAR_LATER,   /* ask again; who asked is woken */
	QUOTA_FAR_UNKNOWN, /* its server does not say */
	QUOTA_FAR_COUNTED,
};

/* What was said last, by quota and name: some thousands at most; what has no room is asked for anew. */
struct quota_far_counts {
	pthread_mutex_t lock;
	struct strmap said; /* "uid name" */
	int64_t swept_ns;
};
void quota_far_init(struct quota_far_counts *c);
void quota_far_release(struct quota_far_counts *c);
/* uid: the quota's. */
enum quota_far quota_far_count(struct quota_far_counts *c, const struct controllers_opts *o, struct sv uid,
			       struct sv name, struct sv ns, const struct foreign_wake *who, size_t *ret);
