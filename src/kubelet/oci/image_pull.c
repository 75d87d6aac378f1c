/* A pull: manifest, configuration, layers from below, and at the end the names. */
#include "base/buf.h"
#include "base/file.h"
#include "kubelet/oci/image_store-internal.h"
#include "kubelet/oci/layer_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 100 /* for a layer that somebody else unpacks */

struct image_pull {
	struct image_store *s;
	struct arena *a;
	struct registry_call *c;
	struct image_ref ref;
	struct sv top, digest, bytes; /* digest of what the name means; of the manifest, and that itself */
	struct sv config_bytes;
	struct stored_image image;
	int below[IMAGE_LAYERS_MAX]; /* layers already there, lowest first */
	size_t n_below;
};

static int pull_resolve(struct image_pull *p, struct err *err)
{
	struct sv want = p->ref.digest.n ? p->ref.digest : p->ref.tag, type;

	if (p->ref.digest.n && !image_digest_hex(want).n)
		return err_set(err, ERR_INVALID, "only digests of SHA-256 are known: '%.*s'", SV_ARG(want));
	for (int i = 0; i <= IMAGE_INDEX_DEPTH; i++) {
		if (registry_manifest(p->c, p->a, want, &p->bytes, &type, &p->digest, err) < 0 ||
		    image_manifest_parse(p->a, p->bytes, type, &p->image.manifest, err) < 0)
			return -1;
		if (i == 0)
			p->top = p->digest;
		if (!p->image.manifest.index)
			return 0;
		want = p->image.manifest.chosen.digest;
	}
	return err_set(err, ERR_INVALID, "its index has more than %d indexes in each other", IMAGE_INDEX_DEPTH);
}

static int pull_config(struct image_pull *p, struct err *err)
{
	const struct image_blob *want = &p->image.manifest.config;
	_cleanup_(buf_release) struct buf b = { .limit = IMAGE_DOCUMENT_MAX };
	struct registry_blob *blob;
	char piece[4096];
	ssize_t n = -1;

	if (want->size > IMAGE_DOCUMENT_MAX)
		return err_set(err, ERR_TOO_LARGE, "its configuration has more than %zu bytes", IMAGE_DOCUMENT_MAX);
	blob = registry_blob_open(p->c, want->digest, want->size, err);
	while (blob && (n = registry_blob_read(blob, piece, sizeof(piece), err)) > 0)
		buf_add(&b, piece, (size_t)n);
	registry_blob_close(blob);
	if (n < 0)
		return -1;
	p->image.id = want->digest;
	p->config_bytes = arena_sv(p->a, buf_sv(&b));
	return image_config_parse(p->a, p->config_bytes, p->image.manifest.n_layers, &p->image.config, err);
}

/* --- a layer --- */

static int pull_unpack(struct image_pull *p, size_t i, int dir, struct layer_sums *sums, struct err *err)
{
	const struct image_blob *want = &p->image.manifest.layers[i];
	const struct image_limits none = { UINT64_MAX, UINT64_MAX }; /* the disk's room is the caller's: pull_guard.h */
	struct registry_blob *blob = registry_blob_open(p->c, want->digest, want->size, err);
	int highest[IMAGE_LAYERS_MAX], rc;

	if (!blob)
		return -1;
	for (size_t k = 0; k < p->n_below; k++)
		highest[k] = p->below[p->n_below - 1 - k];
	rc = layer_unpack(dir, highest, p->n_below, registry_blob_read, blob, &none, sums, err);
	registry_blob_close(blob);
	if (rc < 0)
		return err_wrap(err, "failed to extract layer %.*s", SV_ARG(p->image.config.diff_ids[i]));
	if (!sv_is(image_digest_hex(p->image.config.diff_ids[i]), sums->unpacked))
		return err_set(err, ERR_INVALID, "wrong diff id calculated on extraction \"sha256:%s\", expected %.*s",
			       sums->unpacked, SV_ARG(p->image.config.diff_ids[i]));
	return 0;
}

/* Made aside; on the disk as a whole, then named. */
static int pull_make(struct image_pull *p, size_t i, const char *chain, struct err *err)
{
	const char *new = store_path(p->s, p->a, STORE_NEW, sv_from(chain));
	const char *fs = arena_printf(p->a, "%s/fs", new), *to = store_path(p->s, p->a, STORE_LAYERS, sv_from(chain));
	_cleanup_close_ int dir = -1, above = open(store_path(p->s, p->a, STORE_LAYERS, SV("")),
						   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct layer_sums sums;

	if (tree_remove(new, err) < 0 || dir_make(fs, 0755, err) < 0)
		return -1;
	dir = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || above < 0)
		return err_set_errno(err, errno, "opening '%s'", fs);
	if (pull_unpack(p, i, dir, &sums, err) < 0 ||
	    file_write(arena_printf(p->a, "%s/diff", new), p->image.config.diff_ids[i], 0600, err) < 0 ||
	    file_write(arena_printf(p->a, "%s/size", new), arena_svf(p->a, "%" PRIu64, sums.bytes), 0600, err) < 0)
		return -1;
	if (syncfs(dir) < 0 || rename(new, to) < 0 || fsync(above) < 0)
		return err_set_errno(err, errno, "keeping layer '%s'", to);
	return 0;
}

static bool pull_begins(struct image_pull *p, const char *chain)
{
	bool mine;

	pthread_mutex_lock(&p->s->lock);
	mine = !strmap_has(&p->s->under_way, sv_from(chain));
	if (mine)
		(void)strmap_set(&p->s->under_way, sv_from(chain), p);
	pthread_mutex_unlock(&p->s->lock);
	return mine;
}

static void pull_ends(struct image_pull *p, const char *chain)
{
	pthread_mutex_lock(&p->s->lock);
	(void)strmap_del(&p->s->under_way, sv_from(chain));
	pthread_mutex_unlock(&p->s->lock);
}

static int pull_layer(struct image_pull *p, size_t i, const char *chain, struct err *err)
{
	const char *fs = store_layer(p->s, p->a, chain, "fs");
	int rc = 0;

	while (!pull_begins(p, chain))
		if (registry_stopped(p->c, WAIT_MS, err) < 0)
			return -1;
	if (access(fs, F_OK) < 0) {
		rc = pull_make(p, i, chain, err);
		if (rc < 0)
			(void)tree_remove(store_path(p->s, p->a, STORE_NEW, sv_from(chain)), NULL);
	}
	pull_ends(p, chain);
	if (rc < 0)
		return -1;
	p->below[p->n_below] = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->below[p->n_below] < 0)
		return err_set_errno(err, errno, "opening '%s'", fs);
	p->n_below++;
	return 0;
}

static int pull_layers(struct image_pull *p, struct err *err)
{
	char chain[65] = "";

	for (size_t i = 0; i < p->image.config.n_layers; i++) {
		image_chain(sv_from(chain), image_digest_hex(p->image.config.diff_ids[i]), chain);
		if (pull_layer(p, i, chain, err) < 0)
			return -1;
	}
	return 0;
}

/* --- all of it --- */

static int pull_keep(struct image_pull *p, struct err *err)
{
	struct sv tagged = image_ref_tagged(p->a, &p->ref);

	if (store_blob_write(p->s, p->a, p->digest, p->bytes, err) < 0 ||
	    store_blob_write(p->s, p->a, p->image.id, p->config_bytes, err) < 0 ||
	    store_ref_write(p->s, p->a, p->image.id, p->digest, err) < 0 ||
	    store_ref_write(p->s, p->a, image_ref_by_digest(p->a, &p->ref, p->top), p->digest, err) < 0)
		return -1;
	/* With a digest beside it a tag says nothing. */
	return tagged.n && !p->ref.digest.n ? store_ref_write(p->s, p->a, tagged, p->digest, err) : 0;
}

static int pull_run(struct image_pull *p, struct err *err)
{
	struct sv text = image_ref_text(p->a, &p->ref);
	int rc = pull_resolve(p, err);

	if (rc < 0) {
		if (err && err->reason == ERR_NOT_FOUND && !strcmp(err_msg(err), "not found"))
			(void)err_wrap(err, "%.*s", SV_ARG(text));
		(void)err_wrap(err, "failed to resolve reference \"%.*s\"", SV_ARG(text));
	}
	if (rc == 0 && (pull_config(p, err) < 0 || pull_layers(p, err) < 0 || pull_keep(p, err) < 0))
		rc = -1;
	for (size_t i = 0; i < p->n_below; i++)
		close(p->below[i]);
	return rc < 0 ? err_wrap(err, "failed to pull and unpack image \"%.*s\"", SV_ARG(text)) : 0;
}

int image_store_pull(struct image_store *s, struct arena *a, struct sv image, const struct registry_config *rc,
		     const struct val *auth, int stop_fd, struct sv *ret_ref, struct err *err)
{
	struct image_pull p = { .s = s, .a = a };
	struct registry_endpoint *e;
	size_t n;
	int r;

	if (image_ref_parse(a, image, &p.ref, err) < 0)
		return -1;
	n = registry_endpoints(rc, a, &p.ref, auth, &e);
	p.c = registry_begin(e, n, stop_fd, err);
	if (!p.c)
		return -1;
	pthread_rwlock_rdlock(&s->files);
	r = pull_run(&p, err);
	pthread_rwlock_unlock(&s->files);
	registry_end(p.c);
	store_collect(s);
	*ret_ref = p.image.id;
	return r;
}
