#include "kubelet/oci/image_store.h"

#include "base/file.h"
#include "kubelet/oci/image_store-internal.h"
#include "kubelet/oci/layer_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ID_SHORTEST 12
#define SIZE_TEXT_MAX 32

/* --- names --- */

/* "sha256:HEX", HEX, or a beginning of it. */
static bool store_is_id(struct sv image, struct sv id)
{
	struct sv hex = sv_starts(image, SV("sha256:")) ? sv_sub(image, 7, image.n) : image;

	return hex.n >= ID_SHORTEST && sv_starts(image_digest_hex(id), hex);
}

/* The image's id; "" : there is none. ids: also one that has no other name. */
static struct sv store_find(struct arena *a, const struct store_ref *refs, size_t n, struct sv image, bool ids)
{
	struct image_ref r;
	struct sv name = SV("");

	for (size_t i = 0; i < n; i++)
		if ((ids || !refs[i].is_id) && store_is_id(image, refs[i].image.id))
			return refs[i].image.id;
	if (image_ref_parse(a, image, &r, NULL) < 0)
		return SV("");
	name = r.digest.n ? image_ref_by_digest(a, &r, r.digest) : image_ref_tagged(a, &r);
	for (size_t i = 0; i < n; i++)
		if (sv_eq(refs[i].name, name))
			return refs[i].image.id;
	return SV("");
}

/* --- images --- */

static uint64_t store_image_bytes(const struct image_store *s, struct arena *a, const struct stored_image *image)
{
	uint64_t sum = image->manifest.config.size;
	char chain[65] = "";

	for (size_t i = 0; i < image->config.n_layers; i++) {
		struct sv text;
		uint64_t bytes;

		image_chain(sv_from(chain), image_digest_hex(image->config.diff_ids[i]), chain);
		if (file_read(a, store_layer(s, a, chain, "size"), SIZE_TEXT_MAX, &text, NULL) == 0 &&
		    sv_to_u64(text, &bytes) && bytes < UINT64_MAX - sum)
			sum += bytes;
	}
	return sum;
}

static void store_describe(const struct image_store *s, struct arena *a, const struct store_ref *refs, size_t n,
			   const struct stored_image *image, struct rt_image *ret)
{
	struct sv *tags = ARENA_ARRAY(a, struct sv, n + 1), *digests = ARENA_ARRAY(a, struct sv, n + 1);

	*ret = (struct rt_image){ .id = image->id, .tags = tags, .digests = digests };
	for (size_t i = 0; i < n; i++) {
		if (refs[i].is_id || !sv_eq(refs[i].image.id, image->id))
			continue;
		if (sv_find(refs[i].name, '@') >= 0)
			digests[ret->n_digests++] = refs[i].name;
		else
			tags[ret->n_tags++] = refs[i].name;
	}
	ret->size_bytes = store_image_bytes(s, a, image);
	image_config_user(&image->config, &ret->uid, &ret->username);
}

static const struct stored_image *store_by_id(const struct store_ref *refs, size_t n, struct sv id)
{
	for (size_t i = 0; i < n; i++)
		if (id.n && sv_eq(refs[i].image.id, id))
			return &refs[i].image;
	return NULL;
}

int image_store_status(struct image_store *s, struct arena *a, struct sv image, struct rt_image **ret, struct err *err)
{
	struct store_ref *refs;
	const struct stored_image *found;
	size_t n, bad;

	*ret = NULL;
	if (store_refs(s, a, &refs, &n, &bad, err) < 0)
		return -1;
	found = store_by_id(refs, n, store_find(a, refs, n, image, false));
	if (found) {
		*ret = ARENA_NEW(a, struct rt_image);
		store_describe(s, a, refs, n, found, *ret);
	}
	return 0;
}

int image_store_list(struct image_store *s, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err)
{
	struct store_ref *refs;
	struct strmap seen = STRMAP_INIT;
	size_t n, bad;

	*ret_n = 0;
	if (store_refs(s, a, &refs, &n, &bad, err) < 0)
		return -1;
	*ret = ARENA_ARRAY(a, struct rt_image, n + 1);
	for (size_t i = 0; i < n; i++)
		if (!refs[i].is_id && !strmap_set(&seen, refs[i].image.id, s))
			store_describe(s, a, refs, n, &refs[i].image, &(*ret)[(*ret_n)++]);
	strmap_release(&seen);
	return 0;
}

int image_store_remove(struct image_store *s, struct sv image, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_ref *refs;
	struct sv id;
	size_t n, bad;

	if (store_refs(s, &a, &refs, &n, &bad, err) < 0)
		return -1;
	id = store_find(&a, refs, n, image, false);
	for (size_t i = 0; id.n && i < n; i++)
		if (!refs[i].is_id && sv_eq(refs[i].image.id, id) &&
		    unlink(store_path(s, &a, STORE_REFS, store_ref_file(&a, refs[i].name))) < 0 && errno != ENOENT)
			return err_set_errno(err, errno, "removing the name '%.*s'", SV_ARG(refs[i].name));
	store_collect(s);
	return 0;
}

int image_store_usage(struct image_store *s, uint64_t *ret_bytes, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int dir = open(store_path(s, &a, "images", SV("")), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t n = dir < 0 ? -1 : tree_bytes(dir);

	if (n < 0)
		return err_set_errno(err, errno, "measuring the images");
	*ret_bytes = (uint64_t)n;
	return 0;
}

/* --- containers --- */

static bool store_is_opaque(const char *dir)
{
	char v[4];

	return lgetxattr(dir, LAYER_OPAQUE, v, sizeof(v)) == 1 && *v == 'y';
}

int image_store_hold(struct image_store *s, struct arena *a, struct sv image, struct image_use *ret, struct err *err)
{
	struct store_ref *refs;
	const struct stored_image *found;
	const char **layers;
	char chain[65] = "";
	size_t n, bad;
	void **held;
	int rc;

	pthread_rwlock_rdlock(&s->files);
	rc = store_refs(s, a, &refs, &n, &bad, err);
	if (rc < 0) {
		pthread_rwlock_unlock(&s->files);
		return -1;
	}
	pthread_mutex_lock(&s->lock);
	found = store_by_id(refs, n, store_find(a, refs, n, image, true));
	if (found) {
		held = strmap_slot(&s->held, found->id);
		*held = (void *)((uintptr_t)*held + 1);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_rwlock_unlock(&s->files);
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "image \"%.*s\": not found", SV_ARG(image));
	*ret = (struct image_use){ .id = found->id, .config = found->config.config };
	layers = ARENA_ARRAY(a, const char *, found->config.n_layers + 1);
	for (size_t i = 0; i < found->config.n_layers; i++) {
		image_chain(sv_from(chain), image_digest_hex(found->config.diff_ids[i]), chain);
		layers[ret->n_layers] = store_layer(s, a, chain, "fs");
		/* It hides all below, which overlayfs does not see at a root. */
		if (store_is_opaque(layers[ret->n_layers])) {
			layers[0] = layers[ret->n_layers];
			ret->n_layers = 0;
		}
		ret->n_layers++;
	}
	ret->layers = layers;
	return 0;
}

void image_store_drop(struct image_store *s, struct sv id)
{
	uintptr_t n;

	pthread_mutex_lock(&s->lock);
	n = (uintptr_t)strmap_get(&s->held, id);
	if (n > 1)
		(void)strmap_set(&s->held, id, (void *)(n - 1));
	else
		(void)strmap_del(&s->held, id);
	pthread_mutex_unlock(&s->lock);
	if (n <= 1)
		store_collect(s);
}

/* --- the whole --- */

struct image_store *image_store_open(struct env *e, const struct oci_paths *p, struct err *err)
{
	static const char *const dirs[] = { STORE_BLOBS, STORE_LAYERS, STORE_REFS, STORE_NEW };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct image_store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->env = e;
	s->data = xstrdup(p->data);
	pthread_mutex_init(&s->lock, NULL);
	pthread_rwlock_init(&s->files, NULL);
	rc = tree_remove(store_path(s, &a, STORE_NEW, SV("")), err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dirs); i++)
		rc = dir_make(store_path(s, &a, dirs[i], SV("")), 0700, err);
	return rc == 0 ? s : image_store_close(s);
}

struct image_store *image_store_close(struct image_store *s)
{
	if (!s)
		return NULL;
	strmap_release(&s->under_way);
	strmap_release(&s->held);
	pthread_rwlock_destroy(&s->files);
	pthread_mutex_destroy(&s->lock);
	free(s->data);
	free(s);
	return NULL;
}
