/* Before a further server writes what joined nodes are told (facts.h) it looks what is there: with others beside it
 * that is theirs to say as well. Read from the store itself, as the API server is not there yet. */
#include "apiserver/bootstrap/masters.h"
#include "base/log.h"
#include "cli/server.h"
#include "codec/json.h"
#include "store/store.h"

#define FACTS_KEY "/registry/configmaps/" FACTS_NS "/" FACTS_NAME

struct others {
	struct ip_addr own;
	bool there;
};

static int others_one(const struct store_kv *kv, void *ctx)
{
	struct others *x = ctx;
	struct master m;

	x->there = x->there || (master_read(kv->key, kv->value, 0, &m) && memcmp(&m.ip, &x->own, sizeof(m.ip)) != 0);
	return 0;
}

static int others_there(const struct server_opts *o, struct store *s, bool *ret, struct err *err)
{
	struct others x = { .own = IP_NONE };
	int64_t rev;

	(void)(o->advertise_address && ip_parse(sv_from(o->advertise_address), &x.own));
	if (store_range(s, SV(MASTERS_KEYS), SV("/registry/masterleases0"), 0, 0, others_one, &x, &rev, err) < 0)
		return -1;
	*ret = x.there;
	return 0;
}

int server_facts_settle(struct server_opts *o, struct arena *a, struct store *s, bool *ret_fresh, struct err *err)
{
	struct store_found f;
	struct cluster_facts theirs;
	struct err why = ERR_INIT;
	bool others = false;
	int rc;

	if (store_read(s, a, SV(FACTS_KEY), &f, err) < 0 || others_there(o, s, &others, err) < 0)
		return -1;
	*ret_fresh = !f.rev;
	/* One that cannot be read is written anew, by whoever starts. */
	if (!f.rev || facts_parse(a, val_get(json_decode(a, f.value, NULL, NULL), F_data), &theirs, NULL) < 0)
		return 0;
	rc = facts_agree(a, &o->facts, &theirs, &why);
	facts_release(&theirs);
	if (rc == 0)
		return 0;
	if (others)
		return err_move(err, &why);
	log_warn("server", "what holds for the whole cluster changes, as no other server is there", "change", "%s",
		 err_msg(&why));
	err_release(&why);
	return 0;
}
