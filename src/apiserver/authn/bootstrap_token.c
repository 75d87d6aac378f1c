#include "apiserver/authn/bootstrap_token.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"
#include "client/bootstrap_token.h"
#include "net/digest.h"

#define GROUP "system:bootstrappers"
#define GROUPS_MAX 64

static int groups(struct arena *a, struct sv extra, struct user_info *u, struct err *err)
{
	struct sv one;

	u->groups = ARENA_ARRAY(a, struct sv, GROUPS_MAX + 2);
	u->groups[u->n_groups++] = SV(GROUP);
	while (extra.n && sv_split(&extra, ',', &one)) {
		if (!bootstrap_group_good(one) || u->n_groups > GROUPS_MAX)
			return err_set(err, ERR_UNAUTHORIZED, "its auth-extra-groups are not valid");
		if (!user_in_group(u, one))
			u->groups[u->n_groups++] = one;
	}
	u->groups[u->n_groups++] = SV("system:authenticated");
	return 0;
}

/* Of that which is in no Secret: the groups. "": it is not that. */
static struct sv bootstrap_token_known(const struct apiserver *s, const struct join_token *t)
{
	if (!s->o.known_token || !s->o.known_token(s->o.known_token_ctx, t->id, t->secret))
		return SV("");
	if (!s->o.known_token_servers)
		return SV(JOIN_TOKEN_GROUP);
	return s->o.join_token_known ? SV(JOIN_TOKEN_GROUP "," SERVER_TOKEN_GROUP) : SV(SERVER_TOKEN_GROUP);
}

int bootstrap_token_verify(struct apiserver *s, struct arena *a, struct sv token, struct user_info *ret,
			   struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;
	struct join_token t, known;
	struct sv more;
	int64_t end;

	/* The bare form only: the one with the CA's hash is for those who have to find us. */
	if (join_token_parse(token, &t, NULL) < 0 || t.ca_hash.n)
		return 0;
	more = bootstrap_token_known(s, &t);
	if (more.n) {
		*ret = (struct user_info){ .name = arena_svf(a, "system:bootstrap:%.*s", SV_ARG(t.id)) };
		return groups(a, more, ret, err) < 0 ? -1 : 1;
	}
	o = wc_get(s->wc, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS),
		   arena_svf(a, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(t.id)));
	if (!o)
		return err_set(err, ERR_UNAUTHORIZED, "there is no such bootstrap token");
	if (bootstrap_token_read(a, o, "authentication", env_now_ns(s->env), &known, err) < 0)
		return -1;
	if (!secret_equal(known.secret, t.secret))
		return err_set(err, ERR_UNAUTHORIZED, "the secret is wrong");
	end = bootstrap_token_end(o);
	*ret = (struct user_info){ .name = arena_svf(a, "system:bootstrap:%.*s", SV_ARG(t.id)),
				   .expires_ns = end == INT64_MAX ? 0 : end };
	if (groups(a, bootstrap_token_field(a, o, "auth-extra-groups"), ret, err) < 0)
		return -1;
	/* Whoever may write Secrets gives no right to bring servers, and to get the sealed keys with it. */
	if (user_in_group(ret, SV(SERVER_TOKEN_GROUP)))
		return err_set(err, ERR_UNAUTHORIZED,
			       "its auth-extra-groups name the group of servers, whose token is in no Secret");
	return 1;
}
