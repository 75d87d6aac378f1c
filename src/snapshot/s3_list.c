/* What is needed of S3's XML: the texts between a few tags that do not nest in themselves. */
#include "base/buf.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "snapshot/s3-internal.h"

#include <stdio.h>

#define XML_LONGEST 6 /* bytes that stand for one: "&quot;" */

/* The text between <tag> and </tag>, from *at on; moves *at behind it. SV_NULL: there is none. */
static struct sv xml_between(struct sv xml, size_t *at, const char *tag)
{
	char open[32], close[32];
	struct sv rest = sv_sub(xml, *at, xml.n), body;
	ssize_t from, to;

	(void)snprintf(open, sizeof(open), "<%s>", tag);
	(void)snprintf(close, sizeof(close), "</%s>", tag);
	from = sv_find_sv(rest, sv_from(open));
	if (from < 0)
		return SV_NULL;
	body = sv_sub(rest, (size_t)from + strlen(open), rest.n);
	to = sv_find_sv(body, sv_from(close));
	if (to < 0)
		return SV_NULL;
	*at = xml.n - body.n + (size_t)to + strlen(close);
	return sv_make(body.p, (size_t)to);
}

/* The five names and numbers; what is none of them stays. */
static struct sv xml_text(struct arena *a, struct sv s)
{
	static const struct {
		struct sv name;
		char c;
	} known[] = { { { "&amp;", 5 }, '&' },
		      { { "&lt;", 4 }, '<' },
		      { { "&gt;", 4 }, '>' },
		      { { "&quot;", 6 }, '"' },
		      { { "&apos;", 6 }, '\'' } };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < s.n; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(known) && !sv_starts(sv_sub(s, i, s.n), known[k].name))
			k++;
		buf_addc(&b, k < ARRAY_LEN(known) ? known[k].c : s.p[i]);
		i += k < ARRAY_LEN(known) ? known[k].name.n - 1 : 0;
	}
	return arena_sv(a, buf_sv(&b));
}

/* Rows of a list are lines. */
static bool s3_in_a_line(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static void s3_list_add(struct arena *a, struct s3_objects *list, struct s3_object o)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct s3_object *more = ARENA_ARRAY(a, struct s3_object, cap);

		if (list->n)
			memcpy(more, list->p, list->n * sizeof(*more));
		list->p = more;
		list->cap = cap;
	}
	list->p[list->n++] = o;
}

static void s3_list_one(struct arena *a, struct sv xml, struct sv folder, struct s3_objects *list)
{
	size_t at = 0;
	struct sv key = xml_between(xml, &at, "Key"), time;
	struct s3_object o = { .bytes = 0 };

	if (key.n > XML_LONGEST * S3_KEY_MAX)
		return;
	o.name = xml_text(a, key);
	at = 0;
	(void)sv_to_i64(xml_between(xml, &at, "Size"), &o.bytes);
	at = 0;
	time = xml_between(xml, &at, "LastModified");
	o.time = xml_text(a, time.n > S3_TIME_MAX ? SV("") : time);
	if (!sv_starts(o.name, folder) || !s3_in_a_line(o.name) || o.bytes < 0)
		return;
	if (!s3_in_a_line(o.time))
		o.time = SV("");
	o.name = sv_sub(o.name, folder.n, o.name.n);
	if (o.name.n && sv_find(o.name, '/') < 0 && list->n < S3_LIST_MAX)
		s3_list_add(a, list, o);
}

bool s3_list_parse(struct arena *a, struct sv xml, struct sv folder, struct s3_objects *list, struct sv *ret_next)
{
	size_t at = 0;
	struct sv one, token;

	*ret_next = SV("");
	if (sv_find_sv(xml, SV("<ListBucketResult")) < 0 || sv_find_sv(xml, SV("</ListBucketResult>")) < 0)
		return false;
	while ((one = xml_between(xml, &at, "Contents")).p)
		s3_list_one(a, one, folder, list);
	at = 0;
	if (sv_is(xml_between(xml, &at, "IsTruncated"), "true")) {
		at = 0;
		token = xml_between(xml, &at, "NextContinuationToken");
		if (!token.n || token.n > S3_TOKEN_MAX) /* else it would seem to end here */
			return false;
		*ret_next = xml_text(a, token);
	}
	return true;
}

void s3_error_parse(struct arena *a, struct sv xml, struct sv *ret_code, struct sv *ret_message)
{
	size_t at = 0;

	*ret_code = utf8_cut(xml_text(a, xml_between(xml, &at, "Code")), S3_CODE_MAX);
	at = 0;
	*ret_message = utf8_cut(xml_text(a, xml_between(xml, &at, "Message")), S3_MESSAGE_MAX);
}

struct sv s3_upload_parse(struct arena *a, struct sv xml)
{
	size_t at = 0;
	struct sv id = xml_text(a, xml_between(xml, &at, "UploadId"));

	return id.n <= S3_UPLOAD_ID_MAX && s3_in_a_line(id) ? id : SV("");
}

const char *s3_quote(struct arena *a, struct sv text, bool slashes)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	percent_encode(&b, text, slashes ? PERCENT_UNRESERVED "/" : PERCENT_UNRESERVED);
	return arena_cstr(a, buf_sv(&b));
}
