/* filters_gate.h - what happens to requests of a section of Gateway API, as lines of configuration; pure. Beside
 * filters.h, by the same rules. */
#pragma once

#include "ingress/filters.h"

void ing_filters_gate_render(struct ing_filters_out *o, const struct ing_filters *t);
