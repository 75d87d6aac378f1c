/* AuthenticationConfigurations from anywhere are read or refused with a reason; and claims that nobody signed, the same
 * text once more, become a user by all ways there are, or a refusal. */
#include "apiserver/authn/jwt.h"
#include "codec/json.h"
#include "codec/jws.h"

#define MAPPED                                                                                                        \
	"{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, jwt: [{issuer: {url: "           \
	"'https://i', "                                                                                               \
	"audiences: [a]}, claimValidationRules: [{claim: hd, requiredValue: x}, {expression: 'claims.exp > 5'}], "    \
	"claimMappings: {username: {expression: 'claims.sub'}, groups: {expression: 'claims.?g.orValue([])'}, uid: "  \
	"{claim: jti}, extra: [{key: 'e.org/x', valueExpression: 'claims.?x.orValue(\"\")'}]}, userValidationRules: " \
	"[{expression: \"!user.username.startsWith('system:')\"}]}, {issuer: {url: 'https://j', audiences: [a, b], "  \
	"audienceMatchPolicy: MatchAny}, claimMappings: {username: {claim: email, prefix: ''}, groups: {claim: g, "   \
	"prefix: 'p:'}}}]}"

static const struct sv own = { "https://own", 11 };

static void config_text(struct sv text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(jwt_config_unrefp) struct jwt_config *c = jwt_config_parse(text, &own, 1, JWS_ANY, &err);

	BUG_ON(!c && !*err_msg(&err));
	for (size_t i = 0; c && i < c->n_issuers; i++)
		BUG_ON(!c->issuers[i].n_audiences || !sv_starts(c->issuers[i].url, SV("https://")) ||
		       sv_is(c->issuers[i].url, "https://own"));
}

static void config_claims(struct sv text)
{
	static struct jwt_config *c;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *claims = json_decode(&a, text, NULL, NULL);

	if (!c)
		c = jwt_config_parse(SV(MAPPED), &own, 1, JWS_ANY, NULL);
	BUG_ON(!c);
	for (size_t i = 0; claims && i < c->n_issuers; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct user_info u;
		int64_t expires;

		if (jwt_check(&c->issuers[i], &a, claims, NS_PER_SEC, &expires, &err) < 0)
			BUG_ON(err.reason != ERR_UNAUTHORIZED);
		err_release(&err);
		if (jwt_user(&c->issuers[i], &a, claims, &u, &err) < 0)
			BUG_ON(err.reason != ERR_UNAUTHORIZED);
		else
			BUG_ON(!u.name.n ||
			       sv_starts(u.name, SV("system:")) != (i == 1 && sv_starts(u.name, SV("system:"))));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);

	config_text(text);
	config_claims(text);
	return 0;
}
