/* What a container can put into its log, and a runtime into its answers: log lines, and protobuf messages. */
#include "codec/pbwire.h"
#include "kubelet/logs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size), line;
	struct log_line l;

	while (sv_split(&rest, '\n', &line))
		if (log_line_parse(line, &l) &&
		    (l.time.p != line.p || l.text.p < line.p || l.text.p + l.text.n > line.p + line.n))
			abort(); /* views point into the line */

	PB_EACH(sv_make((const char *)data, size), r, f)
		if (f.wire == PB_BYTES) {
			(void)pb_valid(f.bytes);
			(void)pb_get_u64(f.bytes, 1);
			if (f.bytes.n &&
			    (f.bytes.p < (const char *)data || f.bytes.p + f.bytes.n > (const char *)data + size))
				abort();
		}
	return 0;
}
