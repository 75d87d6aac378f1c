/* A name of an image, from anybody's pod: what is taken names the same image when it is written out and read again. */
#include "kubelet/oci/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct image_ref r, again;
	struct sv text;

	if (image_ref_parse(&a, sv_make((const char *)data, size), &r, NULL) < 0)
		return 0;
	text = image_ref_text(&a, &r);
	BUG_ON(image_ref_parse(&a, text, &again, NULL) < 0 || !sv_eq(image_ref_text(&a, &again), text));
	BUG_ON(!sv_eq(r.repository, again.repository) || sv_find_sv(text, SV("..")) >= 0);
	BUG_ON(!r.tag.n && !r.digest.n);
	return 0;
}
