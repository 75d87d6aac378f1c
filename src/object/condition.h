/* condition.h - status.conditions: lists of { type, status, reason, ... } of which each type is there once. */
#pragma once

#include "codec/doc.h"

const struct val *condition_find(const struct val *list, const char *type); /* NULL when there is none */
bool condition_is(const struct val *list, const char *type, const char *status);
bool condition_ready(const struct val *object); /* its Ready is "True": of a Node, or a Pod */
