#include "snapshot/s3.h"

#include "snapshot/s3-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int s3_opts_check(const struct s3_opts *o, struct err *err)
{
	if (!o->bucket || !*o->bucket || strchr(o->bucket, '/'))
		return err_set(err, ERR_INVALID, "--s3-bucket takes the name of a bucket, and --s3 needs one");
	if (!o->access_key != !o->secret_key)
		return err_set(err, ERR_INVALID, "--s3-access-key and --s3-secret-key go together");
	if (o->endpoint && (strstr(o->endpoint, "://") || strchr(o->endpoint, '/')))
		return err_set(err, ERR_INVALID, "--s3-endpoint takes HOST or HOST:PORT, not '%s'", o->endpoint);
	if (o->folder && (*o->folder == '/' || strstr(o->folder, "..")))
		return err_set(err, ERR_INVALID, "--s3-folder takes a folder of the bucket, not '%s'", o->folder);
	if (o->insecure && o->endpoint_ca)
		return err_set(err, ERR_INVALID, "--s3-insecure is http, which has no --s3-endpoint-ca");
	if (o->timeout_s < 0)
		return err_set(err, ERR_INVALID, "--s3-timeout takes seconds, not %d", o->timeout_s);
	return 0;
}

int s3_put(const struct s3_opts *o, const char *name, int fd, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = fd };
	char sha256[SHA256_HEX];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot read what is to be uploaded");
	if (st.st_size > S3_PART)
		return s3_put_parts(o, name, fd, st.st_size, err);
	if (s3_sha256(fd, 0, st.st_size, sha256, err) < 0 ||
	    s3_call_begin(&c, s3_call_target(&c, name), sha256, err) < 0)
		return -1;
	s3_call_upload(&c, 0, st.st_size);
	return s3_call_run(&c, arena_printf(&c.a, "put '%s'", name), err);
}

int s3_get(const struct s3_opts *o, const char *name, int fd, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = fd };

	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, errno, "cannot write what is fetched");
	if (s3_call_begin(&c, s3_call_target(&c, name), S3_EMPTY_SHA256, err) < 0)
		return -1;
	return s3_call_run(&c, arena_printf(&c.a, "get '%s'", name), err);
}

int s3_delete(const struct s3_opts *o, const char *name, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = -1 };

	if (s3_call_begin(&c, s3_call_target(&c, name), S3_EMPTY_SHA256, err) < 0)
		return -1;
	s3_call_method(&c, "DELETE");
	return s3_call_run(&c, arena_printf(&c.a, "delete '%s'", name), err);
}

/* One page; *next: where it begins, and then where the next one does. */
static int list_page(const struct s3_opts *o, struct arena *a, struct s3_objects *list, struct sv *next,
		     struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = -1 };
	struct sv folder = s3_folder(a, o);
	const char *from = next->n ? arena_printf(&c.a, "continuation-token=%s&", s3_quote(&c.a, *next, false)) : "";

	/* Parameters in order, as they are signed. */
	if (s3_call_begin(
		&c, arena_printf(&c.a, "?%sdelimiter=%%2F&list-type=2&prefix=%s", from, s3_quote(&c.a, folder, false)),
		S3_EMPTY_SHA256, err) < 0 ||
	    s3_call_run(&c, "list", err) < 0)
		return -1;
	if (!s3_list_parse(a, buf_sv(&c.body), folder, list, next))
		return err_set(err, ERR_UNAVAILABLE, "bucket '%s' answers no list: is it an S3 service?", o->bucket);
	return 0;
}

static int object_order(const void *a, const void *b)
{
	return sv_cmp(((const struct s3_object *)a)->name, ((const struct s3_object *)b)->name);
}

int s3_list(const struct s3_opts *o, struct arena *a, struct s3_object **ret, size_t *ret_n, struct err *err)
{
	struct s3_objects list = { 0 };
	struct sv next = SV("");
	size_t pages = 0;

	do {
		if (list_page(o, a, &list, &next, err) < 0)
			return -1;
	} while (next.n && ++pages < S3_PAGES_MAX && list.n < S3_LIST_MAX);
	/* What is behind that may be the snapshots: nobody is told that there are none. */
	if (next.n)
		return err_set(
		    err, ERR_TOO_LARGE,
		    "bucket '%s' has more beside the snapshots than is looked through: put them into a folder of "
		    "their own with --s3-folder",
		    o->bucket);
	if (list.n)
		qsort(list.p, list.n, sizeof(list.p[0]), object_order);
	*ret = list.p;
	*ret_n = list.n;
	return 0;
}
