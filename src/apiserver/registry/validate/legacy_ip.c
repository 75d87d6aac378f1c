/* legacy_ip.c - addresses and networks in fields that are older than today's rules for them.
 *
 * Such fields used to take whatever could be read somehow: "010.1.2.3", which one reads as octal and another as
 * decimal; "::ffff:10.1.2.3", an IPv4 address that looks like an IPv6 one; "10.1.2.3/8", of which nobody knows whether
 * a host or a network is meant. New values must be plain. What the stored object has already stays valid, for it could
 * not be changed in anything else otherwise. Those old values are looked for only when a value is not plain. */
#include "apiserver/registry/validate/kinds-internal.h"

/* Decimal numbers without their zeros in front, from the last colon on; dots and digits only are touched. False: too
 * long for an address. *ret_zeros: there were some. */
static bool legacy_plain(struct sv s, char buf[64], struct sv *ret, bool *ret_zeros)
{
	size_t n = 0, from = 0;

	if (s.n >= 64)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ':')
			from = i + 1;
	/* A part behind the colon that has no dot is hexadecimal, where zeros are common. */
	bool dotted = sv_find(sv_sub(s, from, s.n), '.') >= 0, begins = true;

	*ret_zeros = false;
	for (size_t i = 0; i < s.n; i++) {
		bool digit_next = i + 1 < s.n && s.p[i + 1] >= '0' && s.p[i + 1] <= '9';

		if (i == from)
			begins = true;
		if (dotted && i >= from && begins && s.p[i] == '0' && digit_next) {
			*ret_zeros = true;
			continue;
		}
		begins = s.p[i] == '.';
		buf[n++] = s.p[i];
	}
	*ret = sv_make(buf, n);
	return true;
}

static bool legacy_read(struct sv s, uint8_t ret[16], bool *ret_v6, bool *ret_zeros)
{
	char buf[64];
	struct sv plain;

	return legacy_plain(s, buf, &plain, ret_zeros) && fmt_ip_bytes(plain, ret, ret_v6);
}

static bool legacy_mapped(const uint8_t b[16], bool v6)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return v6 && memcmp(b, mapped, sizeof(mapped)) == 0;
}

static bool legacy_known(struct old_texts *old, struct sv s)
{
	if (!old || !old->doc)
		return false;
	if (!old->filled)
		old->fill(&old->texts, old->doc);
	old->filled = true;
	return strmap_has(&old->texts, s);
}

void old_texts_release(struct old_texts *old)
{
	strmap_release(&old->texts);
}

void old_texts_add(struct strmap *m, const struct val *list, enum sym name)
{
	VAL_EACH(list, v)
		strmap_set(m, sv_trim(val_str(name == SYM_NONE ? v : val_member(v, name))), m);
}

bool check_legacy_ip(struct field_errs *fe, struct sv s, const struct fpath *at, struct old_texts *old, bool *ret_v6)
{
	const char *not_plain = NULL;
	uint8_t b[16];
	bool v6 = false, zeros = false, ok = legacy_read(s, b, &v6, &zeros);

	if (ret_v6)
		*ret_v6 = v6;
	if (ok && zeros)
		not_plain = "must not have leading 0s";
	else if (ok && legacy_mapped(b, v6))
		not_plain = "must not be an IPv4-mapped IPv6 address";
	if ((!ok || not_plain) && legacy_known(old, s))
		return ok;
	if (!ok)
		fe_format(fe, at, s, FMT_IP_MSG);
	else if (not_plain)
		fe_format(fe, at, s, not_plain);
	return ok && !not_plain;
}

bool check_legacy_cidr(struct field_errs *fe, struct sv s, const struct fpath *at, struct old_texts *old, bool *ret_v6)
{
	ssize_t slash = sv_find(s, '/');
	struct sv bits = slash < 0 ? SV("") : sv_sub(s, (size_t)slash + 1, s.n);
	const char *not_plain = NULL;
	int64_t len = -1;
	bool v6 = false, zeros = false, ok, host_bits = false;
	uint8_t b[16] = { 0 };

	ok = slash >= 0 && legacy_read(sv_sub(s, 0, (size_t)slash), b, &v6, &zeros) && bits.n && bits.n <= 16;
	for (size_t i = 0; ok && i < bits.n; i++)
		ok = bits.p[i] >= '0' && bits.p[i] <= '9';
	ok = ok && sv_to_i64(bits, &len) && len <= (v6 ? 128 : 32);
	for (int64_t i = len; ok && i < (v6 ? 128 : 32); i++)
		host_bits |= b[i / 8] & (0x80 >> (i % 8));
	if (ret_v6)
		*ret_v6 = v6;
	if (ok && (zeros || (bits.n > 1 && bits.p[0] == '0')))
		not_plain = "must not have leading 0s in IP or prefix length";
	else if (ok && legacy_mapped(b, v6))
		not_plain = "must not have an IPv4-mapped IPv6 address";
	else if (ok && host_bits)
		not_plain = "must not have bits set beyond the prefix length";
	if ((!ok || not_plain) && legacy_known(old, s))
		return ok;
	if (!ok)
		fe_format(fe, at, s, FMT_CIDR_MSG);
	else if (not_plain)
		fe_format(fe, at, s, not_plain);
	return ok && !not_plain;
}
