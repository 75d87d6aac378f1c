#include "base/said.h"

#include "base/utf8.h"

struct sv said_last(struct sv text, size_t max)
{
	struct sv line, last = SV("");

	while (sv_split(&text, '\n', &line))
		if (sv_trim(line).n)
			last = sv_trim(line);
	return utf8_cut(last, max);
}
