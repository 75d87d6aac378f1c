/* validate.h - field errors, and the validation that is data.
 *
 * Validators append to a struct field_errs; at the end field_errs_to_err() makes the 422
 * Status that upstream gives: reason Invalid, message
 *	Pod "x" is invalid: [spec.a: Required value, spec.b: Invalid value: "y": must be ...]
 * and one cause per error, sorted the way upstream reports them.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/doc.h"
#include "object/schema.h"

enum field_err_type {
	FE_REQUIRED,
	FE_INVALID,
	FE_NOT_SUPPORTED,
	FE_FORBIDDEN,
	FE_DUPLICATE,
	FE_NOT_FOUND,
	FE_TOO_LONG,
	FE_TOO_MANY,
	FE_TYPE_INVALID,
	FE_INTERNAL
};

/* A path being walked; children point at their parents, so no allocation until an error. */
struct fpath {
	const struct fpath *up; /* NULL at the root */
	enum sym sym;		/* .name */
	struct sv key;		/* [key] when p is set, or a dynamic .name when plain is set */
	ssize_t index;		/* [i] when >= 0 */
	bool plain;
};
#define FPATH_ROOT(s) ((struct fpath){ .up = NULL, .sym = (s), .index = -1 })
#define FPATH(parent, s) ((struct fpath){ .up = (parent), .sym = (s), .index = -1 })
#define FPATH_AT(parent, i) ((struct fpath){ .up = (parent), .index = (ssize_t)(i) })
#define FPATH_KEY(parent, k) ((struct fpath){ .up = (parent), .key = (k), .index = -1 })
#define FPATH_NAME(parent, k) ((struct fpath){ .up = (parent), .key = (k), .index = -1, .plain = true })
struct sv fpath_str(struct arena *a, const struct fpath *p); /* "spec.containers[0].name" */

struct field_err {
	enum field_err_type type;
	struct sv field, detail;
	const struct val *value; /* printed as upstream does; NULL: none */
};

struct field_errs {
	struct arena *a;
	VEC(struct field_err) list; /* in the arena */
	size_t bytes;		    /* of the texts in it; beyond some MiB nothing more is kept */
	size_t unsaid;		    /* errors that were not kept */
	int64_t now_ns;		    /* wall clock, for rules that ask for it; 0: not known, and they say nothing */
};
void field_errs_init(struct field_errs *fe, struct arena *a); /* list memory is the arena's */
void fe_add(struct field_errs *fe, enum field_err_type type, const struct fpath *at, const struct val *value,
	    const char *fmt, ...) _printf_(5, 6);
void fe_required(struct field_errs *fe, const struct fpath *at);
void fe_required_why(struct field_errs *fe, const struct fpath *at, const char *detail);
/* Invalid with the explanation of a fmt_ function; nothing when msg is NULL. */
void fe_format(struct field_errs *fe, const struct fpath *at, struct sv value, const char *msg);
/* An Invalid for each thing that the format has against value; _as: against judged, which stands for value. */
void fe_check(struct field_errs *fe, const struct fpath *at, struct sv value, const char *(*fmt)(struct sv));
void fe_check_as(struct field_errs *fe, const struct fpath *at, struct sv value, struct sv judged,
		 const char *(*fmt)(struct sv));
void fe_invalid(struct field_errs *fe, const struct fpath *at, const struct val *value, const char *detail);
void fe_forbidden(struct field_errs *fe, const struct fpath *at, const char *detail);
void fe_duplicate(struct field_errs *fe, const struct fpath *at, const struct val *value);
void fe_not_found(struct field_errs *fe, const struct fpath *at, const struct val *value);
void fe_too_long(struct field_errs *fe, const struct fpath *at, size_t max_bytes);
void fe_too_many(struct field_errs *fe, const struct fpath *at, size_t n, size_t max);
/* Invalid "field is immutable" when the two differ (absent counts as equal to absent only). */
void fe_immutable(struct field_errs *fe, const struct fpath *at, const struct val *now, const struct val *old);
extern const struct val fe_null; /* prints as upstream prints a nil pointer: "null" */
void fe_not_supported(struct field_errs *fe, const struct fpath *at, const struct val *value,
		      const char *const *supported); /* NULL-terminated */
/* Appends more to fe. What is in both, the same type at the same field, stands in more's words only: the marks of the
 * schema and the rules of a kind overlap, and the rules know upstream's sentence. */
void field_errs_merge(struct field_errs *fe, const struct field_errs *more);
void fe_again(struct field_errs *fe, const struct field_err *e); /* a copy of e, at the end */
/* Returns 0 when there is none, else -1 with *err set. */
int field_errs_to_err(struct field_errs *fe, const struct resource *r, struct sv name, struct err *err);

/* Formats: NULL when s conforms, else upstream's explanation text (constant), the first when there are several. */
typedef const char *fmt_fn(struct sv s);
const char *fmt_dns_label(struct sv s);
const char *fmt_dns_subdomain(struct sv s);
const char *fmt_dns1035_label(struct sv s);
const char *fmt_qualified_name(struct sv s);
const char *fmt_label_value(struct sv s);
const char *fmt_port_name(struct sv s);
const char *fmt_path_segment(struct sv s);
const char *fmt_config_key(struct sv s);
const char *fmt_env_name(struct sv s);
const char *fmt_finalizer(struct sv s);		 /* qualified, or one of the standard ones */
const char *fmt_wildcard_subdomain(struct sv s); /* "*.example.com" */
const char *fmt_http_header(struct sv s);
const char *fmt_percent(struct sv s);
/* All that a format has against s, in upstream's order; returns how many. */
#define FMT_MSGS_MAX 5
size_t fmt_all(fmt_fn *fmt, struct sv s, const char *ret[FMT_MSGS_MAX]);
bool fmt_ip(struct sv s);
bool fmt_cidr(struct sv s);
#define FMT_IP_MSG "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
#define FMT_CIDR_MSG "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
/* The address in network order (IPv4: the first 4 bytes). */
bool fmt_ip_bytes(struct sv s, uint8_t ret[16], bool *ret_v6);
bool fmt_cidr_parts(struct sv s, uint8_t ret[16], bool *ret_v6, int *ret_bits);
const char *fmt_nonspecial_ip(struct sv s); /* an address of another host */

/* Required, enum, format and immutability marks of the schema. old is NULL on create. */
void validate_typed(struct field_errs *fe, const struct schema *s, const struct val *doc, const struct val *old,
		    const struct fpath *at);
/* The same of a document that order_typed() has just put in order, whatever the order of old. */
void validate_ordered(struct field_errs *fe, const struct schema *s, const struct val *doc, const struct val *old);
/* metadata: name by the kind's rule (name_check, a fmt_ function), generateName, namespace,
 * labels, annotations (256 KiB in all), ownerReferences, finalizers; on update what may change. */
void validate_object_meta(struct field_errs *fe, const struct resource *r, const struct val *meta,
			  const struct val *old_meta, const char *(*name_check)(struct sv));
/* Of an object inside another one: it may have a namespace, and need not have a name. */
void validate_embedded_meta(struct field_errs *fe, const struct val *meta, const struct fpath *at);
void validate_labels(struct field_errs *fe, const struct val *labels, const struct fpath *at);
void validate_annotations(struct field_errs *fe, const struct val *annotations, const struct fpath *at);
void validate_label_selector(struct field_errs *fe, const struct val *sel, const struct fpath *at);
/* One of its matchExpressions; and only whether operator and values go together, of fields as well as of labels. any:
 * an operator that nobody knows is fine. */
void validate_label_requirement(struct field_errs *fe, const struct val *e, const struct fpath *at, bool any);
void validate_selector_operator(struct field_errs *fe, const struct val *e, const struct fpath *at, bool any);
