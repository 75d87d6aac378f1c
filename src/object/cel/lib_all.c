/* Every library there is. Their order is that of overloads of one name in several of them. */
#include "object/cel/std.h"

const struct cel_lib *const cel_libs[] = {
	&cel_lib_ops,
	&cel_lib_convert,
	&cel_lib_time,
	&cel_lib_text,
};
const size_t cel_n_libs = ARRAY_LEN(cel_libs);
