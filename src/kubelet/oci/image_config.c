#include "kubelet/oci/image_config.h"

#include "codec/json.h"
#include "kubelet/oci/image_ref.h"
#include "net/digest.h"

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#elif defined(__arm__)
#define ARCH "arm"
#elif defined(__riscv)
#define ARCH "riscv64"
#else
#define ARCH "unknown"
#endif

#define PLATFORM "linux/" ARCH
#define INDEX_MAX 1000

enum kind { KIND_NONE, KIND_MANIFEST, KIND_INDEX, KIND_OLD };

static enum kind config_kind(struct sv type)
{
	static const struct {
		const char *name;
		enum kind kind;
	} known[] = {
		{ "application/vnd.docker.distribution.manifest.v2+json", KIND_MANIFEST },
		{ "application/vnd.oci.image.manifest.v1+json", KIND_MANIFEST },
		{ "application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX },
		{ "application/vnd.oci.image.index.v1+json", KIND_INDEX },
		{ "application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_OLD },
		{ "application/vnd.docker.distribution.manifest.v1+json", KIND_OLD },
	};
	ssize_t semi = sv_find(type, ';');

	if (semi >= 0)
		type = sv_trim(sv_sub(type, 0, (size_t)semi));
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (sv_ieq(type, sv_from(known[i].name)))
			return known[i].kind;
	return KIND_NONE;
}

static const struct val *config_at(const struct val *v, const char *key)
{
	return val_member_sv(v, sv_from(key));
}

static struct val *config_document(struct arena *a, struct sv bytes, const char *what, struct err *err)
{
	struct val *v;

	if (bytes.n > IMAGE_DOCUMENT_MAX) {
		(void)err_set(err, ERR_TOO_LARGE, "its %s has more than %zu bytes", what, IMAGE_DOCUMENT_MAX);
		return NULL;
	}
	v = json_decode(a, bytes, NULL, err);
	if (!v)
		(void)err_wrap(err, "its %s", what);
	else if (val_type(v) != VAL_MAP)
		(void)err_set(err, ERR_INVALID, "its %s is no object", what);
	return val_type(v) == VAL_MAP ? v : NULL;
}

static int config_blob(const struct val *v, const char *what, struct image_blob *ret, struct err *err)
{
	int64_t size = val_int_or(config_at(v, "size"), -1);

	ret->digest = val_str(config_at(v, "digest"));
	if (!image_digest_hex(ret->digest).n)
		return err_set(err, ERR_INVALID, "%s of its manifest has no digest of SHA-256: '%.*s'", what,
			       SV_ARG(sv_sub(ret->digest, 0, 100)));
	if (size < 0)
		return err_set(err, ERR_INVALID, "%s of its manifest has no size", what);
	ret->size = (uint64_t)size;
	return 0;
}

/* How well an index's entry fits: 0 not at all. Of variants the newest that this machine runs: amd64's v1 is what all
 * of them run, and no other is known to; arm64 is v8; arm goes down from v7. */
static int config_fit(const struct val *entry)
{
	const struct val *p = config_at(entry, "platform");
	struct sv variant = val_str(config_at(p, "variant"));

	if (!val_is(config_at(p, "os"), "linux") || !val_is(config_at(p, "architecture"), ARCH))
		return 0;
	if (sv_is(sv_from(ARCH), "arm"))
		return sv_is(variant, "v7") || !variant.n ? 7 : sv_is(variant, "v6") ? 6 : sv_is(variant, "v5") ? 5 : 0;
	return !variant.n || sv_is(variant, sv_is(sv_from(ARCH), "arm64") ? "v8" : "v1") ? 1 : 0;
}

static int config_index(const struct val *doc, struct image_manifest *ret, struct err *err)
{
	const struct val *list = config_at(doc, "manifests"), *best = NULL;
	int fits = 0;

	if (val_len(list) > INDEX_MAX)
		return err_set(err, ERR_TOO_LARGE, "its index has more than %d entries", INDEX_MAX);
	VAL_EACH(list, e) {
		enum kind k = config_kind(val_str(config_at(e, "mediaType")));
		/* An index of one image need not say for what: it says so itself. */
		int fit = config_at(e, "platform") ? config_fit(e) : val_len(list) == 1;

		if (fit > fits && (k == KIND_MANIFEST || k == KIND_INDEX)) {
			best = e;
			fits = fit;
		}
	}
	if (!best)
		return err_set(err, ERR_NOT_FOUND, "no match for platform in manifest: not found (this machine is %s)",
			       PLATFORM);
	ret->index = true;
	return config_blob(best, "an entry", &ret->chosen, err);
}

static int config_layers(struct arena *a, const struct val *doc, struct image_manifest *ret, struct err *err)
{
	const struct val *layers = config_at(doc, "layers");

	if (val_type(layers) != VAL_LIST && val_type(layers) != VAL_NULL)
		return err_set(err, ERR_INVALID, "its manifest has layers that are no list");
	if (val_len(layers) > IMAGE_LAYERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "it has more than %d layers", IMAGE_LAYERS_MAX);
	ret->layers = ARENA_ARRAY(a, struct image_blob, val_len(layers) + 1);
	VAL_EACH(layers, l)
		if (config_blob(l, "a layer", &ret->layers[ret->n_layers++], err) < 0)
			return -1;
	return config_blob(config_at(doc, "config"), "the configuration", &ret->config, err);
}

int image_manifest_parse(struct arena *a, struct sv bytes, struct sv media_type, struct image_manifest *ret,
			 struct err *err)
{
	const struct val *doc = config_document(a, bytes, "manifest", err);
	enum kind said, came;
	bool index, manifest;

	*ret = (struct image_manifest){ 0 };
	if (!doc)
		return -1;
	said = config_kind(val_str(config_at(doc, "mediaType")));
	came = config_kind(media_type);
	if (said == KIND_OLD || came == KIND_OLD || (!said && val_int_or(config_at(doc, "schemaVersion"), 2) == 1))
		return err_set(err, ERR_INVALID,
			       "media type \"application/vnd.docker.distribution.manifest.v1+prettyjws\" is no longer "
			       "supported: build the image anew, as \"application/vnd.oci.image.manifest.v1+json\"");
	if (said && came && said != came)
		return err_set(err, ERR_INVALID, "its manifest came as an index and says to be none, or the other way");
	index = val_type(config_at(doc, "manifests")) != VAL_NULL;
	manifest = val_type(config_at(doc, "config")) != VAL_NULL || val_type(config_at(doc, "layers")) != VAL_NULL;
	if (index && manifest)
		return err_set(err, ERR_INVALID, "its manifest is an index and a manifest at once");
	said = said ? said : came;
	if ((said == KIND_INDEX && manifest) || (said == KIND_MANIFEST && index) || (!index && !manifest))
		return err_set(err, ERR_INVALID, "its manifest is neither an image's nor an index");
	return index ? config_index(doc, ret, err) : config_layers(a, doc, ret, err);
}

int image_config_parse(struct arena *a, struct sv bytes, size_t n_layers, struct image_config *ret, struct err *err)
{
	struct val *doc = config_document(a, bytes, "configuration", err);
	const struct val *ids, *config;
	struct sv os, arch;

	*ret = (struct image_config){ 0 };
	if (!doc)
		return -1;
	os = val_str(config_at(doc, "os"));
	arch = val_str(config_at(doc, "architecture"));
	if ((os.n && !sv_is(os, "linux")) || (arch.n && !sv_is(arch, ARCH)))
		return err_set(err, ERR_NOT_FOUND,
			       "no match for platform in manifest: not found (it is for %.*s/%.*s, this machine is "
			       "%s)",
			       SV_ARG(sv_sub(os, 0, 40)), SV_ARG(sv_sub(arch, 0, 40)), PLATFORM);
	ids = config_at(config_at(doc, "rootfs"), "diff_ids");
	if (val_len(ids) != n_layers)
		return err_set(err, ERR_INVALID, "mismatched image rootfs and manifest layers: %zu and %zu",
			       val_len(ids), n_layers);
	ret->diff_ids = ARENA_ARRAY(a, struct sv, n_layers + 1);
	VAL_EACH(ids, id) {
		if (!image_digest_hex(val_str(id)).n)
			return err_set(err, ERR_INVALID,
				       "its configuration has a diff id that is no digest of SHA-256");
		ret->diff_ids[ret->n_layers++] = val_str(id);
	}
	config = config_at(doc, "config");
	ret->config = val_type(config) == VAL_MAP ? val_member_sv_mut(doc, SV("config")) : val_new_map(a);
	return 0;
}

void image_config_user(const struct image_config *c, int64_t *ret_uid, struct sv *ret_name)
{
	struct sv user = val_str(config_at(c->config, "User"));
	ssize_t colon = sv_find(user, ':');

	if (colon >= 0)
		user = sv_sub(user, 0, (size_t)colon);
	*ret_name = SV("");
	if (!user.n) { /* as containerd: root */
		*ret_uid = 0;
	} else if (!sv_to_i64(user, ret_uid) || *ret_uid < 0) {
		*ret_uid = -1;
		*ret_name = user;
	}
}

void image_chain(struct sv below_hex, struct sv diff_hex, char ret[65])
{
	char text[160];

	if (!below_hex.n) {
		memcpy(ret, diff_hex.p, 64);
		ret[64] = '\0';
		return;
	}
	BUG_ON(below_hex.n != 64 || diff_hex.n != 64);
	memcpy(text, "sha256:", 7);
	memcpy(text + 7, below_hex.p, 64);
	memcpy(text + 71, " sha256:", 8);
	memcpy(text + 79, diff_hex.p, 64);
	sha256_hex(sv_make(text, 143), ret);
}
