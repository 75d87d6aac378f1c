/* What parses has a next time within five years or none, always later than asked. */
#include "object/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cron c;
	int64_t t = INT64_C(1767225600) * NS_PER_SEC;

	if (cron_parse(sv_make((const char *)data, size), &c, NULL) < 0)
		return 0;
	for (int i = 0; i < 4; i++) {
		int64_t next = cron_next(&c, NULL, t);

		if (!next)
			return 0;
		BUG_ON(next <= t);
		t = next;
	}
	return 0;
}
