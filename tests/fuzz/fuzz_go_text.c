/* URLs, addresses and versions: what is read can be written, and is read again as the same. */
#include "base/go_quote.h"
#include "base/utf8.h"
#include "object/netip.h"
#include "object/semver.h"
#include "object/url.h"

static void go_text_url(struct arena *a, struct sv s)
{
	_cleanup_(buf_release) struct buf once = BUF_INIT, twice = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct url u, again;
	struct url_pairs q;
	size_t n = 0;

	if (!url_parse(a, s, &u, &err)) {
		BUG_ON(!sv_starts(sv_from(err_msg(&err)), SV("parse \"")));
		return;
	}
	url_write(a, &once, &u);
	if (url_parse(a, buf_sv(&once), &again, NULL)) {
		url_write(a, &twice, &again);
		BUG_ON(!sv_eq(buf_sv(&once), buf_sv(&twice)));
	}
	BUG_ON(url_hostname(&u).n + url_port(&u).n > u.host.n);
	q = (struct url_pairs){ .rest = u.query };
	while (url_pairs_next(a, &q))
		BUG_ON(++n > u.query.n + 1);
}

static void go_text_address(struct sv s)
{
	struct netip ip, again;
	struct netip_prefix p, m;

	if (netip_parse(s, &ip, NULL)) {
		BUG_ON(!netip_parse(sv_from(netip_text(&ip).s), &again, NULL) || !netip_same(&ip, &again));
	}
	if (netip_prefix_parse(s, &p, NULL)) {
		m = netip_masked(&p);
		BUG_ON(!netip_has(&p, &p.ip) || !netip_has(&m, &p.ip) || !netip_has(&p, &m.ip));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf quoted = BUF_INIT;
	struct sv s = sv_make((const char *)data, MIN(size, 4096));
	struct semver v, loose;
	struct url u;

	go_text_url(&a, s);
	(void)url_parse_request(&a, s, &u, NULL);
	go_text_address(s);
	if (semver_parse(s, &v, NULL) && semver_parse_loosely(&a, s, &loose, NULL))
		BUG_ON(semver_cmp(&v, &v) != 0 || v.major != loose.major);
	go_quote(&quoted, s);
	BUG_ON(!utf8_valid(buf_sv(&quoted)));
	return 0;
}
