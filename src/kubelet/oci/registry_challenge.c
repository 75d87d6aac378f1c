#include "kubelet/oci/registry_challenge.h"

#include "base/buf.h"

static void challenge_space(struct sv *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == ','))
		*s = sv_sub(*s, 1, s->n);
}

static struct sv challenge_token(struct sv *s)
{
	size_t n = 0;
	struct sv t;

	while (n < s->n && !strchr(" \t,=\"", s->p[n]) && s->p[n])
		n++;
	t = sv_sub(*s, 0, n);
	*s = sv_sub(*s, n, s->n);
	return t;
}

/* A token or a quoted string; what follows is left in *s. */
static struct sv challenge_value(struct arena *a, struct sv *s)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t i = 1;

	if (!s->n || *s->p != '"')
		return arena_sv(a, challenge_token(s));
	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		buf_addc(&b, s->p[i]);
	}
	*s = sv_sub(*s, i + 1, s->n);
	return arena_sv(a, buf_sv(&b));
}

void registry_challenge_parse(struct arena *a, struct sv value, struct registry_challenge *c)
{
	bool in_bearer = false;

	value = sv_sub(value, 0, REGISTRY_CHALLENGE_MAX);
	for (challenge_space(&value); value.n; challenge_space(&value)) {
		struct sv word = challenge_token(&value), text;

		if (value.n && *value.p == '=' && word.n) {
			value = sv_sub(value, 1, value.n);
			text = challenge_value(a, &value);
			if (in_bearer && sv_ieq(word, SV("realm")))
				c->realm = text;
			else if (in_bearer && sv_ieq(word, SV("service")))
				c->service = text;
			continue;
		}
		if (!word.n) { /* not the start of anything */
			value = sv_sub(value, 1, value.n);
			continue;
		}
		in_bearer = sv_ieq(word, SV("Bearer")) && !c->bearer;
		c->bearer |= in_bearer;
		c->basic |= sv_ieq(word, SV("Basic"));
	}
}

struct sv registry_origin(struct sv url)
{
	size_t from = sv_starts(url, SV("https://")) ? 8 : sv_starts(url, SV("http://")) ? 7 : 0, n = from;

	while (n < url.n && !strchr("/?#", url.p[n]) && url.p[n]) {
		if (url.p[n] == '@' || url.p[n] == '\\' || (unsigned char)url.p[n] <= ' ')
			return SV("");
		n++;
	}
	return from && n > from ? sv_sub(url, 0, n) : SV("");
}

bool registry_may_follow(struct sv from, struct sv to)
{
	return registry_origin(to).n && (!sv_starts(from, SV("https://")) || sv_starts(to, SV("https://")));
}

bool registry_address_is_local(struct sv ip)
{
	if (sv_ieq(sv_sub(ip, 0, 7), SV("::ffff:")))
		ip = sv_sub(ip, 7, ip.n);
	return sv_starts(ip, SV("169.254.")) || sv_ieq(sv_sub(ip, 0, 3), SV("fe8")) ||
	       sv_ieq(sv_sub(ip, 0, 3), SV("fe9")) || sv_ieq(sv_sub(ip, 0, 3), SV("fea")) ||
	       sv_ieq(sv_sub(ip, 0, 3), SV("feb")) || sv_ieq(sv_sub(ip, 0, 9), SV("fd00:ec2:"));
}
