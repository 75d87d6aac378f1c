/* cli/server_join.h and etcd_member.h, without an etcd: what a server that is there refuses before it asks anybody, who
 * a member is, and where it looks for the others. */
#include "unit.h"

#include "base/file.h"
#include "cli/server_join.h"
#include "ev/ev.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void refused(const char *body)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv said;

	/* There is no store: it would be asked next. */
	assert_int_equal(server_join_answer(NULL, &a, sv_from(body), &said, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	assert_non_null(strstr(err_msg(&err), "peerURL"));
}

static void what_joins(void **state)
{
	char body[400];

	(void)state;
	refused("");
	refused("[]");
	refused("{\"name\":\"a\"}");
	refused("{\"peerURL\":\"https://a:1\"}");
	refused("{\"name\":\"\",\"peerURL\":\"https://a:1\"}");
	refused("{\"name\":3,\"peerURL\":\"https://a:1\"}");
	refused("{\"name\":\"a\",\"peerURL\":\"http://a:1\"}");
	/* It would be more than one member, or another one's. */
	refused("{\"name\":\"a=https://b:1,c\",\"peerURL\":\"https://a:1\"}");
	refused("{\"name\":\"a\",\"peerURL\":\"https://a:1,https://b:1\"}");
	refused("{\"name\":\"a\",\"peerURL\":\"https://a:1\\n\"}");
	refused("{\"name\":\"a b\",\"peerURL\":\"https://a:1\"}");
	refused("{\"name\":\"a\",\"peerURL\":\"https://\u00e4:1\"}");
	snprintf(body, sizeof(body), "{\"name\":\"%0300d\",\"peerURL\":\"https://a:1\"}", 1);
	refused(body);
}

struct rig {
	struct arena a;
	struct env *env;
	char dir[64];
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-member-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->env = env_real_new(1);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	env_real_free(r->env);
	tree_remove(r->dir, NULL);
	arena_release(&r->a);
	free(r);
	return 0;
}

static void members(void **state)
{
	struct rig *r = *state;
	struct etcd_member_opts o = { .env = r->env, .data_dir = r->dir, .address = "10.0.0.1", .port = 2379 };
	struct datastore_opts d = { 0 };
	struct etcd_member_id id, again;

	assert_false(etcd_member_there(r->dir));
	assert_int_equal(etcd_member_identify(&r->a, &o, &id, NULL), 0);
	assert_string_equal(id.peer, "https://10.0.0.1:2380");
	assert_string_equal(id.client, "https://10.0.0.1:2379");
	assert_null(strpbrk(id.name, ",= "));
	/* It keeps its name, wherever it is. */
	o.address = "fd00::1";
	assert_int_equal(etcd_member_identify(&r->a, &o, &again, NULL), 0);
	assert_string_equal(id.name, again.name);
	assert_string_equal(again.peer, "https://[fd00::1]:2380");
	o.address = "10.0.0.1";

	etcd_member_datastore(&r->a, &o, &id, NULL, false, &d);
	assert_string_equal(d.endpoint, "https://127.0.0.1:2379");
	assert_non_null(strstr(d.ca_file, "/pki/etcd-ca.crt"));
	/* Of the others' list its own is left out, as there is a nearer way. */
	etcd_member_note_clients(r->dir, SV("https://10.0.0.2:2379,https://10.0.0.1:2379,https://10.0.0.3:2379"));
	etcd_member_datastore(&r->a, &o, &id, NULL, false, &d);
	assert_string_equal(d.endpoint, "https://127.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379");
	etcd_member_datastore(&r->a, &o, &id, "https://10.0.0.9:2379", true, &d);
	assert_string_equal(d.endpoint, "https://10.0.0.9:2379,https://127.0.0.1:2379");
	assert_int_equal(dir_make(arena_printf(&r->a, "%s/etcd/data/member", r->dir), 0700, NULL), 0);
	assert_true(etcd_member_there(r->dir));
}

/* Another machine's address, a copied unit file: nobody is asked for that one's place. */
static void where_it_would_listen(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct etcd_member_opts o = { .address = "192.0.2.7", .port = 2379 };
	struct err err = ERR_INIT;
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(etcd_member_can_listen(&o, &err), -1);
	assert_int_equal(err.reason, ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "192.0.2.7 is no address of this machine: --advertise-address"));
	err_release(&err);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	o.address = "127.0.0.1";
	o.port = ntohs(sa.sin_port);
	assert_int_equal(etcd_member_can_listen(&o, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	assert_non_null(strstr(err_msg(&err), "--etcd-port"));
	err_release(&err);
	o.port--; /* the members' one */
	assert_int_equal(etcd_member_can_listen(&o, &err), -1);
	err_release(&err);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_joins),
		cmocka_unit_test(where_it_would_listen),
		cmocka_unit_test_setup_teardown(members, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
