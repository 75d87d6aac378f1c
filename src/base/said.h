/* said.h - what a program said last before it ended: mostly why. */
#pragma once

#include "base/base.h"

/* The last line of its output in which there is something, trimmed, and no more than max bytes of it; SV(""): it said
 * nothing. A view of text. */
struct sv said_last(struct sv text, size_t max);
