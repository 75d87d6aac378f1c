#include "apiserver/proxy_links.h"

#include <ctype.h>

#define TAG_MAX ((size_t)64 * 1024) /* longer ones pass as they are */

/* --- one link --- */

static bool has_scheme(struct sv s, struct sv *ret_rest)
{
	size_t n = 0;

	while (n < s.n && (isalnum((unsigned char)s.p[n]) || (n && strchr("+-.", s.p[n]))))
		n++;
	if (n == 0 || n >= s.n || s.p[n] != ':')
		return false;
	*ret_rest = sv_sub(s, n + 1, s.n);
	return true;
}

struct sv proxy_link(struct arena *a, const struct proxy_from *f, struct sv link)
{
	struct sv rest = link, host = SV("");

	if (has_scheme(link, &rest) && !sv_ieq(sv_sub(link, 0, link.n - rest.n), SV("http:")) &&
	    !sv_ieq(sv_sub(link, 0, link.n - rest.n), SV("https:")))
		return link;
	if (sv_starts(rest, SV("//"))) {
		size_t n = 2;

		while (n < rest.n && !strchr("/?#", rest.p[n]))
			n++;
		host = sv_sub(rest, 2, n - 2);
		rest = sv_sub(rest, n, rest.n);
	}
	if (host.n && !sv_ieq(host, f->backend) && !sv_ieq(host, f->host))
		return link;
	if (!sv_starts(rest, SV("/")))
		return link;
	if (sv_starts(rest, f->prefix) && (rest.n == f->prefix.n || strchr("/?#", rest.p[f->prefix.n])))
		return rest;
	return arena_svf(a, "%.*s%.*s", SV_ARG(f->prefix), SV_ARG(rest));
}

/* --- pages --- */

/* Which attributes of which elements are links (HTML 4 and 5). */
static const struct {
	const char *element;
	const char *attributes[4];
} links[] = {
	{ "a", { "href" } },
	{ "applet", { "codebase" } },
	{ "area", { "href" } },
	{ "audio", { "src" } },
	{ "base", { "href" } },
	{ "blockquote", { "cite" } },
	{ "body", { "background" } },
	{ "button", { "formaction" } },
	{ "command", { "icon" } },
	{ "del", { "cite" } },
	{ "embed", { "src" } },
	{ "form", { "action" } },
	{ "frame", { "longdesc", "src" } },
	{ "head", { "profile" } },
	{ "html", { "manifest" } },
	{ "iframe", { "longdesc", "src" } },
	{ "img", { "longdesc", "src", "usemap" } },
	{ "input", { "src", "usemap", "formaction" } },
	{ "ins", { "cite" } },
	{ "link", { "href" } },
	{ "object", { "classid", "codebase", "data", "usemap" } },
	{ "q", { "cite" } },
	{ "script", { "src" } },
	{ "source", { "src" } },
	{ "video", { "poster", "src" } },
};

static const char *const raw_elements[] = { "script", "style", "textarea", "title", "xmp", "noembed", "noframes" };

void proxy_html_init(struct proxy_html *h, const struct proxy_from *from)
{
	*h = (struct proxy_html){ .from = from };
}

void proxy_html_release(struct proxy_html *h)
{
	buf_release(&h->tag);
}

static bool is_link(struct sv element, struct sv attribute)
{
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (!sv_ieq(element, sv_from(links[i].element)))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(links[i].attributes) && links[i].attributes[k]; k++)
			if (sv_ieq(attribute, sv_from(links[i].attributes[k])))
				return true;
	}
	return false;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static size_t skip_blanks(struct sv s, size_t i)
{
	while (i < s.n && (blank(s.p[i]) || s.p[i] == '/'))
		i++;
	return i;
}

/* A whole tag, "<a href=...>". Returns the element's name when it opens one. */
static struct sv put_tag(struct proxy_html *h, struct sv t, struct buf *out)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv element;
	size_t i = 1, done = 0;

	while (i < t.n && !blank(t.p[i]) && t.p[i] != '/' && t.p[i] != '>')
		i++;
	element = sv_sub(t, 1, i - 1);
	while ((i = skip_blanks(t, i)) < t.n && t.p[i] != '>') {
		size_t name_at = i, value_at, value_n;

		while (i < t.n && !blank(t.p[i]) && !strchr("=>/", t.p[i]))
			i++;
		struct sv name = sv_sub(t, name_at, i - name_at);

		while (i < t.n && blank(t.p[i]))
			i++;
		if (i >= t.n || t.p[i] != '=') {
			i += i == name_at; /* a stray character */
			continue;
		}
		i++;
		while (i < t.n && blank(t.p[i]))
			i++;
		value_at = i;
		if (i < t.n && (t.p[i] == '"' || t.p[i] == '\'')) {
			char quote = t.p[i];

			value_at = ++i;
			while (i < t.n && t.p[i] != quote)
				i++;
			value_n = i - value_at;
			i += i < t.n;
		} else {
			while (i < t.n && !blank(t.p[i]) && t.p[i] != '>')
				i++;
			value_n = i - value_at;
		}
		if (!is_link(element, name))
			continue;
		buf_addsv(out, sv_sub(t, done, value_at - done));
		buf_addsv(out, proxy_link(&a, h->from, sv_trim(sv_sub(t, value_at, value_n))));
		done = value_at + value_n;
	}
	buf_addsv(out, sv_sub(t, done, t.n));
	return element;
}

static void tag_over(struct proxy_html *h, struct buf *out)
{
	struct sv element = put_tag(h, buf_sv(&h->tag), out);

	for (size_t i = 0; i < ARRAY_LEN(raw_elements); i++)
		if (sv_ieq(element, sv_from(raw_elements[i])))
			memcpy(h->raw, raw_elements[i], strlen(raw_elements[i]) + 1);
	buf_clear(&h->tag);
}

/* Passes what is collected: it is no tag after all. */
static void proxy_links_flush(struct proxy_html *h, struct buf *out)
{
	buf_addsv(out, buf_sv(&h->tag));
	buf_clear(&h->tag);
	h->quote = 0;
	h->comment = false;
}

/* Collects "</name" of the raw element. */
static void raw_byte(struct proxy_html *h, char c, struct buf *out)
{
	size_t want = strlen(h->raw) + 2;

	if (h->tag.n == 0 ? c != '<' : h->tag.n == 1 ? c != '/' : tolower((unsigned char)c) != h->raw[h->tag.n - 2]) {
		proxy_links_flush(h, out);
		if (c != '<') {
			buf_addc(out, c);
			return;
		}
	}
	buf_addc(&h->tag, c);
	if (h->tag.n == want) {
		h->raw[0] = '\0';
		proxy_links_flush(h, out);
	}
}

static void byte(struct proxy_html *h, char c, struct buf *out)
{
	if (h->raw[0]) {
		raw_byte(h, c, out);
		return;
	}
	if (h->tag.n == 0 && c != '<') {
		buf_addc(out, c);
		return;
	}
	if (h->tag.n == 1 && !isalpha((unsigned char)c) && c != '!') { /* "a < b", "</a>", "<?x" */
		proxy_links_flush(h, out);
		if (c != '<') {
			buf_addc(out, c);
			return;
		}
	}
	buf_addc(&h->tag, c);
	if (h->comment) {
		/* Only its last bytes are of interest. */
		if (h->tag.n >= 3 && c == '>' && sv_ends(buf_sv(&h->tag), SV("-->")))
			proxy_links_flush(h, out);
		else if (h->tag.n > 64) {
			buf_addsv(out, sv_sub(buf_sv(&h->tag), 0, h->tag.n - 2));
			memmove(h->tag.p, h->tag.p + h->tag.n - 2, 2);
			h->tag.n = 2;
		}
	} else if (sv_is(buf_sv(&h->tag), "<!--")) {
		h->comment = true;
	} else if (h->quote) {
		h->quote = c == h->quote ? 0 : h->quote;
	} else if (c == '>') {
		if (h->tag.p[1] == '!')
			proxy_links_flush(h, out);
		else
			tag_over(h, out);
	} else if ((c == '"' || c == '\'') && h->tag.n > 1) {
		/* A quote opens a value only behind '='. */
		size_t k = h->tag.n - 1;

		while (k > 0 && blank(h->tag.p[k - 1]))
			k--;
		if (k > 0 && h->tag.p[k - 1] == '=')
			h->quote = c;
	}
	if (h->tag.n >= TAG_MAX)
		proxy_links_flush(h, out);
}

void proxy_html_feed(struct proxy_html *h, struct sv bytes, struct buf *out)
{
	for (size_t i = 0; i < bytes.n; i++)
		byte(h, bytes.p[i], out);
}

void proxy_html_end(struct proxy_html *h, struct buf *out)
{
	proxy_links_flush(h, out);
}
