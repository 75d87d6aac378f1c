/* One request to an S3 service, by libcurl, and what it answers. */
#include "base/b64.h"
#include "base/lazylib.h"
#include "snapshot/file_sum.h"
#include "snapshot/s3-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ENDPOINT "s3.amazonaws.com"
#define REGION "us-east-1"
#define TIMEOUT_S 300
#define PAGE_MAX ((size_t)8 << 20) /* a thousand names of a kilobyte, and tags */
#define ERROR_MAX ((size_t)64 << 10)

static typeof(curl_global_init) *sym_global_init;
static typeof(curl_easy_init) *sym_init;
static typeof(curl_easy_cleanup) *sym_cleanup;
static typeof(curl_easy_setopt) *sym_setopt;
static typeof(curl_easy_perform) *sym_perform;
static typeof(curl_easy_getinfo) *sym_getinfo;
static typeof(curl_easy_strerror) *sym_strerror;
static typeof(curl_slist_append) *sym_slist_append;
static typeof(curl_slist_free_all) *sym_slist_free;
static const struct lazylib_sym curl_syms[] = {
	{ "curl_global_init", &sym_global_init },   { "curl_easy_init", &sym_init },
	{ "curl_easy_cleanup", &sym_cleanup },	    { "curl_easy_setopt", &sym_setopt },
	{ "curl_easy_perform", &sym_perform },	    { "curl_easy_getinfo", &sym_getinfo },
	{ "curl_easy_strerror", &sym_strerror },    { "curl_slist_append", &sym_slist_append },
	{ "curl_slist_free_all", &sym_slist_free },
};
static struct lazylib curl_lib = LAZYLIB("libcurl.so.4", curl_syms);

struct sv s3_folder(struct arena *a, const struct s3_opts *o)
{
	struct sv f = sv_from(o->folder ? o->folder : "");

	return !f.n || sv_ends(f, SV("/")) ? f : arena_svf(a, "%.*s/", SV_ARG(f));
}

/* A disk that somebody else's answer may fill is the database's. */
static bool s3_call_room(struct s3_call *c)
{
	curl_off_t comes = -1;
	struct statvfs v;

	(void)sym_getinfo(c->h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &comes);
	c->comes = comes;
	c->refused =
	    comes < 0 || fstatvfs(c->fd, &v) < 0 || !v.f_frsize || (uint64_t)comes / v.f_frsize >= v.f_bavail / 2;
	c->began = true;
	return !c->refused;
}

static size_t s3_call_write(char *p, size_t size, size_t n, void *ctx)
{
	struct s3_call *c = ctx;
	size_t left = size * n;
	long status = 0;

	(void)sym_getinfo(c->h, CURLINFO_RESPONSE_CODE, &status);
	if (c->upload || c->fd < 0 || status != 200) {
		buf_add(&c->body, p, left);
		return c->body.overflow ? 0 : left;
	}
	if (!c->began && !s3_call_room(c))
		return 0;
	while (left) {
		ssize_t w = write(c->fd, p, left);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			c->errnum = errno;
			return 0;
		}
		p += w;
		left -= (size_t)w;
	}
	return size * n;
}

static size_t s3_call_read(char *p, size_t size, size_t n, void *ctx)
{
	struct s3_call *c = ctx;
	ssize_t r = pread(c->fd, p, MIN(size * n, (size_t)c->left), c->at);

	if (r < 0) {
		c->errnum = errno;
		return CURL_READFUNC_ABORT;
	}
	c->at += r;
	c->left -= r;
	return (size_t)r;
}

/* Only what can stand in a request again. */
static size_t s3_call_etag(char *p, size_t size, size_t n, void *ctx)
{
	struct s3_call *c = ctx;
	struct sv line = sv_make(p, size * n), name;

	if (!sv_split(&line, ':', &name) || !sv_ieq(name, SV("etag")))
		return size * n;
	line = sv_trim(line);
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] <= ' ' || line.p[i] > '~' || strchr("<>&", line.p[i]))
			return size * n;
	if (line.n < sizeof(c->etag)) {
		memcpy(c->etag, line.p, line.n);
		c->etag[line.n] = '\0';
	}
	return size * n;
}

static void s3_call_header(struct s3_call *c, const char *line)
{
	struct curl_slist *more = sym_slist_append(c->headers, line);

	if (more)
		c->headers = more;
}

static int s3_call_trust(struct s3_call *c, struct err *err)
{
	const char *ca = c->o->endpoint_ca;
	struct sv pem;

	if (c->o->skip_verify) {
		(void)sym_setopt(c->h, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)sym_setopt(c->h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (!ca)
		return 0;
	if (access(ca, R_OK) == 0) {
		(void)sym_setopt(c->h, CURLOPT_CAINFO, ca);
		return 0;
	}
	if (!b64_decode(&c->a, sv_from(ca), &pem) || sv_find_sv(pem, SV("-----BEGIN ")) < 0)
		return err_set(err, ERR_INVALID, "--s3-endpoint-ca takes a file of PEM, or its base64: '%s' is neither",
			       strlen(ca) > 100 ? "what it has" : ca);
	(void)sym_setopt(c->h, CURLOPT_CAINFO_BLOB,
			 &(struct curl_blob){ (void *)(uintptr_t)pem.p, pem.n, CURL_BLOB_COPY });
	return 0;
}

int s3_call_begin(struct s3_call *c, const char *target, const char *sha256, struct err *err)
{
	const struct s3_opts *o = c->o;
	const char *host = o->endpoint ? o->endpoint : ENDPOINT;

	if (lazylib_need(&curl_lib, err) < 0)
		return err_wrap(err, "buckets need Debian's libcurl4");
	(void)sym_global_init(CURL_GLOBAL_DEFAULT);
	c->h = sym_init();
	if (!c->h)
		return err_set(err, ERR_INTERNAL, "libcurl does not begin");
	c->body.limit = PAGE_MAX;
	(void)sym_setopt(c->h, CURLOPT_URL,
			 arena_printf(&c->a, "%s://%s/%s%s", o->insecure ? "http" : "https", host,
				      s3_quote(&c->a, sv_from(o->bucket), false), target));
	(void)sym_setopt(c->h, CURLOPT_PROTOCOLS_STR, o->insecure ? "http" : "https");
	(void)sym_setopt(c->h, CURLOPT_NOSIGNAL, 1L);
	(void)sym_setopt(c->h, CURLOPT_CONNECTTIMEOUT, 30L);
	(void)sym_setopt(c->h, CURLOPT_TIMEOUT, (long)(o->timeout_s ? o->timeout_s : TIMEOUT_S));
	(void)sym_setopt(c->h, CURLOPT_ERRORBUFFER, c->words);
	(void)sym_setopt(c->h, CURLOPT_WRITEFUNCTION, s3_call_write);
	(void)sym_setopt(c->h, CURLOPT_WRITEDATA, c);
	(void)sym_setopt(c->h, CURLOPT_HEADERFUNCTION, s3_call_etag);
	(void)sym_setopt(c->h, CURLOPT_HEADERDATA, c);
	(void)sym_setopt(c->h, CURLOPT_USERAGENT, "caravel-snapshot");
	s3_call_header(c, arena_printf(&c->a, "x-amz-content-sha256: %s", sha256));
	if (o->session_token)
		s3_call_header(c, arena_printf(&c->a, "x-amz-security-token: %s", o->session_token));
	if (o->access_key) {
		(void)sym_setopt(c->h, CURLOPT_AWS_SIGV4,
				 arena_printf(&c->a, "aws:amz:%s:s3", o->region ? o->region : REGION));
		(void)sym_setopt(c->h, CURLOPT_USERPWD, arena_printf(&c->a, "%s:%s", o->access_key, o->secret_key));
	}
	return s3_call_trust(c, err);
}

void s3_call_method(struct s3_call *c, const char *method)
{
	(void)sym_setopt(c->h, CURLOPT_CUSTOMREQUEST, method);
}

void s3_call_upload(struct s3_call *c, int64_t at, int64_t n)
{
	c->upload = true;
	c->at = at;
	c->left = n;
	(void)sym_setopt(c->h, CURLOPT_UPLOAD, 1L);
	(void)sym_setopt(c->h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)n);
	(void)sym_setopt(c->h, CURLOPT_READFUNCTION, s3_call_read);
	(void)sym_setopt(c->h, CURLOPT_READDATA, c);
}

void s3_call_post(struct s3_call *c, struct sv xml)
{
	s3_call_header(c, "Content-Type: application/xml");
	(void)sym_setopt(c->h, CURLOPT_POST, 1L);
	(void)sym_setopt(c->h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)xml.n);
	(void)sym_setopt(c->h, CURLOPT_POSTFIELDS, xml.p ? xml.p : "");
}

int s3_call_refused(struct s3_call *c, const char *what, long status, struct err *err)
{
	const char *host = c->o->endpoint ? c->o->endpoint : ENDPOINT;
	struct sv code, message;

	s3_error_parse(&c->a, sv_sub(buf_sv(&c->body), 0, ERROR_MAX), &code, &message);
	return err_set(err,
		       status == 404   ? ERR_NOT_FOUND
		       : status == 403 ? ERR_FORBIDDEN
				       : ERR_UNAVAILABLE,
		       "cannot %s in bucket '%s' of %s: %ld %.*s %.*s", what, c->o->bucket, host, status, SV_ARG(code),
		       SV_ARG(message));
}

int s3_call_run(struct s3_call *c, const char *what, struct err *err)
{
	const char *host = c->o->endpoint ? c->o->endpoint : ENDPOINT;
	long status = 0;
	CURLcode rc;

	(void)sym_setopt(c->h, CURLOPT_HTTPHEADER, c->headers);
	rc = sym_perform(c->h);
	if (c->errnum)
		return err_set_errno(err, c->errnum, "cannot %s", what);
	if (c->refused && c->comes < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot %s in bucket '%s' of %s: it does not say how long it is",
			       what, c->o->bucket, host);
	if (c->refused)
		return err_set(err, ERR_UNAVAILABLE,
			       "cannot %s in bucket '%s' of %s: it has %" PRId64 " bytes, and half of what is free on "
			       "the disk of the data directory is less",
			       what, c->o->bucket, host, c->comes);
	if (rc != CURLE_OK)
		return err_set(err, rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
			       "cannot %s in bucket '%s' of %s: %s", what, c->o->bucket, host,
			       *c->words ? c->words : sym_strerror(rc));
	(void)sym_getinfo(c->h, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300 ? 0 : s3_call_refused(c, what, status, err);
}

void s3_call_release(struct s3_call *c)
{
	if (c->h)
		sym_cleanup(c->h);
	if (c->headers)
		sym_slist_free(c->headers);
	buf_release(&c->body);
	arena_release(&c->a);
}

const char *s3_call_target(struct s3_call *c, const char *name)
{
	return arena_printf(&c->a, "/%s%s", s3_quote(&c->a, s3_folder(&c->a, c->o), true),
			    s3_quote(&c->a, sv_from(name), false));
}

int s3_sha256(int fd, int64_t at, int64_t n, char ret[SHA256_HEX], struct err *err)
{
	unsigned char digest[FILE_SUM_BYTES];

	if (file_sum(fd, (uint64_t)at, (uint64_t)n, digest, err) < 0)
		return err_wrap(err, "what is to be uploaded");
	for (unsigned i = 0; i < FILE_SUM_BYTES; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
	return 0;
}
