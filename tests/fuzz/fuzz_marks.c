/* Marks of the history are refused, or rise, and are the same when they are written and read again. */
#include "apiserver/history/marks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct stretch s, again;

	if (marks_parse(sv_make((const char *)data, size), &s)) {
		marks_format(&b, s.run_s, s.bytes, s.m.p, s.m.n);
		BUG_ON(!marks_parse(buf_sv(&b), &again));
		BUG_ON(again.run_s != s.run_s || again.bytes != s.bytes || again.m.n != s.m.n);
		for (size_t i = 0; i < s.m.n; i++) {
			BUG_ON(i && (s.m.p[i].sec <= s.m.p[i - 1].sec || s.m.p[i].rev < s.m.p[i - 1].rev));
			BUG_ON(again.m.p[i].sec != s.m.p[i].sec || again.m.p[i].rev != s.m.p[i].rev ||
			       again.m.p[i].gap != s.m.p[i].gap || again.m.p[i].open != s.m.p[i].open);
			BUG_ON(marks_before(s.m.p, s.m.n, s.m.p[i].sec) != i);
		}
		vec_release(&again.m);
	}
	vec_release(&s.m);
	return 0;
}
