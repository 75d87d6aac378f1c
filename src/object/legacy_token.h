/* legacy_token.h - what API server and controllers agree on about the tokens that Secrets hold.
 *
 * The API server writes on each such Secret the day of its last use, and since when it does so at all into a ConfigMap
 * of kube-system. The cleaner marks the Secrets of accounts that have long been unused, which refuses the token, and
 * deletes what stays marked. Days are UTC, as date_format() writes them.
 */
#pragma once

#include "codec/doc.h"

#define LEGACY_TOKEN_TYPE "kubernetes.io/service-account-token"
#define LEGACY_TOKEN_ACCOUNT "kubernetes.io/service-account.name"		     /* annotation */
#define LEGACY_TOKEN_ACCOUNT_UID "kubernetes.io/service-account.uid"		     /* annotation */
#define LEGACY_TOKEN_LAST_USED "kubernetes.io/legacy-token-last-used"		     /* label */
#define LEGACY_TOKEN_INVALID_SINCE "kubernetes.io/legacy-token-invalid-since"	     /* label */
#define LEGACY_TOKEN_TRACKING "kube-apiserver-legacy-service-account-token-tracking" /* ConfigMap */
#define LEGACY_TOKEN_TRACKING_NS "kube-system"
#define LEGACY_TOKEN_TRACKING_SINCE "since" /* its key */

/* Was the Secret made for the account by the cluster itself, as it long was? Only then does the account list it: who
 * makes such a Secret wants it. */
static inline bool legacy_token_generated(const struct val *account, struct sv secret)
{
	VAL_EACH(val_member(account, F_secrets), ref)
		if (sv_eq(val_get_str(ref, F_name), secret))
			return true;
	return false;
}
