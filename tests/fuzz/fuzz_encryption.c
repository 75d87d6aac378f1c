/* An EncryptionConfiguration of any form is read or refused with words that hold no key; what it makes of a value is
 * read back. */
#include "apiserver/encryption/encryption-internal.h"
#include "apiserver/encryption/kms.h"
#include "apiserver/encryption/terms.h"
#include "base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct enc_rules rules = { 0 };

	struct kms *service = kms_new(&(struct kms_opts){ .name = "x", .endpoint = "unix:///x" });

	/* What is stored by a key management service, taken apart. */
	(void)kms_knows(service, sv_make((const char *)data, size));
	kms_free(service);
	/* What another server says of its own. */
	if (enc_terms_agree(sv_make((const char *)data, size), SV("[]"), SV("x"), &err) < 0)
		BUG_ON(err.reason == ERR_NONE);
	err_release(&err);
	if (enc_config_parse(&a, sv_make((const char *)data, size), &rules, &err) < 0) {
		BUG_ON(err.reason == ERR_NONE);
		return 0;
	}
	BUG_ON(rules.n == 0);
	for (size_t i = 0; i < rules.n; i++) {
		BUG_ON(!rules.rules[i].n_keys || !rules.rules[i].n_patterns);
		for (size_t k = 0; k < rules.rules[i].n_keys; k++) {
			_cleanup_(buf_release) struct buf b = BUF_INIT;

			if (rules.rules[i].keys[k].cipher == CIPHER_KMS)
				continue;
			/* What was not sealed by it is refused, or at least read without harm. */
			(void)enc_open(&rules.rules[i].keys[k], SV("/k"), sv_make((const char *)data, size), &b, NULL);
		}
	}
	(void)enc_rule_for(&rules, SV("apps"), SV("deployments"));
	return 0;
}
