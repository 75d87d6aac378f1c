/* Images: whatever is asked for is in the registry, unless a lever says otherwise. */
#include "kubelet/fake_runtime-internal.h"

#include <stdio.h>

void fake_put_image(struct fake *f, struct sv name) /* locked */
{
	char id[32];

	snprintf(id, sizeof(id), "sha256:%016" PRIx64, sv_hash(name));
	strmap_set(&f->images, name, f);
	strmap_set(&f->image_ids, sv_from(id), f);
}

static void fake_fill_image(struct arena *a, struct sv name, struct rt_image *ret)
{
	struct sv *tags = ARENA_ARRAY(a, struct sv, 1);

	tags[0] = arena_sv(a, name);
	*ret = (struct rt_image){ .id = arena_svf(a, "sha256:%016" PRIx64, sv_hash(name)),
				  .tags = tags,
				  .n_tags = 1,
				  .size_bytes = 1 << 20,
				  .uid = -1 };
}

int fake_image_status(struct runtime *r, struct arena *a, struct sv image, struct rt_image **ret, struct err *err)
{
	struct fake *f = fake_of(r);

	if (fake_enter(f, "image_status", err) < 0)
		return -1;
	*ret = NULL;
	if (strmap_has(&f->images, image)) {
		*ret = ARENA_NEW(a, struct rt_image);
		fake_fill_image(a, image, *ret);
	}
	fake_leave(f);
	return 0;
}

int fake_pull_image(struct runtime *r, struct arena *a, struct sv image, const struct val *auth, _unused_ int stop_fd,
		    struct sv *ret_ref, struct err *err)
{
	struct fake *f = fake_of(r);
	const char *password;

	if (fake_enter(f, "pull_image", err) < 0)
		return -1;
	password = strmap_get(&f->passwords, image);
	if (password && !val_is(val_member_sv(auth, SV("password")), password)) {
		fake_leave(f);
		return err_set(err, ERR_FORBIDDEN, "pull access denied for '%.*s'", SV_ARG(image));
	}
	if (f->strict && !strmap_has(&f->images, image))
		return fake_leave_missing(f, "image in the registry", image, err);
	fake_put_image(f, image);
	*ret_ref = arena_svf(a, "sha256:%016" PRIx64, sv_hash(image));
	fake_leave(f);
	return 0;
}

int fake_list_images(struct runtime *r, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err)
{
	struct fake *f = fake_of(r);

	if (fake_enter(f, "list_images", err) < 0)
		return -1;
	*ret_n = 0;
	*ret = ARENA_ARRAY(a, struct rt_image, f->images.n + 1);
	STRMAP_EACH(&f->images, e)
		fake_fill_image(a, sv_make(e->key, e->key_n), &(*ret)[(*ret_n)++]);
	fake_leave(f);
	return 0;
}

int fake_remove_image(struct runtime *r, struct sv image, struct err *err)
{
	struct fake *f = fake_of(r);

	if (fake_enter(f, "remove_image", err) < 0)
		return -1;
	strmap_del(&f->images, image);
	fake_leave(f);
	return 0;
}
