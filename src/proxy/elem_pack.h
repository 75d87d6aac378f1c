/* elem_pack.h - a sorted array of elements, as little memory as they allow: each as what differs from the one before.
 *
 * What a proxy remembers of each Service, a fifth of the array. Not to be read from outside: it is as trusted as the
 * array was.
 */
#pragma once

#include "proxy/elem.h"

struct elem_pack {
	uint8_t *bytes; /* owned; NULL: none */
	uint32_t n;	/* elements */
};

void elem_pack(struct elem_pack *ret, const struct elems *e); /* whatever ret had is not released */
void elem_unpack(struct elems *ret, const struct elem_pack *p);
void elem_pack_release(struct elem_pack *p);
