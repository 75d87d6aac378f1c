/* err.h - one failure, as a value.
 *
 * Functions that can fail take a struct err * last and return 0 (or a count, or a pointer) on
 * success and a negative number (or NULL) on failure. On success *err is untouched. On failure
 * it is set exactly once, by the function that knows most; callers only add context with
 * err_wrap(). All setters return -1, so
 *
 *	return err_set(err, ERR_CONFLICT, "pod '%s' changed underneath us", name);
 *
 * is always right. err may be NULL: the caller does not care why. Nothing in here logs.
 *
 * Reasons map one to one to metav1.Status.reason; see err_reason_name() and err_reason_code().
 */
#pragma once

#include "base/base.h"

enum err_reason {
	ERR_NONE = 0,
	ERR_BAD_REQUEST,
	ERR_UNAUTHORIZED,
	ERR_FORBIDDEN,
	ERR_NOT_FOUND,
	ERR_ALREADY_EXISTS,
	ERR_CONFLICT,
	ERR_GONE,
	ERR_INVALID,
	ERR_SERVER_TIMEOUT,
	ERR_STORE_READ,
	ERR_TOO_MANY_REQUESTS,
	ERR_METHOD_NOT_ALLOWED,
	ERR_NOT_ACCEPTABLE,
	ERR_TOO_LARGE, /* RequestEntityTooLarge */
	ERR_UNSUPPORTED_MEDIA_TYPE,
	ERR_INTERNAL,
	ERR_EXPIRED,
	ERR_UNAVAILABLE,
	ERR_TIMEOUT,
	ERR_UNKNOWN, /* 500 without a reason: what upstream passes on as it came */
	_ERR_REASON_MAX
};

/* One entry of Status.details.causes. */
struct err_cause {
	char *reason;  /* owned: "FieldValueInvalid", "FieldManagerConflict", ... */
	char *message; /* owned */
	char *field;   /* owned: "spec.containers[0].name", or NULL */
};

struct err {
	enum err_reason reason;
	int errnum;		  /* errno of the syscall behind it, or 0 */
	int code;		  /* HTTP status where it is not the reason's own, or 0 */
	char *reason_text;	  /* owned: Status.reason where that is none of ours, or NULL */
	char *msg;		  /* owned; outermost context first */
	struct err_cause *causes; /* owned */
	size_t n_causes;
	/* Status.details: what object it is about; owned, NULL when not known. */
	char *group, *kind, *name, *uid;
	int retry_after_s;
};

#define ERR_INIT ((struct err){ .reason = ERR_NONE })

int err_set(struct err *err, enum err_reason reason, const char *fmt, ...) _printf_(3, 4);
int err_set_errno(struct err *err, int errnum, const char *fmt, ...)
    _printf_(3, 4);						    /* ERR_INTERNAL, strerror appended */
int err_wrap(struct err *err, const char *fmt, ...) _printf_(2, 3); /* "context: old message" */
int err_add_cause(struct err *err, const char *reason, struct sv field, const char *fmt, ...) _printf_(4, 5);
bool err_has_cause(const struct err *err, const char *reason);
int err_set_object(struct err *err, struct sv group, struct sv kind, struct sv name); /* fills details */
int err_copy(struct err *to, const struct err *from);				      /* all of it; to NULL: nothing */
int err_move(struct err *to, struct err *from); /* from is empty after; to NULL drops it */
bool err_retryable(const struct err *err);	/* conflict, timeouts, unavailable, too many requests, internal */
bool err_no_room(const struct err *err);	/* a full disk, or as much of it as one may have */
const char *err_msg(const struct err *err);	/* never NULL */
void err_release(struct err *err);		/* for _cleanup_; err is reusable after */

const char *err_reason_name(enum err_reason r);	 /* "NotFound"; "" for ERR_NONE */
enum err_reason err_reason_from(struct sv name); /* ERR_NONE when unknown */
int err_reason_code(enum err_reason r);		 /* HTTP status */
int err_code(const struct err *err);		 /* err->code or its reason's */
