/* registry_challenge.h - what a registry wants before it answers: the WWW-Authenticate header (RFC 9110, 11.6.1). Pure.
 */
#pragma once

#include "base/arena.h"

struct registry_challenge {
	bool bearer, basic;
	struct sv realm, service; /* of Bearer; "" when not said */
};

#define REGISTRY_CHALLENGE_MAX ((size_t)8 << 10)

/* One header's value, added to what others said: the first of each scheme counts. Malformed parts are passed over, up
 * to where reading can go on. Strings are copied into a. */
void registry_challenge_parse(struct arena *a, struct sv value, struct registry_challenge *c);
/* "https://host:port" of an URL of http or https, without a path; "" for all others, and where a user stands in it. */
struct sv registry_origin(struct sv url);
/* May a machine that asked `from` be sent on to `to`? Only to http and https, and not from https to http. */
bool registry_may_follow(struct sv from, struct sv to);
/* An address that means something else on each machine: of link-local scope, where clouds tell machines their secrets.
 */
bool registry_address_is_local(struct sv ip);
