/* quota_far.h - objects of kinds that other API servers answer, counted for quotas that name
 * "count/things.example.com".
 *
 * From any thread; waits for nobody (client/foreign.h).
 */
#pragma once

#include "controllers/controllers.h"

#define QUOTA_FAR_AGAIN_NS (NS_PER_SEC / 5)
#define QUOTA_FAR_NS (30 * NS_PER_SEC) /* between two counts: nobody tells of what goes there */

enum quota_far {
	QUOTA_FAR_NONE,	   /* it names nothing of theirs that can be listed and watched */
	QUOTA_FAR_LATER,   /* ask again */
	QUOTA_FAR_UNKNOWN, /* its server does not say */
	QUOTA_FAR_COUNTED,
};
enum quota_far quota_far_count(const struct controllers_opts *o, struct sv name, struct sv ns, size_t *ret);
