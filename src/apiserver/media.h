/* media.h - what answers read like.
 *
 *	form		what is told of an object: itself, its row of a Table, its metadata alone
 *	encoding	how that is written: JSON, JSON laid out for people, YAML
 *	gzip		over either, where the bytes leave (gzip.c)
 *
 * Negotiation picks a form and an encoding (q->form, q->media; NULL: objects as they are, in JSON), and nobody else
 * asks which they are. Everything that has objects in it is written through here: one object or document, a list piece
 * by piece, a watch event by event. Clients in this process are handed the objects themselves (struct api_sink).
 *
 * A form says all in JSON text, in one place for all encodings. An encoding is a row, struct media, which has some of:
 *
 *	kept()		an object has its bytes already, its JSON: who sends refers to them, whoever else reads them
 *	encode()	bytes out of an object, each time, without the way over JSON: kept, they would take
 *			memory with every object for ever. Only events, which many watch at once, are
 *			remembered for a moment (recent.h)
 *	make()		bytes out of a document; with neither of the others, of all: for people
 *
 * What goes out is made of parts, a part being one object or document and what stands around it:
 *
 *	alone		before() body behind()
 *	in a list	list_head()  [before() body behind()] for each item  list_tail()
 *	in a watch	[frame()] before() body behind() for each event
 *
 * The length of a part's body is known when before() is asked, the lengths of all items when list_head() is: protobuf
 * says lengths in front. frame() parts events where the transport does not; a WebSocket's messages do.
 *
 * Threads: a row is constant; its functions run on any thread, for several requests at once.
 */
#pragma once

#include "apiserver/api_req.h"
#include "base/buf.h"
#include "client/client.h"

#define MEDIA_GZIP_MIN ((size_t)128 * 1024) /* as upstream: less is not worth it */
#define MEDIA_POOL_MIN ((size_t)16 * 1024)  /* JSON of an object that make() may be asked for: not on a loop */

/* What there is around a list's items. */
struct media_list {
	const struct resource *res;
	struct sv head;	       /* JSON up to where the items' list begins: {"kind":"PodList",...,"items": */
	const struct val *doc; /* the same with an empty list; for encodings that make, or measure */
	enum sym items;	       /* its last member, where they are */
	size_t n;
	int64_t bytes;	  /* of all parts in it; -1: not known */
	struct sv prefix; /* JSON with which an item begins that says its type, as the list does; or "" */
};

enum media_place { MEDIA_ALONE, MEDIA_ITEM, MEDIA_EVENT };

/* "ADDED", ... */
enum media_event { MEDIA_ADDED, MEDIA_MODIFIED, MEDIA_DELETED, MEDIA_BOOKMARK, MEDIA_ERROR, _MEDIA_EVENT_MAX };
const char *media_event_name(enum media_event e);

struct media_part {
	enum media_place place;
	enum media_event event;	       /* of an event */
	const struct media_list *list; /* of an item */
	size_t i;		       /* its number there */
	const struct val *doc;	       /* what it is about, if it is kept or was made; JSON text needs none */
	const struct media_form *form; /* of what encode() wrote of it; NULL: doc says its own type */
	struct sv body;
	struct sv end; /* a note of before() for behind(), which comes when doc may be gone */
};

struct media {
	const char *name;	    /* as the refusal of other types lists it */
	const char *const *types;   /* of Accept, in lower case; NULL: none, it is somebody's pretty */
	const char *content_type;   /* of its answers */
	const struct media *pretty; /* what people get instead; NULL: itself */
	const struct media *stream; /* what its watches are in; NULL: itself */
	const char *stream_type;    /* their content type, if itself; NULL: no watch can be in it, as none in YAML */
	bool binary;		    /* WebSocket messages are */
	/* Whether objects of r (NULL: Status, documents, no objects) can be told in that form; NULL: all, in each. */
	bool (*serves)(const struct resource *r, const struct media_form *form);

	/* It keeps: the bytes that o has in it. False: they cannot be told, which is 500 or an event
	 * that says so; serves() is there to refuse in time. Instead of encode(). */
	bool (*kept)(struct obj *o, struct sv *ret);
	/* It encodes: appends what o reads like in that form, always the same bytes. False: as kept(). */
	bool (*encode)(struct buf *b, const struct media_form *form, const struct obj *o);
	/* How long objects are, in their own form, is noted with them (obj_message_bytes()); one may. Its before() goes
	 * by the body's length alone, which may not be written yet. */
	bool notes_bytes;
	/* A document; NULL: its JSON text is it. place: where; an item may have another layout. */
	void (*make)(struct buf *b, const struct val *doc, enum media_place place);

	/* Around p->body, of which before() may cut off the front. Constant, or in b, which is empty. behind NULL:
	 * nothing. */
	struct sv (*before)(struct buf *b, struct media_part *p);
	struct sv (*behind)(const struct media_part *p);

	bool lists_docs; /* list_head() and list_tail() want l->doc */
	void (*list_head)(struct buf *b, const struct media_list *l);
	void (*list_tail)(struct buf *b, const struct media_list *l);
	/* Before an event of n bytes in a stream of bytes, into b, always as long; NULL: nothing, its end shows. */
	void (*frame)(struct buf *b, size_t n);
};

/* JSON as upstream's servers write it: what there is when nothing else is asked for. */
extern const struct media media_json;
extern const struct media media_yaml, media_protobuf, media_cbor;

static inline bool media_streams(const struct media *m)
{
	return m->stream || m->stream_type;
}

static inline const struct media *media_of(const struct api_req *q)
{
	return q->media ? q->media : &media_json;
}

/* --- forms: media_form.c --- */

struct media_form {
	const char *as, *list_as; /* of Accept; list_as "": there is none */
	const char *v;		  /* "v1", "v1beta1" */
	const char *version;	  /* "meta.k8s.io/v1" */
	enum sym items;
	/* All of these write JSON. A list, without its end: {"kind":"Table",...,"rows": */
	void (*list)(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
		     int64_t remaining);
	/* An item; an object alone or in an event (first: of its stream). NULL: the object's own. */
	void (*item)(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o);
	void (*object)(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o, int64_t rev,
		       bool first);
	void (*bookmark)(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, bool initial_end);
};

extern const struct media_form media_native;
/* The form of these parameters of a media type; NULL: there is none. as "": media_native. */
const struct media_form *media_form_find(struct sv as, struct sv g, struct sv v);
static inline const struct media_form *media_form_of(const struct api_req *q)
{
	return q->form ? q->form : &media_native;
}

/* --- encodings: media_table.c, media_rows.c, media_protobuf.c, media_cbor.c --- */

/* Those of the server that clients can ask for, the first being for who does not mind. NULL behind the last. */
const struct media *media_at(const struct apiserver *s, size_t i);
bool media_named(const struct media *m, struct sv type); /* by this type, without parameters */
/* Before the first request; borrowed for the server's life: one more. */
void media_add(struct apiserver *s, const struct media *m);

/* --- writing: media.c --- */

#define MEDIA_CHUNKS 3

/* What is in b, which is empty after it; an object's reference, given back when its chunk has been sent. */
struct http_chunk media_chunk(struct buf *b);
void media_release_obj(void *o);

/* An object in q's form, a document, or JSON text that there is already: as chunks, which refer to o or are counted
 * (held.h). Returns how many, -1 when q's encoding cannot say it. */
int media_object(struct api_req *q, struct obj *o, struct http_chunk ret[MEDIA_CHUNKS], struct err *err);
int media_doc(struct api_req *q, const struct val *doc, struct http_chunk ret[MEDIA_CHUNKS]);
int media_text(struct api_req *q, struct sv json, struct http_chunk ret[MEDIA_CHUNKS]);
/* Something is made of an object, not referred to. */
static inline bool media_makes(const struct api_req *q)
{
	return media_form_of(q) != &media_native || !media_of(q)->kept;
}

/* What stands around these items; in the arena. bytes is -1. */
struct media_list *media_list_new(struct api_req *q, const struct resource *r, const struct obj *first_obj, size_t n,
				  int64_t rev, struct sv cont, int64_t remaining);
/* The i-th item's part of what an encoding keeps, without before(). False: media.kept() said no. */
bool media_item_kept(const struct media *m, const struct media_list *l, size_t i, struct obj *o,
		     struct media_part *ret);
/* Appends the i-th item of an encoding that encodes, with what stands around it. False: encode() said no. */
bool media_item_encode(struct api_req *q, struct buf *b, const struct media_list *l, size_t i, struct obj *o);
/* The bytes of that; -1: encode() said no. */
int64_t media_item_bytes(struct api_req *q, const struct media_list *l, size_t i, struct obj *o);
/* Appends the i-th item, with what stands around it. */
void media_item_make(struct api_req *q, struct buf *b, const struct media_list *l, size_t i, struct obj *o);

/* Begins a watch: q's encoding becomes that of its streams. */
void media_stream_begin(struct api_req *q);
/* Events, written to the stream. Return the bytes waiting there. first: it was told of no object yet. shared: others
 * are told the same at about the same time, so it is encoded for them, too. */
size_t media_send(struct api_req *q, enum media_event e, struct obj *o_take, int64_t rev, bool first, bool shared);
size_t media_send_bookmark(struct api_req *q, int64_t rev, bool initial_end);
size_t media_send_error(struct api_req *q, struct err *err); /* released */
