/* What webhooks answer about tokens and rights: any bytes become a user with a name, a yes, a no, or nothing, and
 * nobody is let in by what cannot be read. */
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/token_hook.h"
#include "apiserver/authz/chain.h"

static void reviews_token(struct sv text, size_t n_asked)
{
	static struct sv own_audiences[] = { { "https://api", 11 } };
	static const struct sv asked[] = { { "vault", 5 }, { "https://api", 11 } };
	const struct sa_accounts own = { .audiences = own_audiences, .n_audiences = 1 };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv heard[ARRAY_LEN(asked)];
	struct token_question t = { .audiences = asked, .n_audiences = n_asked, .ret_audiences = heard };
	struct user_info u = { 0 };
	int rc = token_hook_read(&a, &own, text, &t, &u, &err);
	size_t authenticated = 0;

	BUG_ON((rc < 0) != (err.reason != ERR_NONE) || rc > 1);
	BUG_ON(t.ret_n > n_asked);
	if (rc)
		return;
	BUG_ON(!u.name.n || (n_asked && !t.ret_n));
	for (size_t i = 0; i < u.n_groups; i++)
		authenticated +=
		    sv_is(u.groups[i], "system:authenticated") || sv_is(u.groups[i], "system:unauthenticated");
	BUG_ON(!authenticated && !sv_is(u.name, "system:anonymous"));
	for (size_t i = 0; i < u.n_extra; i++)
		for (size_t k = 0; k < u.extra[i].n_values; k++)
			BUG_ON(u.extra[i].values[k].n > text.n);
}

static void reviews_access(struct sv text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv reason = SV("");
	enum authz_says says = authz_hook_read(&a, text, &reason, &err);

	BUG_ON((says == AUTHZ_LATER) != (err.reason != ERR_NONE));
	BUG_ON(reason.n > 2048);
	/* Who is allowed is so by that word. */
	BUG_ON(says == AUTHZ_ALLOWS && sv_find_sv(text, SV("llowed")) < 0 && sv_find_sv(text, SV("\\u")) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);

	for (size_t asked = 0; asked <= 2; asked++)
		reviews_token(text, asked);
	reviews_access(text);
	return 0;
}
