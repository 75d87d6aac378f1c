/* Every library there is. Their order is that of overloads of one name in several of them. */
#include "object/cel/lib-internal.h"
#include "object/cel/std.h"

const struct cel_lib *const cel_libs[] = {
	&cel_lib_ops,	   &cel_lib_convert, &cel_lib_time,   &cel_lib_text,  &cel_lib_strings,	  &cel_lib_lists,
	&cel_lib_list_ext, &cel_lib_sets,    &cel_lib_regex,  &cel_lib_urls,  &cel_lib_quantity,  &cel_lib_ip,
	&cel_lib_cidr,	   &cel_lib_format,  &cel_lib_semver, &cel_lib_authz, &cel_lib_jsonpatch, &cel_lib_optional,
};
const size_t cel_n_libs = ARRAY_LEN(cel_libs);
