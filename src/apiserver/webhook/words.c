/* What an answer that is none means: the sentences of upstream's client for each status. */
#include "apiserver/webhook/webhook-internal.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "codec/yaml.h"

#define SHOWN_MAX 2048 /* bytes of a body that go into an error */

static const struct {
	int status;
	const char *words;
} status_words[] = {
	{ 400, "the server rejected our request for an unknown reason" },
	{ 401, "the server has asked for the client to provide credentials" },
	{ 404, "the server could not find the requested resource" },
	{ 405, "the server does not allow this method on the requested resource" },
	{ 409, "the server reported a conflict" },
	{ 422, "the server rejected our request due to an error in our request" },
	{ 429, "the server has received too many requests and has asked us to try again later" },
	{ 503, "the server is currently unable to handle the request" },
	{ 504, "the server was unable to return a response in the time allotted, but may still be processing the "
	       "request" },
};

/* As Go's %q writes a text. */
static void words_quote(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\r')
			buf_adds(b, "\\r");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

int webhook_status_err(int status, struct sv body, struct err *err)
{
	struct sv shown = utf8_cut(sv_trim(body), SHOWN_MAX);

	for (size_t i = 0; i < ARRAY_LEN(status_words); i++)
		if (status_words[i].status == status)
			return err_set(err, ERR_UNAVAILABLE, "%s", status_words[i].words);
	if (status == 403 && shown.n)
		return err_set(err, ERR_UNAVAILABLE, "%.*s", SV_ARG(shown));
	if (status >= 500) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		words_quote(&b, shown);
		return err_set(err, ERR_UNAVAILABLE,
			       "an error on the server (%.*s) has prevented the request from succeeding",
			       SV_ARG(buf_sv(&b)));
	}
	return err_set(err, ERR_UNAVAILABLE,
		       "the server responded with the status code %d but did not return more information", status);
}

struct val *webhook_answer_document(struct arena *a, struct sv body, struct budget *values, struct err *err)
{
	struct sv text = sv_trim(body);

	if (text.n && text.p[0] != '{')
		return yaml_decode_opts(a, text, &(struct yaml_opts){ .values = values }, err);
	return json_decode(a, body, &(struct json_opts){ .values = values }, err);
}
