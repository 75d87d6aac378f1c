#include "kubelet/oci/image_ref.h"

#include "pod/image_name.h"

#define REF_MAX 4096

int image_ref_parse(struct arena *a, struct sv text, struct image_ref *ret, struct err *err)
{
	struct sv rest;
	ssize_t at;

	if (text.n > REF_MAX)
		return err_set(err, ERR_BAD_REQUEST, "couldn't parse image name: it has more than %d bytes", REF_MAX);
	if (image_normalize(a, text, &rest, err) < 0)
		return -1;
	*ret = (struct image_ref){ .tag = SV(""), .digest = SV("") };
	at = sv_find(rest, '@');
	if (at >= 0) {
		ret->digest = sv_sub(rest, (size_t)at + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)at);
	}
	at = sv_find(rest, '/'); /* normalized: there is one, and a colon behind it is the tag's */
	ret->registry = sv_sub(rest, 0, (size_t)at);
	rest = sv_sub(rest, (size_t)at + 1, rest.n);
	at = sv_find(rest, ':');
	if (at >= 0) {
		ret->tag = sv_sub(rest, (size_t)at + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)at);
	}
	ret->repository = rest;
	return 0;
}

struct sv image_ref_tagged(struct arena *a, const struct image_ref *r)
{
	return r->tag.n ? arena_svf(a, "%.*s/%.*s:%.*s", SV_ARG(r->registry), SV_ARG(r->repository), SV_ARG(r->tag))
			: SV("");
}

struct sv image_ref_by_digest(struct arena *a, const struct image_ref *r, struct sv digest)
{
	return arena_svf(a, "%.*s/%.*s@%.*s", SV_ARG(r->registry), SV_ARG(r->repository), SV_ARG(digest));
}

struct sv image_ref_text(struct arena *a, const struct image_ref *r)
{
	return arena_svf(a, "%.*s/%.*s%s%.*s%s%.*s", SV_ARG(r->registry), SV_ARG(r->repository), r->tag.n ? ":" : "",
			 SV_ARG(r->tag), r->digest.n ? "@" : "", SV_ARG(r->digest));
}

struct sv image_digest_hex(struct sv s)
{
	struct sv hex = sv_starts(s, SV("sha256:")) ? sv_sub(s, 7, s.n) : SV("");

	if (hex.n != 64)
		return SV("");
	for (size_t i = 0; i < hex.n; i++)
		if (hex_value(hex.p[i]) < 0 || (hex.p[i] >= 'A' && hex.p[i] <= 'F'))
			return SV("");
	return hex;
}
