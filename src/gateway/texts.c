#include "gateway/texts.h"

#include "object/validate.h"

bool gw_is_host(struct sv s)
{
	struct sv label;

	if (sv_starts(s, SV("*.")))
		s = sv_sub(s, 2, s.n);
	if (!s.n || s.n > 253)
		return false;
	while (sv_split(&s, '.', &label))
		if (fmt_dns_label(label))
			return false;
	return true;
}

bool gw_is_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= 'A' && s.p[i] <= 'Z') &&
		    !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.n && s.n <= GW_NAME_MAX;
}

bool gw_is_text(struct sv s)
{
	if (!s.n || s.n > GW_TEXT_MAX || s.p[0] == ' ' || s.p[s.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

bool gw_is_url(struct sv s)
{
	if (!gw_is_text(s) || !(s.p[0] == '/' || sv_starts(s, SV("http://")) || sv_starts(s, SV("https://"))))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (strchr(" \"'<>\\^`{|}", s.p[i]) ||
		    (s.p[i] == '%' && (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)))
			return false;
	return true;
}
