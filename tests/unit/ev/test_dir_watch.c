/* What comes and goes in a directory is heard; where there is none, there is no watch. */
#include "unit.h"

#include "base/file.h"
#include "ev/dir_watch.h"
#include "ev/ev.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void heard(void *ctx)
{
	sem_post(ctx);
}

static void test_heard(void **state)
{
	char dir[] = "/tmp/caravel-test-XXXXXX";
	struct env *env = env_real_new(0);
	struct fd_watch *w;
	_cleanup_free_ char *path = NULL, *other = NULL;
	sem_t sem;

	(void)state;
	sem_init(&sem, 0, 0);
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/a", dir);
	other = xasprintf("%s/b", dir);
	assert_null(dir_watch_new(env, path, heard, &sem));
	w = dir_watch_new(env, dir, heard, &sem);
	assert_non_null(w);
	assert_int_equal(file_write_again(path, SV("x"), 0600, NULL), 0);
	sem_wait(&sem);
	assert_int_equal(rename(path, other), 0);
	sem_wait(&sem);
	assert_int_equal(unlink(other), 0);
	sem_wait(&sem);
	assert_null(fd_watch_free(w));
	env_real_free(env);
	(void)tree_remove(dir, NULL);
	sem_destroy(&sem);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_heard) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
