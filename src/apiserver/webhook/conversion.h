/* conversion.h - conversion webhooks: a version_fn that asks one.
 *
 * For kinds whose CustomResourceDefinition says `conversion.strategy: Webhook`:
 *
 *	struct webhook_conversion *c = webhook_conversion_new(val_get(crd, F_spec, F_conversion));
 *	struct kind_conversion how = { .convert = webhook_convert, .ctx = c, .waits = true };
 *	apiserver_add_versions(s, kind, &how, err);
 *
 * All objects of a leg are one ConversionReview (v1, or v1beta1 where the webhook takes only that). What comes back
 * must be as many, in the same order, of the version that was asked for, and of the same kind, name, namespace and
 * uid; of their metadata versions.h believes labels and annotations alone. Failures are upstream's:
 *
 *	conversion webhook for example.com/v1, Kind=Foo failed: Post "https://a.b.svc:443/convert?timeout=30s": ...
 *
 * Threads: immutable; webhook_convert() as every version_fn.
 */
#pragma once

#include "apiserver/versions.h"

struct webhook_conversion; /* reference-counted */

/* conversion: {webhook: {clientConfig, conversionReviewVersions}}. Never NULL: what is wrong with it is told when it is
 * asked. Whoever gives it to a kind keeps a reference as long as that. */
struct webhook_conversion *webhook_conversion_new(const struct val *conversion);
struct webhook_conversion *webhook_conversion_ref(struct webhook_conversion *c);
struct webhook_conversion *webhook_conversion_unref(struct webhook_conversion *c);

version_fn webhook_convert; /* leg->ctx: the webhook_conversion */

/* What webhook_convert() makes of an answer: the n documents into out, or -1. Safe for any bytes. */
int webhook_conversion_read(const struct version_leg *leg, struct sv body, const char *review, const char *uid,
			    struct err *err);
