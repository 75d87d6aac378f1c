/* lib_format.h - "%s is %d".format([...]): cel-go's string.format in its first version, as for
 * readers of American English. */
#pragma once

#include "object/cel/func.h"

/* 0 and the text, or -1 by cel_fail(). Texts of many digits or arguments are paid for (cel_charge). */
int lib_format(struct cel_call *c, struct sv format, const struct cel_value *args, struct cel_value *ret);
