/* An upload in parts: it is begun, which gives it an id; parts are put, each answered with an ETag; a list of those
 * ends it, and only then there is an object. S3 takes 5 GiB in one request and 10,000 parts of that. */
#include "snapshot/s3-internal.h"

struct parts {
	const struct s3_opts *o;
	const char *name;
	int fd;
	struct arena a;
	struct sv id;
	struct buf xml; /* that ends it */
};

int64_t s3_part_bytes(int64_t n)
{
	int64_t mib = INT64_C(1) << 20, least = (n + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	return MAX(S3_PART, (least + mib - 1) / mib * mib);
}

static int parts_begin(struct parts *p, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = p->o, .fd = -1 };
	const char *target = arena_printf(&p->a, "%s?uploads=", s3_call_target(&c, p->name));

	if (s3_call_begin(&c, target, S3_EMPTY_SHA256, err) < 0)
		return -1;
	s3_call_post(&c, SV(""));
	if (s3_call_run(&c, arena_printf(&c.a, "put '%s'", p->name), err) < 0)
		return -1;
	p->id = s3_upload_parse(&p->a, buf_sv(&c.body));
	return p->id.n ? 0
		       : err_set(err, ERR_UNAVAILABLE, "cannot put '%s' in bucket '%s': no upload in parts was begun",
				 p->name, p->o->bucket);
}

static const char *parts_target(struct parts *p, struct s3_call *c, const char *query)
{
	return arena_printf(&c->a, "%s?%suploadId=%s", s3_call_target(c, p->name), query,
			    s3_quote(&c->a, p->id, false));
}

static int parts_one(struct parts *p, int number, int64_t at, int64_t n, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = p->o, .fd = p->fd };
	const char *query = arena_printf(&c.a, "partNumber=%d&", number);
	char sha256[SHA256_HEX];

	if (s3_sha256(p->fd, at, n, sha256, err) < 0 || s3_call_begin(&c, parts_target(p, &c, query), sha256, err) < 0)
		return -1;
	s3_call_upload(&c, at, n);
	if (s3_call_run(&c, arena_printf(&c.a, "put part %d of '%s'", number, p->name), err) < 0)
		return -1;
	if (!*c.etag)
		return err_set(err, ERR_UNAVAILABLE, "cannot put '%s' in bucket '%s': part %d has no ETag", p->name,
			       p->o->bucket, number);
	buf_printf(&p->xml, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, c.etag);
	return 0;
}

/* What goes wrong once this has been answered is in the answer, whose status was sent before. */
static int parts_end(struct parts *p, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = p->o, .fd = -1 };
	const char *what = arena_printf(&p->a, "put '%s'", p->name);
	char sha256[SHA256_HEX];

	sha256_hex(buf_sv(&p->xml), sha256);
	if (s3_call_begin(&c, parts_target(p, &c, ""), sha256, err) < 0)
		return -1;
	s3_call_post(&c, buf_sv(&p->xml));
	if (s3_call_run(&c, what, err) < 0)
		return -1;
	return sv_find_sv(buf_sv(&c.body), SV("<CompleteMultipartUploadResult")) >= 0
		   ? 0
		   : s3_call_refused(&c, what, 200, err);
}

/* Parts that nobody lists are kept, and paid for. */
static void parts_take_back(struct parts *p)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = p->o, .fd = -1 };

	if (s3_call_begin(&c, parts_target(p, &c, ""), S3_EMPTY_SHA256, NULL) < 0)
		return;
	s3_call_method(&c, "DELETE");
	(void)s3_call_run(&c, "take back parts", NULL);
}

int s3_put_parts(const struct s3_opts *o, const char *name, int fd, int64_t n, struct err *err)
{
	struct parts p = { .o = o, .name = name, .fd = fd };
	int64_t part = s3_part_bytes(n);
	int rc = parts_begin(&p, err), number = 1;

	if (rc == 0) {
		buf_adds(&p.xml, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
		for (int64_t at = 0; rc == 0 && at < n; at += part)
			rc = parts_one(&p, number++, at, MIN(part, n - at), err);
		buf_adds(&p.xml, "</CompleteMultipartUpload>");
		if (rc == 0)
			rc = parts_end(&p, err);
		if (rc < 0)
			parts_take_back(&p);
	}
	buf_release(&p.xml);
	arena_release(&p.a);
	return rc;
}
