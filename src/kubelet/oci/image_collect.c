/* What no name and no container reaches goes: marked from the names, swept over the directories. */
#include "base/file.h"
#include "kubelet/oci/image_ref.h"
#include "kubelet/oci/image_store-internal.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static bool collect_named(const struct store_ref *refs, size_t n, struct sv id)
{
	for (size_t i = 0; i < n; i++)
		if (!refs[i].is_id && sv_eq(refs[i].image.id, id))
			return true;
	return false;
}

static bool collect_wanted(struct image_store *s, const struct store_ref *refs, size_t n, const struct store_ref *r)
{
	bool held;

	if (!r->is_id || collect_named(refs, n, r->image.id))
		return true;
	pthread_mutex_lock(&s->lock);
	held = strmap_has(&s->held, r->image.id);
	pthread_mutex_unlock(&s->lock);
	return held;
}

static void collect_mark(struct strmap *live, const struct store_ref *r)
{
	char chain[65] = "";

	(void)strmap_set(live, image_digest_hex(r->manifest), live);
	(void)strmap_set(live, image_digest_hex(r->image.id), live);
	for (size_t i = 0; i < r->image.config.n_layers; i++) {
		image_chain(sv_from(chain), image_digest_hex(r->image.config.diff_ids[i]), chain);
		(void)strmap_set(live, sv_from(chain), live);
	}
}

static void collect_sweep(struct image_store *s, struct arena *a, const char *dir, const struct strmap *live)
{
	DIR *d = opendir(store_path(s, a, dir, SV("")));

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		const char *from, *to;

		if (e->d_name[0] == '.' || strmap_has(live, sv_from(e->d_name)))
			continue;
		/* First its name: half a layer is none. */
		from = store_path(s, a, dir, sv_from(e->d_name));
		to = store_path(s, a, STORE_NEW, sv_from(e->d_name));
		if (tree_remove(to, NULL) == 0 && rename(from, to) == 0)
			(void)tree_remove(to, NULL);
	}
	closedir(d);
}

void store_collect(struct image_store *s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct strmap live = STRMAP_INIT;
	struct store_ref *refs;
	size_t n, bad;

	if (pthread_rwlock_trywrlock(&s->files) != 0)
		return;
	if (store_refs(s, &a, &refs, &n, &bad, NULL) == 0 && !bad) {
		for (size_t i = 0; i < n; i++)
			if (collect_wanted(s, refs, n, &refs[i]))
				collect_mark(&live, &refs[i]);
			else
				(void)unlink(store_path(s, &a, STORE_REFS, store_ref_file(&a, refs[i].name)));
		collect_sweep(s, &a, STORE_LAYERS, &live);
		collect_sweep(s, &a, STORE_BLOBS, &live);
	}
	pthread_rwlock_unlock(&s->files);
	strmap_release(&live);
}
