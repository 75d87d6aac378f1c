/* Who has a port: of many at once, by sockets of this process and of none. */
#include "unit.h"

#include "base/arena.h"
#include "ingress/ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int port_open(int family, uint16_t *ret_port)
{
	struct sockaddr_storage ss = { .ss_family = (sa_family_t)family };
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		skip();
	*ret_port =
	    ntohs(family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port : ((struct sockaddr_in6 *)&ss)->sin6_port);
	return fd;
}

static const char *who_has(const struct port_holder *p, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].port == port)
			return p[i].who;
	fail_msg("%d is not there", port);
	return NULL;
}

static void test_holders(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	uint16_t v4, v6, gone;
	int fd4 = port_open(AF_INET, &v4), fd6 = port_open(AF_INET6, &v6), fd = port_open(AF_INET, &gone);
	const int own[] = { getpid(), 0 };
	struct port_holder p[3];
	char *pid = arena_printf(&a, "(pid %d)", getpid());

	(void)close(fd);
	for (int ours = 0; ours < 2; ours++) {
		p[0] = (struct port_holder){ MAX(v4, v6), "old" }; /* in no order */
		p[1] = (struct port_holder){ gone, "old" };
		p[2] = (struct port_holder){ MIN(v4, v6), "old" };
		port_holders(&a, p, 3, ours ? own : NULL);
		assert_null(who_has(p, 3, gone));
		for (int i = 0; i < 2; i++) {
			const char *who = who_has(p, 3, i ? v6 : v4);

			if (ours)
				assert_null(who);
			else
				assert_true(who && strstr(who, pid));
		}
	}
	port_holders(&a, NULL, 0, NULL);
	(void)close(fd4);
	(void)close(fd6);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_holders) };

	return cmocka_run_group_tests_name("ingress_ports", tests, NULL, NULL);
}
