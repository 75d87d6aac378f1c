/* CronJobs: when their Jobs come, and which go. Virtual time begins at 2026-01-01T00:00:00Z. */
#include "real.h"

#include "controllers/status.h"

#include <stdio.h>

#define CJS "/apis/batch/v1/namespaces/default/cronjobs"
#define JOBS "/apis/batch/v1/namespaces/default/jobs"
#define CJ(schedule, more)                                                                                      \
	"{\"metadata\":{\"name\":\"c\"},\"spec\":{\"schedule\":\"" schedule "\"," more                          \
	"\"jobTemplate\":{\"metadata\":{\"labels\":{\"of\":\"c\"},\"annotations\":{\"note\":\"x\"}},\"spec\":{" \
	"\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}}}"

static size_t jobs(struct cluster *k)
{
	return val_len(val_get(expect(k->rig, 200, "GET", JOBS, NULL), F_items));
}

static const struct val *cj(struct cluster *k)
{
	return expect(k->rig, 200, "GET", CJS "/c", NULL);
}

static void test_runs(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *d, *job;

	expect(k.rig, 201, "POST", CJS, CJ("*/2 * * * *", ""));
	cluster_run(&k, 60);
	assert_int_equal(jobs(&k), 0);
	cluster_run(&k, 62);
	assert_int_equal(jobs(&k), 1);
	/* Named after its minute: 2026-01-01T00:02. */
	job = expect(k.rig, 200, "GET", JOBS "/c-29453762", NULL);
	assert_val(val_member_sv(val_get(job, F_metadata, F_annotations),
				 SV("batch.kubernetes.io/cronjob-scheduled-timestamp")),
		   "2026-01-01T00:02:00Z");
	assert_val(val_member_sv(val_get(job, F_metadata, F_annotations), SV("note")), "x");
	assert_val(val_member_sv(val_get(job, F_metadata, F_labels), SV("of")), "c");
	assert_val(val_get(val_at(val_get(job, F_metadata, F_ownerReferences), 0), F_kind), "CronJob");
	assert_true(condition_is(val_get(job, F_status, F_conditions), "Complete", "True"));
	d = cj(&k);
	assert_val(val_get(d, F_status, F_lastScheduleTime), "2026-01-01T00:02:00Z");
	assert_true(val_get_str(d, F_status, F_lastSuccessfulTime).n > 0);
	assert_int_equal(val_len(val_get(d, F_status, F_active)), 0);
	/* Three are kept. */
	cluster_run(&k, 600);
	assert_int_equal(jobs(&k), 3);
	expect(k.rig, 404, "GET", JOBS "/c-29453762", NULL);
	cluster_finish(&k);
}

static void test_concurrency(void **state)
{
	struct cluster k = cluster_start(state);

	k.hold = true;
	expect(k.rig, 201, "POST", CJS, CJ("* * * * *", "\"concurrencyPolicy\":\"Forbid\","));
	cluster_run(&k, 200);
	assert_int_equal(jobs(&k), 1);
	expect(k.rig, 200, "GET", JOBS "/c-29453761", NULL);
	assert_int_equal(val_len(val_get(cj(&k), F_status, F_active)), 1);
	expect_type(k.rig, 200, "PATCH", CJS "/c", "application/merge-patch+json",
		    "{\"spec\":{\"concurrencyPolicy\":\"Replace\"}}");
	cluster_run(&k, 120);
	assert_int_equal(jobs(&k), 1);
	expect(k.rig, 404, "GET", JOBS "/c-29453761", NULL);
	expect_type(k.rig, 200, "PATCH", CJS "/c", "application/merge-patch+json",
		    "{\"spec\":{\"concurrencyPolicy\":\"Allow\"}}");
	cluster_run(&k, 120);
	assert_int_equal(jobs(&k), 3);
	assert_int_equal(val_len(val_get(cj(&k), F_status, F_active)), 3);
	/* Suspended: nothing new. What runs goes on. */
	expect_type(k.rig, 200, "PATCH", CJS "/c", "application/merge-patch+json", "{\"spec\":{\"suspend\":true}}");
	cluster_run(&k, 200);
	assert_int_equal(jobs(&k), 3);
	cluster_finish(&k);
}

/* Suspended from the start: there is never a Job. */
static void test_suspended(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", CJS, CJ("* * * * *", "\"suspend\":true,"));
	cluster_run(&k, 300);
	assert_int_equal(jobs(&k), 0);
	assert_int_equal(val_len(val_get(cj(&k), F_status, F_active)), 0);
	cluster_finish(&k);
}

static size_t events(struct cluster *k, const char *reason)
{
	const struct val *list =
	    val_get(expect(k->rig, 200, "GET", "/api/v1/namespaces/default/events", NULL), F_items);
	size_t n = 0;

	VAL_EACH(list, e)
		n += val_is(val_get(e, F_reason), reason);
	return n;
}

/* Nobody was there for hours: only the latest time is served, and not when it is too late for it. */
static void test_missed(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", CJS, CJ("*/10 * * * *", ""));
	expect(k.rig, 201, "POST", CJS,
	       "{\"metadata\":{\"name\":\"late\"},\"spec\":{\"schedule\":\"0 0 * * *\",\"startingDeadlineSeconds\":60,"
	       "\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{"
	       "\"name\":\"c\",\"image\":\"a\"}]}}}}}}");
	cluster_run(&k, 2);
	cluster_finish(&k);
	rig_run(k.rig, (INT64_C(24 * 3600) + 300) * NS_PER_SEC);
	k = cluster_start_again(state);
	cluster_run(&k, 5);
	assert_int_equal(jobs(&k), 1);
	assert_val(val_get(cj(&k), F_status, F_lastScheduleTime), "2026-01-02T00:00:00Z");
	assert_int_equal(events(&k, "TooManyMissedTimes"), 1);
	cluster_finish(&k);
}

static void test_refused(void **state)
{
	struct rig *r = *state;

	expect(r, 422, "POST", CJS, CJ("every day", ""));
	expect(r, 422, "POST", CJS, CJ("* * * * *", "\"timeZone\":\"Mars/Base\","));
	expect(r, 422, "POST", CJS, CJ("TZ=UTC * * * * *", ""));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_runs), T(test_concurrency), T(test_suspended), T(test_missed),
					    T(test_refused) };

	return cmocka_run_group_tests_name("cronjob", tests, NULL, NULL);
}
