/* Each of two HAProxies that follow each other is found, and asked, at its own socket. */
#include "unit.h"

#include "base/file.h"
#include "ingress/sockets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char Dir[] = "/tmp/unit-sockets-XXXXXX";

/* Who listens there answers so many questions with its pid. */
struct listener {
	int fd, answers;
	const char *says;
	pthread_t thread;
};

static void *listener_main(void *ctx)
{
	struct listener *l = ctx;

	for (int i = 0; i < l->answers; i++) {
		int fd = accept(l->fd, NULL, NULL);
		char room[64];

		BUG_ON(recv(fd, room, sizeof(room), 0) <= 0); /* cmocka knows no other thread than its own */
		(void)!write(fd, l->says, strlen(l->says));
		close(fd);
	}
	close(l->fd);
	return NULL;
}

static void listener_start(struct listener *l, int i)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", Dir, ing_socket_name(i));
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(at.sun_path, path, strlen(path) + 1);
	(void)unlink(path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(l->fd, 4), 0);
	assert_int_equal(pthread_create(&l->thread, NULL, listener_main, l), 0);
}

static void test_who_answers_where(_unused_ void **state)
{
	struct listener second = { .answers = 3, .says = "Name: HAProxy\nPid: 42\nUptime: 0\n\n" };

	assert_int_equal(ing_socket_find(Dir), -1);
	listener_start(&second, 1);
	assert_int_equal(ing_socket_find(Dir), 1);
	assert_true(ing_socket_answers(Dir, 1, 42, NULL));
	assert_false(ing_socket_answers(Dir, 0, 42, NULL));
	assert_false(ing_socket_answers(Dir, 1, 4, NULL));
	pthread_join(second.thread, NULL);
	/* its file is there yet, and it is gone */
	assert_int_equal(ing_socket_find(Dir), -1);
}

/* Before there were two sockets, the name of the link was that of the one. */
static void test_an_earlier_one_is_found(_unused_ void **state)
{
	_cleanup_free_ char *link = xasprintf("%s/" ING_SOCKET_LINK, Dir);
	struct listener earlier = { .answers = 1, .says = "Name: HAProxy\nPid: 42\nUptime: 0\n\n" };

	listener_start(&earlier, ING_SOCKET_EARLIER);
	assert_int_equal(ing_socket_find(Dir), ING_SOCKET_EARLIER);
	assert_string_equal(ing_socket_name(ING_SOCKET_EARLIER), ING_SOCKET_LINK);
	pthread_join(earlier.thread, NULL);
	assert_int_equal(ing_socket_find(Dir), -1);
	ing_socket_serves(Dir, 0); /* who follows it has the name */
	assert_int_equal(ing_socket_find(Dir), -1);
	assert_int_equal(unlink(link), 0);
}

static void test_the_link_leads_to_the_one_that_serves(_unused_ void **state)
{
	_cleanup_free_ char *link = xasprintf("%s/" ING_SOCKET_LINK, Dir);

	for (int i = 0; i < 2 * ING_SOCKETS; i++) {
		char to[64] = "";

		ing_socket_serves(Dir, i % ING_SOCKETS);
		assert_true(readlink(link, to, sizeof(to) - 1) > 0);
		assert_string_equal(to, ing_socket_name(i % ING_SOCKETS));
	}
}

static void test_each_is_told_its_own(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	assert_int_equal(ing_sockets_write(Dir, NULL), 0);
	for (int i = 0; i < ING_SOCKETS; i++) {
		struct sv text;

		assert_int_equal(
		    file_read(&a, arena_printf(&a, "%s/%s", Dir, ing_socket_config(i)), 1 << 12, &text, NULL), 0);
		assert_true(sv_find_sv(text, sv_from(ing_socket_name(i))) > 0);
		assert_true(sv_find_sv(text, sv_from(ing_socket_name(1 - i))) < 0);
	}
}

static int make_dir(_unused_ void **state)
{
	return mkdtemp(Dir) ? 0 : -1;
}

static int remove_dir(_unused_ void **state)
{
	tree_remove(Dir, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_answers_where),
		cmocka_unit_test(test_an_earlier_one_is_found),
		cmocka_unit_test(test_the_link_leads_to_the_one_that_serves),
		cmocka_unit_test(test_each_is_told_its_own),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
