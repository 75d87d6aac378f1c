#include "snapshot/s3.h"

#include "base/b64.h"
#include "base/buf.h"
#include "base/lazylib.h"
#include "net/digest.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ENDPOINT "s3.amazonaws.com"
#define REGION "us-east-1"
#define TIMEOUT_S 300
#define PAGE_MAX ((size_t)8 << 20) /* a thousand names of a kilobyte, and tags */
#define ERROR_MAX ((size_t)64 << 10)
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

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

/* One request and its answer. */
struct s3_call {
	const struct s3_opts *o;
	struct arena a;
	CURL *h;
	struct curl_slist *headers;
	int fd; /* where a good answer's body goes, or an upload's comes from; -1 */
	bool upload;
	int64_t at, size; /* of an upload */
	struct buf body;  /* of an answer that goes nowhere else */
	int errnum;	  /* of fd */
	bool began;	  /* it is known how much comes, and there is room */
	int64_t comes;	  /* -1: it does not say */
	bool refused;
	char words[CURL_ERROR_SIZE];
};

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

/* "backups/" of "backups" or "backups/"; "" of none. */
static struct sv s3_folder(struct arena *a, const struct s3_opts *o)
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
	ssize_t r = pread(c->fd, p, size * n, c->at);

	if (r < 0) {
		c->errnum = errno;
		return CURL_READFUNC_ABORT;
	}
	c->at += r;
	return (size_t)r;
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

/* target: the path and query behind the bucket, quoted. */
static int s3_call_begin(struct s3_call *c, const char *target, const char *sha256, struct err *err)
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

/* what: "put 'x'", for messages. */
static int s3_call_run(struct s3_call *c, const char *what, struct err *err)
{
	const char *host = c->o->endpoint ? c->o->endpoint : ENDPOINT;
	struct sv code, message;
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
	if (status >= 200 && status < 300)
		return 0;
	s3_error_parse(&c->a, sv_sub(buf_sv(&c->body), 0, ERROR_MAX), &code, &message);
	return err_set(err,
		       status == 404   ? ERR_NOT_FOUND
		       : status == 403 ? ERR_FORBIDDEN
				       : ERR_UNAVAILABLE,
		       "cannot %s in bucket '%s' of %s: %ld %.*s %.*s", what, c->o->bucket, host, status, SV_ARG(code),
		       SV_ARG(message));
}

static void s3_call_release(struct s3_call *c)
{
	if (c->h)
		sym_cleanup(c->h);
	if (c->headers)
		sym_slist_free(c->headers);
	buf_release(&c->body);
	arena_release(&c->a);
}

static const char *s3_call_target(struct s3_call *c, const char *name)
{
	return arena_printf(&c->a, "/%s%s", s3_quote(&c->a, s3_folder(&c->a, c->o), true),
			    s3_quote(&c->a, sv_from(name), false));
}

static void md_free(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static int file_sha256(int fd, char ret[SHA256_HEX], struct err *err)
{
	_cleanup_(md_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
	_cleanup_free_ char *piece = xmalloc(1 << 16);
	unsigned char digest[SHA256_BYTES];
	unsigned n = 0;
	off_t at = 0;
	ssize_t r;

	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		return err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
	while ((r = pread(fd, piece, 1 << 16, at)) > 0) {
		(void)EVP_DigestUpdate(md, piece, (size_t)r);
		at += r;
	}
	if (r < 0)
		return err_set_errno(err, errno, "cannot read what is to be uploaded");
	(void)EVP_DigestFinal_ex(md, digest, &n);
	for (unsigned i = 0; i < SHA256_BYTES; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

int s3_put(const struct s3_opts *o, const char *name, int fd, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = fd, .upload = true };
	char sha256[SHA256_HEX];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot read what is to be uploaded");
	if (file_sha256(fd, sha256, err) < 0 || s3_call_begin(&c, s3_call_target(&c, name), sha256, err) < 0)
		return -1;
	(void)sym_setopt(c.h, CURLOPT_UPLOAD, 1L);
	(void)sym_setopt(c.h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
	(void)sym_setopt(c.h, CURLOPT_READFUNCTION, s3_call_read);
	(void)sym_setopt(c.h, CURLOPT_READDATA, &c);
	return s3_call_run(&c, arena_printf(&c.a, "put '%s'", name), err);
}

int s3_get(const struct s3_opts *o, const char *name, int fd, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = fd };

	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, errno, "cannot write what is fetched");
	if (s3_call_begin(&c, s3_call_target(&c, name), EMPTY_SHA256, err) < 0)
		return -1;
	return s3_call_run(&c, arena_printf(&c.a, "get '%s'", name), err);
}

int s3_delete(const struct s3_opts *o, const char *name, struct err *err)
{
	_cleanup_(s3_call_release) struct s3_call c = { .o = o, .fd = -1 };

	if (s3_call_begin(&c, s3_call_target(&c, name), EMPTY_SHA256, err) < 0)
		return -1;
	(void)sym_setopt(c.h, CURLOPT_CUSTOMREQUEST, "DELETE");
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
	if (s3_call_begin(&c, arena_printf(&c.a, "?%slist-type=2&prefix=%s", from, s3_quote(&c.a, folder, false)),
			  EMPTY_SHA256, err) < 0 ||
	    s3_call_run(&c, "list", err) < 0)
		return -1;
	if (!s3_list_parse(a, buf_sv(&c.body), folder, list, next))
		return err_set(err, ERR_UNAVAILABLE, "%s answers no list: is it an S3 service?",
			       o->endpoint ? o->endpoint : ENDPOINT);
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
	} while (next.n && ++pages < S3_LIST_MAX / 10 && list.n < S3_LIST_MAX);
	if (list.n)
		qsort(list.p, list.n, sizeof(list.p[0]), object_order);
	*ret = list.p;
	*ret_n = list.n;
	return 0;
}
