/* A file of variables that a container wrote: a value is a view into it, and an error names a line. The first line of
 * the input is the key. */
#include "kubelet/env_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size), key, v = SV("");
	bool found = false;
	size_t n = 0;

	while (n < size && text.p[n] != '\n')
		n++;
	key = sv_make(text.p, n);
	text = n < size ? sv_make(text.p + n + 1, size - n - 1) : SV("");
	if (env_file_find(text, key, &found, &v, &err) < 0) {
		BUG_ON(!*err_msg(&err));
		return 0;
	}
	BUG_ON(found && v.n && (v.p < text.p || v.p + v.n > text.p + text.n));
	return 0;
}
