/* What the kernel remembers of flows, on a real kernel, in a network namespace of the program's own. */
#include "unit.h"

#include "nft/conntrack.h"
#include "nft/nfnl.h"
#include "nft/table.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS 60000
#define SENDERS 2
#define FIRST_PORT 1000
#define KEPT_PORT 1007

struct seen {
	size_t flows, kept;
	bool stale;
};

static bool seen_stale(const struct ct_flow *f, void *ctx)
{
	struct seen *s = ctx;

	s->flows++;
	s->kept += f->orig.dst_port == KEPT_PORT;
	return s->stale && f->orig.dst_port != KEPT_PORT;
}

static int forget(struct mnl_socket *s, bool stale, struct seen *ret)
{
	struct err err = ERR_INIT;
	int n;

	*ret = (struct seen){ .stale = stale };
	n = conntrack_forget(s, false, false, seen_stale, ret, &err);
	if (n < 0)
		fail_msg("%s", err_msg(&err));
	return n;
}

/* A flow to each port, from a port of its own. */
static void send_all(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	for (int i = 0; i < PORTS; i++) {
		to.sin_port = htons((uint16_t)(FIRST_PORT + i));
		/* Nobody listens: the socket hears so now and then. */
		if (sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) < 0)
			assert_int_equal(sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)), 1);
	}
	close(fd);
}

static void link_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

/* Else, on a loaded machine, flows end by themselves while they are counted: those of this namespace alone live on. */
static void live_long(void)
{
	FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "w");

	assert_non_null(f);
	assert_true(fputs("86400", f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* More looks than there are for entries that come back. */
static void test_more_than_a_look_has_room_for(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct mnl_socket *s;
	struct seen seen;
	size_t before, kept;

	link_up();
	if (nft_commands_run(SV("add table inet u; add chain inet u c { type filter hook output priority 0; }; "
				"add rule inet u c ct state new accept"),
			     &err) < 0)
		fail_msg("%s", err_msg(&err));
	live_long();
	s = nfnl_open(&err);
	assert_non_null(s);
	for (int i = 0; i < SENDERS; i++)
		send_all();
	assert_int_equal(forget(s, false, &seen), 0);
	before = seen.flows;
	kept = seen.kept;
	assert_in_range(kept, 1, SENDERS);
	assert_true(before > PORTS / 2); /* a small machine remembers fewer than all */
	assert_int_equal(forget(s, true, &seen), before - kept);
	assert_int_equal(forget(s, false, &seen), 0);
	assert_int_equal(seen.flows, kept);
	assert_int_equal(seen.kept, kept);
	nfnl_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_more_than_a_look_has_room_for) };

	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "SKIPPED: needs the right to make a network namespace\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
