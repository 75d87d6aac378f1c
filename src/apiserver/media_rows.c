/* The encodings there are: JSON, the same laid out for people, YAML; protobuf is in a file of its own. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/yaml.h"

/* --- JSON --- */

static bool json_kept(struct obj *o, struct sv *ret)
{
	*ret = obj_json(o);
	return true;
}

/* An item does not repeat the type that its list says. */
static struct sv json_item_before(struct media_part *p)
{
	struct sv before = SV(",{"), prefix = p->list->prefix;

	if (prefix.n && sv_starts(p->body, prefix))
		p->body = sv_sub(p->body, prefix.n, p->body.n);
	else
		before.n = 1;
	return p->i ? before : sv_sub(before, 1, before.n);
}

static struct sv json_event_before(enum media_event e)
{
	switch (e) {
	case MEDIA_ADDED:
		return SV("{\"type\":\"ADDED\",\"object\":");
	case MEDIA_MODIFIED:
		return SV("{\"type\":\"MODIFIED\",\"object\":");
	case MEDIA_DELETED:
		return SV("{\"type\":\"DELETED\",\"object\":");
	case MEDIA_BOOKMARK:
		return SV("{\"type\":\"BOOKMARK\",\"object\":");
	default:
		return SV("{\"type\":\"ERROR\",\"object\":");
	}
}

static struct sv json_before(struct buf *b, struct media_part *p)
{
	(void)b;
	if (p->place == MEDIA_ITEM)
		return json_item_before(p);
	return p->place == MEDIA_EVENT ? json_event_before(p->event) : SV("");
}

static struct sv json_behind(const struct media_part *p)
{
	if (p->place == MEDIA_ITEM)
		return SV("");
	return p->place == MEDIA_EVENT ? SV("}\n") : SV("\n");
}

static void json_list_head(struct buf *b, const struct media_list *l)
{
	buf_addsv(b, l->head);
	buf_addc(b, '[');
}

static void json_list_tail(struct buf *b, const struct media_list *l)
{
	(void)l;
	buf_adds(b, "]}\n");
}

/* --- laid out --- */

#define SPACES 2
#define ITEM_LEVEL 2 /* the list, its member */

static void pretty_make(struct buf *b, const struct val *doc, enum media_place place)
{
	json_encode_indent_at(b, doc, SPACES, place == MEDIA_ITEM ? ITEM_LEVEL : 0);
}

static struct sv pretty_before(struct buf *b, struct media_part *p)
{
	struct sv before = SV(",\n    ");

	(void)b;
	if (p->place != MEDIA_ITEM)
		return SV("");
	return p->i ? before : sv_sub(before, 1, before.n);
}

/* Of an empty list: it ends with the list, whose items are its last member. */
static const char pretty_end[] = "]\n}";

static void pretty_list_head(struct buf *b, const struct media_list *l)
{
	json_encode_indent(b, l->doc, SPACES);
	b->n -= sizeof(pretty_end) - 1;
	b->p[b->n] = '\0';
}

static void pretty_list_tail(struct buf *b, const struct media_list *l)
{
	if (l->n)
		buf_adds(b, "\n  ");
	buf_adds(b, pretty_end);
}

/* --- YAML: members in the order of their names, as upstream's, which goes by way of Go maps --- */

static void yaml_make(struct buf *b, const struct val *doc, enum media_place place)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (place == MEDIA_ITEM)
		yaml_encode_item(b, val_sorted(&a, doc));
	else
		yaml_encode(b, val_sorted(&a, doc));
}

static struct sv yaml_before(struct buf *b, struct media_part *p)
{
	(void)b;
	(void)p;
	return SV("");
}

/* The members of l->doc that come before its items, or behind them. */
static void yaml_list_part(struct buf *b, const struct media_list *l, bool behind)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	bool passed = false;

	VAL_EACH_MEMBER(val_sorted(&a, l->doc), m) {
		struct val one = val_make(VAL_MAP, 0);

		if (m.sym == l->items) {
			passed = true;
			continue;
		}
		if (passed != behind)
			continue;
		val_append(&a, &one, m.sym, m.value);
		yaml_encode(b, &one);
	}
}

static void yaml_list_head(struct buf *b, const struct media_list *l)
{
	yaml_list_part(b, l, false);
	buf_addsv(b, sym_name(l->items));
	buf_adds(b, l->n ? ":\n" : ": []\n");
}

static void yaml_list_tail(struct buf *b, const struct media_list *l)
{
	yaml_list_part(b, l, true);
}

/* --- the rows --- */

static const char *const json_types[] = { "application/json", NULL };
static const char *const yaml_types[] = { "application/yaml", NULL };

static const struct media media_pretty = {
	.name = "application/json",
	.content_type = "application/json",
	.stream = &media_json,
	.make = pretty_make,
	.before = pretty_before,
	.lists_docs = true,
	.list_head = pretty_list_head,
	.list_tail = pretty_list_tail,
};

const struct media media_json = {
	.name = "application/json",
	.types = json_types,
	.content_type = "application/json",
	.stream_type = "application/json",
	.pretty = &media_pretty,
	.kept = json_kept,
	.before = json_before,
	.behind = json_behind,
	.list_head = json_list_head,
	.list_tail = json_list_tail,
};

const struct media media_yaml = {
	.name = "application/yaml",
	.types = yaml_types,
	.content_type = "application/yaml",
	.make = yaml_make,
	.before = yaml_before,
	.lists_docs = true,
	.list_head = yaml_list_head,
	.list_tail = yaml_list_tail,
};

const char *media_event_name(enum media_event e)
{
	static const char *const names[_MEDIA_EVENT_MAX] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };

	return names[e];
}
