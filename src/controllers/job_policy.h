/* job_policy.h - what a Job's spec says of failed pods (podFailurePolicy, KEP-3329) and of enough successes
 * (successPolicy, KEP-3998). */
#pragma once

#include "base/arena.h"
#include "object/obj.h"

enum pod_failure { FAILURE_COUNT, FAILURE_IGNORE, FAILURE_INDEX, FAILURE_JOB };

/* The first rule that matches the failed pod; FAILURE_COUNT without one. *ret_message (may be NULL): why the Job fails,
 * for FAILURE_JOB. */
enum pod_failure failure_policy(struct arena *a, const struct val *policy, const struct obj *pod,
				struct sv *ret_message);
/* Which rule the succeeded ones of n indexes satisfy; -1: none. */
int64_t success_policy(struct arena *a, const struct val *policy, const bool *succeeded, int64_t n);
