/* What the log says of a thread that was or is held. */
#include "unit.h"

#include "base/log.h"
#include "cli/stalls.h"

#include <stdio.h>

static char said[4096];

static void take(struct sv line, void *ctx)
{
	(void)ctx;
	(void)snprintf(said, sizeof(said), "%.*s", SV_ARG(line));
}

static void says(const struct run_report *r, const char *line)
{
	log_set_sink(take, NULL);
	stalls_log(r, NULL);
	log_set_sink(NULL, NULL);
	assert_string_equal(said, line);
}

static void test_lines(void **state)
{
	struct run_report r = { .kind = RUN_LOOP,
				.thread = "network",
				.tid = 7,
				.ns = 153900 * NS_PER_US,
				.what = "request PATCH /api/v1/x jane \"\n",
				.step = "mutated",
				.bytes = 216000,
				.what_ns = 150 * NS_PER_MS,
				.works = 2,
				.called = "",
				.missing = 3 };

	(void)state;
	says(&r,
	     "WARN watchdog \"a thread was held\" kind=\"loop\" for=\"153ms\" by=\"request PATCH /api/v1/x jane "
	     "\\\"\\n\" bytes=\"216000\" longest=\"150ms until mutated\" works=\"2\" called=\"\" thread=\"network/7\" "
	     "unsaid=\"3\"");
	r = (struct run_report){ .kind = RUN_STORE,
				 .thread = "store",
				 .tid = 8,
				 .ns = 2 * NS_PER_SEC,
				 .what = "publish",
				 .after = true,
				 .what_ns = 2 * NS_PER_SEC,
				 .works = 1,
				 .called = "" };
	says(&r, "WARN watchdog \"a thread was held\" kind=\"store\" for=\"2s\" by=\"publish, or near it\" bytes=\"0\" "
		 "longest=\"2s\" works=\"1\" called=\"\" thread=\"store/8\" unsaid=\"0\"");
	r = (struct run_report){ .kind = (enum run_kind)ENV_CONTROL,
				 .thread = "control",
				 .tid = 9,
				 .running = true,
				 .ns = 20 * NS_PER_SEC,
				 .what = "",
				 .called = "sweep+0x0" };
	says(&r,
	     "WARN watchdog \"a thread is held\" kind=\"control\" for=\"20s\" by=\"nothing that was written down\" "
	     "bytes=\"0\" step=\"\" called=\"sweep+0x0\" thread=\"control/9\" stack=\"the thread does not answer: it "
	     "waits in the kernel, or the machine is overloaded\" unsaid=\"0\"");
	r.frames[r.n_frames++] = (void *)16;
	r.frames[r.n_frames++] = (void *)32;
	r.step = "authorized";
	says(&r, "WARN watchdog \"a thread is held\" kind=\"control\" for=\"20s\" by=\"nothing that was written down\" "
		 "bytes=\"0\" step=\"since authorized\" called=\"sweep+0x0\" thread=\"control/9\" "
		 "stack=\"0x10 < 0x20\" unsaid=\"0\"");
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
