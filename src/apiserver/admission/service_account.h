/* service_account.h - the parts of the ServiceAccount plugin; only its own files include it. */
#pragma once

#include "apiserver/admission/plugins.h"

/* mountable_secrets.c: does the pod name Secrets that its account, where it limits them, does not list? With a
 * subresource: its ephemeral containers alone. */
int mountable_secrets_check(const struct admission *a, const struct obj *account, struct err *err);
