/* Which encodings clients can ask for, and by which names. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"

const struct media *media_at(const struct apiserver *s, size_t i)
{
	const struct media *const all[] = { &media_json, &media_yaml, &media_protobuf, s->more_media };

	return i < ARRAY_LEN(all) ? all[i] : NULL;
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
