#include "store/etcd/members.h"

#include "store/etcd/etcd-internal.h"

#define CLUSTER "/etcdserverpb.Cluster/"

static int members_ask(struct store *s, const char *method, struct buf *request, struct buf *answer, struct err *err)
{
	return es_ask(ES(s), method, request, ES_READ_NS, answer, err);
}

static int members_take(struct arena *a, struct sv answer, bool added, struct etcd_members *ret, struct err *err)
{
	if (!etcd_members_read(answer, added, ret->m, &ret->n))
		return err_set(err, ERR_INTERNAL, "etcd: what it says of its members cannot be read");
	for (size_t i = 0; i < ret->n; i++) {
		ret->m[i].name = arena_sv(a, ret->m[i].name);
		ret->m[i].peer = arena_sv(a, ret->m[i].peer);
		ret->m[i].client = arena_sv(a, ret->m[i].client);
	}
	return 0;
}

int etcd_members_list(struct store *s, struct arena *a, struct etcd_members *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;

	if (members_ask(s, CLUSTER "MemberList", &request, &answer, err) < 0)
		return -1;
	return members_take(a, buf_sv(&answer), false, ret, err);
}

int etcd_members_remove(struct store *s, uint64_t id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;

	etcd_member_id_write(&request, id);
	return members_ask(s, CLUSTER "MemberRemove", &request, &answer, err);
}

int etcd_members_move(struct store *s, uint64_t id, struct sv peer, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;

	etcd_member_update_write(&request, id, peer);
	return members_ask(s, CLUSTER "MemberUpdate", &request, &answer, err);
}

static const struct etcd_member *members_at(const struct etcd_members *l, struct sv peer)
{
	for (size_t i = 0; i < l->n; i++)
		if (sv_eq(l->m[i].peer, peer))
			return &l->m[i];
	return NULL;
}

int etcd_members_join(struct store *s, struct arena *a, struct sv peer, struct etcd_members *ret, uint64_t *ret_id,
		      struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	const struct etcd_member *at;
	struct err why = ERR_INIT;

	if (etcd_members_list(s, a, ret, err) < 0)
		return -1;
	/* Who comes from there has nothing of what that one knew, and must not answer in its name. */
	at = members_at(ret, peer);
	if (at && etcd_members_remove(s, at->id, err) < 0)
		return err_wrap(err, "removing the member that was at %.*s", SV_ARG(peer));
	etcd_member_add_write(&request, peer, true);
	if (members_ask(s, CLUSTER "MemberAdd", &request, &answer, &why) == 0) {
		if (members_take(a, buf_sv(&answer), true, ret, err) < 0)
			return -1;
	} else if (!strstr(err_msg(&why), "Peer URLs already exists")) {
		return err_move(err, &why);
	} else { /* it was asked twice, as the first answer was lost */
		err_release(&why);
		if (etcd_members_list(s, a, ret, err) < 0)
			return -1;
	}
	at = members_at(ret, peer);
	if (!at)
		return err_set(err, ERR_INTERNAL, "etcd: the member that was added is not among its members");
	*ret_id = at->id;
	return 0;
}

int etcd_members_promote(struct store *s, uint64_t id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = 1;

	etcd_member_id_write(&request, id);
	if (members_ask(s, CLUSTER "MemberPromote", &request, &answer, &why) == 0)
		return 1;
	if (strstr(err_msg(&why), "in sync with leader"))
		rc = 0;
	else if (!strstr(err_msg(&why), "can only promote a learner member"))
		return err_move(err, &why);
	err_release(&why);
	return rc;
}
