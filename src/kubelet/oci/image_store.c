#include "kubelet/oci/image_store.h"

#include "base/file.h"
#include "base/percent.h"
#include "base/vec.h"
#include "kubelet/oci/image_store-internal.h"
#include "kubelet/oci/layer_unpack.h"
#include "net/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ID_SHORTEST 12
#define SIZE_TEXT_MAX 32

/* --- files --- */

const char *store_path(const struct image_store *s, struct arena *a, const char *dir, struct sv name)
{
	return arena_printf(a, "%s/%s%s%.*s", s->data, dir, name.n ? "/" : "", SV_ARG(name));
}

const char *store_layer(const struct image_store *s, struct arena *a, const char *chain, const char *name)
{
	return arena_printf(a, "%s/" STORE_LAYERS "/%s/%s", s->data, chain, name);
}

int store_blob_read(const struct image_store *s, struct arena *a, struct sv digest, struct sv *ret, struct err *err)
{
	struct sv want = image_digest_hex(digest);
	_cleanup_(err_release) struct err why = ERR_INIT;
	char hex[SHA256_HEX];

	if (!want.n)
		return err_set(err, ERR_INVALID, "'%.*s' is no digest", SV_ARG(digest));
	if (file_read(a, store_path(s, a, STORE_BLOBS, want), IMAGE_DOCUMENT_MAX, ret, &why) < 0)
		return why.errnum == ENOENT ? err_set(err, ERR_NOT_FOUND, "blob %.*s is not there", SV_ARG(digest))
					    : err_move(err, &why);
	sha256_hex(*ret, hex);
	return sv_is(want, hex) ? 0 : err_set(err, ERR_NOT_FOUND, "blob %.*s is damaged", SV_ARG(digest));
}

int store_blob_write(const struct image_store *s, struct arena *a, struct sv digest, struct sv bytes, struct err *err)
{
	return file_write(store_path(s, a, STORE_BLOBS, image_digest_hex(digest)), bytes, 0600, err);
}

struct sv store_ref_file(struct arena *a, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	percent_encode(&b, name, "-._~:@");
	return arena_sv(a, buf_sv(&b));
}

int store_ref_write(const struct image_store *s, struct arena *a, struct sv name, struct sv digest, struct err *err)
{
	struct sv file = store_ref_file(a, name);

	if (file.n > NAME_MAX)
		return err_set(err, ERR_INVALID, "'%.*s' is too long a name", SV_ARG(name));
	return file_write(store_path(s, a, STORE_REFS, file), digest, 0600, err);
}

static struct sv store_ref_read(const struct image_store *s, struct arena *a, struct sv file)
{
	struct sv text;

	if (!file.n || file.n > NAME_MAX || file_read(a, store_path(s, a, STORE_REFS, file), 200, &text, NULL) < 0)
		return SV("");
	return image_digest_hex(text).n ? text : SV("");
}

int store_image_read(const struct image_store *s, struct arena *a, struct sv manifest, struct stored_image *ret,
		     struct err *err)
{
	struct sv bytes;

	if (store_blob_read(s, a, manifest, &bytes, err) < 0 ||
	    image_manifest_parse(a, bytes, SV(""), &ret->manifest, err) < 0)
		return -1;
	if (ret->manifest.index)
		return err_set(err, ERR_INVALID, "%.*s is an index", SV_ARG(manifest));
	ret->id = ret->manifest.config.digest;
	return store_blob_read(s, a, ret->id, &bytes, err) < 0
		   ? -1
		   : image_config_parse(a, bytes, ret->manifest.n_layers, &ret->config, err);
}

/* --- names --- */

static struct sv store_decode(struct arena *a, const char *file)
{
	char *out = arena_strdup(a, file), *to = out;

	for (const char *p = file; *p; p++) {
		if (*p == '%' && p[1] && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
			*to++ = (char)(hex_value(p[1]) << 4 | hex_value(p[2]));
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	return sv_make(out, (size_t)(to - out));
}

static int store_ref_order(const void *x, const void *y)
{
	return sv_cmp(((const struct store_ref *)x)->name, ((const struct store_ref *)y)->name);
}

int store_refs(const struct image_store *s, struct arena *a, struct store_ref **ret, size_t *ret_n, size_t *ret_bad,
	       struct err *err)
{
	VEC(struct store_ref) v = VEC_INIT;
	DIR *d = opendir(store_path(s, a, STORE_REFS, SV("")));

	*ret_bad = 0;
	if (!d)
		return err_set_errno(err, errno, "reading the names of images");
	for (struct dirent *e; (e = readdir(d));) {
		struct store_ref r = { .name = SV("") };

		if (e->d_name[0] == '.')
			continue;
		r.name = store_decode(a, e->d_name);
		r.manifest = store_ref_read(s, a, sv_from(e->d_name));
		r.is_id = sv_starts(r.name, SV("sha256:"));
		if (r.manifest.n && store_image_read(s, a, r.manifest, &r.image, NULL) == 0)
			vec_push(&v, r);
		else
			++*ret_bad;
	}
	closedir(d);
	*ret = ARENA_ARRAY(a, struct store_ref, v.n + 1);
	if (v.n) {
		memcpy(*ret, v.p, v.n * sizeof(*v.p));
		qsort(*ret, v.n, sizeof(**ret), store_ref_order);
	}
	*ret_n = v.n;
	vec_release(&v);
	return 0;
}

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
