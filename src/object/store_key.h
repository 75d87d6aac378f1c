/* store_key.h - the key under which an object is stored, for who names it and has no store: crash reports and what is
 * set aside (base/quarantine.h) name objects by it. What keys are made of says apiserver/storekey.h.
 */
#pragma once

#include "base/arena.h"

#define STORE_KEY_ROOT "/registry/"

/* Of what has `path` (resource.store_path): ROOT PATH / [NS /] REST; ns "": none. In the arena. */
struct sv store_key(struct arena *a, const char *path, struct sv ns, struct sv rest);
