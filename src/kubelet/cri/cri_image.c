/* Images: which there are, what one is, pulling and removing one. */
#include "kubelet/cri/cri.h"

static void put_image_spec(struct buf *b, uint32_t field, struct sv image)
{
	size_t m = pb_open(b, field);

	pb_sv(b, 1, image);
	pb_close(b, m);
}

static void read_image(struct arena *a, struct sv m, struct rt_image *ret)
{
	struct pb_field uid;

	*ret = (struct rt_image){
		.id = pb_get_sv(m, 1), .size_bytes = pb_get_u64(m, 4), .uid = -1, .username = pb_get_sv(m, 6)
	};
	ret->tags = cri_get_strings(a, m, 2, &ret->n_tags);
	ret->digests = cri_get_strings(a, m, 3, &ret->n_digests);
	if (pb_find(m, 5, &uid) && uid.wire == PB_BYTES)
		ret->uid = (int64_t)pb_get_u64(uid.bytes, 1);
}

int cri_image_status(struct runtime *r, struct arena *a, struct sv image, struct rt_image **ret, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;

	*ret = NULL;
	put_image_spec(&b, 1, image);
	if (cri_image_call(r, a, "ImageStatus", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	if (!pb_get_sv(m, 1).n)
		return 0;
	*ret = ARENA_NEW(a, struct rt_image);
	read_image(a, pb_get_sv(m, 1), *ret);
	return 0;
}

/* auth: {username, password, auth, serverAddress, identityToken, registryToken}, all optional. */
int cri_pull_image(struct runtime *r, struct arena *a, struct sv image, const struct val *auth, int stop_fd,
		   struct sv *ret_ref, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m;
	int rc;

	put_image_spec(&b, 1, image);
	if (val_type(auth) == VAL_MAP) {
		static const char *const names[] = { "username",      "password",      "auth",
						     "serverAddress", "identityToken", "registryToken" };
		size_t f = pb_open(&b, 2);

		for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
			pb_sv(&b, i + 1, val_str(val_member_sv(auth, sv_from(names[i]))));
		pb_close(&b, f);
	}
	rc = grpc_call_until(cri_of(r)->ch, a, "/runtime.v1.ImageService/PullImage", buf_sv(&b), CRI_PULL_TIMEOUT_NS,
			     stop_fd, &m, err);
	buf_release(&b);
	if (rc < 0)
		return -1;
	*ret_ref = pb_get_sv(m, 1);
	return 0;
}

int cri_list_images(struct runtime *r, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err)
{
	struct buf b = BUF_INIT;
	struct rt_image *list;
	struct sv m;

	*ret_n = 0;
	if (cri_image_call(r, a, "ListImages", &b, CRI_LOOK_TIMEOUT_NS, &m, err) < 0)
		return -1;
	list = ARENA_ARRAY(a, struct rt_image, cri_count(m, 1) + 1);
	PB_EACH(m, rd, f)
		if (f.no == 1)
			read_image(a, f.bytes, &list[(*ret_n)++]);
	*ret = list;
	return 0;
}

int cri_remove_image(struct runtime *r, struct sv image, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;

	put_image_spec(&b, 1, image);
	return cri_image_call(r, &a, "RemoveImage", &b, CRI_TIMEOUT_NS, NULL, err);
}
