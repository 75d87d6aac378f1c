/* What an S3 service answers, or whoever says to be one: pages of a list, and errors. */
#include "base/arena.h"
#include "snapshot/s3-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv xml = sv_make((const char *)data, size), next, code, message;
	struct s3_objects l = { 0 };

	(void)s3_list_parse(&a, xml, SV("f/"), &l, &next);
	for (size_t i = 0; i < l.n; i++)
		BUG_ON(!l.p[i].name.n || sv_find(l.p[i].name, '/') >= 0 || sv_find(l.p[i].name, '\x1b') >= 0 ||
		       sv_find(l.p[i].time, '\n') >= 0 || l.p[i].bytes < 0);
	s3_error_parse(&a, xml, &code, &message);
	BUG_ON(code.n > S3_CODE_MAX || message.n > S3_MESSAGE_MAX);
	BUG_ON(s3_upload_parse(&a, xml).n > S3_UPLOAD_ID_MAX);
	(void)s3_quote(&a, xml, size % 2);
	return 0;
}
