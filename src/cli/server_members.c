#include "cli/server_members.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/etcd_member.h"
#include "codec/json.h"
#include "store/etcd/members.h"
#include "store/store.h"

#include <errno.h>

#define NAME_MAX_BYTES ((size_t)4096)

int server_members_list(struct store *etcd, struct arena *a, const char *own, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf json = BUF_INIT;
	struct val *doc = val_new_map(a), *list = val_new_list(a);
	struct etcd_members l;

	if (etcd_members_list(etcd, a, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.n; i++) {
		const struct etcd_member *m = &l.m[i];
		struct val *one = val_new_map(a);

		val_set_str_sv(a, one, SV("name"), m->name);
		val_set_str_sv(a, one, SV("id"), arena_svf(a, "%016" PRIx64, m->id));
		val_set_str_sv(a, one, SV("peerURL"), m->peer);
		val_set_str_sv(a, one, SV("clientURL"), m->client);
		val_set_sv(a, one, SV("learner"), val_new_bool(a, m->learner));
		val_set_sv(a, one, SV("answers"), val_new_bool(a, etcd_members_answers(etcd, m)));
		val_set_sv(a, one, SV("asked"), val_new_bool(a, sv_is(m->name, own)));
		val_push(a, list, one);
	}
	val_set_sv(a, doc, SV("members"), list);
	json_encode(&json, doc);
	*ret = arena_sv(a, buf_sv(&json));
	return 0;
}

static int members_take_away(struct store *etcd, struct arena *a, struct sv name, struct sv *ret, struct err *err)
{
	const struct etcd_member *m;
	struct etcd_members l;

	if (etcd_members_list(etcd, a, &l, err) < 0)
		return -1;
	m = etcd_members_named(&l, name, err);
	if (!m)
		return -1;
	*ret = m->name.n ? m->name : m->peer;
	if (etcd_members_may_go(etcd, &l, m->id, err) < 0 || etcd_members_remove(etcd, m->id, err) < 0)
		return err_wrap(err, "'%.*s' stays", SV_ARG(*ret));
	return 0;
}

int server_members_remove(struct store *etcd, struct arena *a, struct sv name, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf json = BUF_INIT;
	struct val *doc = val_new_map(a);
	struct sv removed;

	if (members_take_away(etcd, a, name, &removed, err) < 0)
		return -1;
	log_info("server", "a server is removed from the cluster", "member", "%.*s", SV_ARG(removed));
	val_set_str_sv(a, doc, SV("removed"), removed);
	json_encode(&json, doc);
	*ret = arena_sv(a, buf_sv(&json));
	return 0;
}

int server_members_leave(struct env *env, struct arena *a, const char *data_dir, const char **ret_name, struct err *err)
{
	struct sv name, clients, removed;
	struct datastore_opts d = { 0 };
	struct store *s;
	int rc;

	if (!etcd_member_there(data_dir))
		return 0;
	if (file_read(a, arena_printf(a, "%s/etcd/name", data_dir), NAME_MAX_BYTES, &name, err) < 0 ||
	    file_read(a, arena_printf(a, "%s/etcd/clients", data_dir), NAME_MAX_BYTES, &clients, err) < 0)
		return err_wrap(err, "who this server's etcd is and where the others are");
	name = sv_trim(name);
	etcd_member_way(a, data_dir, &d);
	d.endpoint = arena_cstr(a, sv_trim(clients));
	s = datastore_etcd(env, a, &d, err);
	if (!s)
		return -1;
	rc = members_take_away(s, a, name, &removed, err);
	store_close(s);
	*ret_name = arena_cstr(a, name);
	return rc < 0 ? -1 : 1;
}
