/* std.h - the standard library's tables; for this folder alone. */
#pragma once

#include "object/cel/func.h"

extern const struct cel_lib cel_lib_ops, cel_lib_convert, cel_lib_time, cel_lib_text;
