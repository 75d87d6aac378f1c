/* Which encodings clients can ask for, and by which names. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "object/feature.h"

const struct media *media_at(const struct apiserver *s, size_t i)
{
	const struct media *all[6] = { &media_json, &media_yaml, &media_protobuf };
	size_t n = 3;

	if (feature_on(FG_CBORServingAndStorage))
		all[n++] = &media_cbor;
	all[n] = s->more_media;
	return i <= n ? all[i] : NULL;
}

void media_add(struct apiserver *s, const struct media *m)
{
	s->more_media = m;
}

bool media_named(const struct media *m, struct sv type)
{
	for (const char *const *t = m->types; *t; t++)
		if (sv_is(type, *t))
			return true;
	return false;
}
