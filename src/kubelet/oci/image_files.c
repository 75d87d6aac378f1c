/* The files of the store: blobs by digest, names with what they mean. */
#include "base/file.h"
#include "base/percent.h"
#include "base/vec.h"
#include "kubelet/oci/image_store-internal.h"
#include "net/digest.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

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
