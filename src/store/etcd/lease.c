/* Leases, which are etcd's own. */
#include "store/etcd/etcd-internal.h"

static int es_lease_ask(struct es *es, const char *method, struct buf *request, int64_t *ret_id, int64_t *ret_ttl_s,
			struct err *err)
{
	_cleanup_(buf_release) struct buf answer = BUF_INIT;

	if (es_ask(es, method, request, ES_READ_NS, &answer, err) < 0)
		return -1;
	if (!etcd_lease_read(buf_sv(&answer), ret_id, ret_ttl_s))
		return err_set(err, ERR_INTERNAL, "etcd: what it says of a lease cannot be read");
	return 0;
}

int es_lease_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT;
	int64_t ttl;

	etcd_lease_write(&request, ttl_s, id);
	return es_lease_ask(ES(s), "/etcdserverpb.Lease/LeaseGrant", &request, ret_id, &ttl, err);
}

/* A stream, on which one thing is asked and its first answer taken. */
int es_lease_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT;
	int64_t same, ttl;

	etcd_lease_id_write(&request, id);
	if (es_lease_ask(ES(s), "/etcdserverpb.Lease/LeaseKeepAlive", &request, &same, &ttl, err) < 0)
		return -1;
	if (ttl <= 0)
		return err_set(err, ERR_NOT_FOUND, "etcdserver: requested lease not found");
	if (ret_ttl_s)
		*ret_ttl_s = ttl;
	return 0;
}

int es_lease_revoke(struct store *s, int64_t id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT;
	int64_t same, ttl;

	etcd_lease_id_write(&request, id);
	return es_lease_ask(ES(s), "/etcdserverpb.Lease/LeaseRevoke", &request, &same, &ttl, err);
}
