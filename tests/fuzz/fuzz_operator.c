/* What operators and their clients write: an Accept header of /statusz, rules for labels of metrics, patterns of log
 * levels; and a page of metrics, whose labels may hold anything. */
#include "base/log.h"
#include "base/metric_page.h"
#include "client/zpages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct zpage_about about = { .component = "x" };
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	const char *const allow[] = { text, NULL }, *const plain[] = { "a,b='c'", NULL };
	_cleanup_(buf_release) struct buf b = BUF_INIT, page = BUF_INIT;
	struct err err = ERR_INIT;
	struct metric_rules *r;
	const char *type;
	size_t n, off;
	int code;

	code = zpage_make(ZPAGE_STATUS, &about, sv_make((const char *)data, size), &b, &type);
	BUG_ON(code != 200 && code != 406);
	r = metric_rules_new(NULL, allow, &err);
	BUG_ON(!r == (err.reason == ERR_NONE));
	err_release(&err);
	metric_rules_free(r);
	r = metric_rules_new(NULL, plain, NULL);
	buf_add(&page, data, size);
	metric_page_finish(&page, r, &n, &off);
	metric_rules_free(r);
	return 0;
}
