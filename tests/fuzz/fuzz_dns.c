/* Messages of the DNS: the first byte says whether a client's query or a server's response. What is answered is read
 * again, and must be a message within its bounds. */
#include "dns/answer.h"

#include <stdlib.h>

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void fuzz_query(struct sv bytes, bool tcp)
{
	static struct zone_table *zone;
	static struct dns_config *cfg;
	static uint8_t out[65535];
	struct dns_view v = { 0 };
	struct dns_query q;
	enum dns_rcode rcode = DNS_NOERROR;
	struct dns_name target;
	size_t n = 0, room = tcp ? sizeof(out) : 2048, max = tcp ? sizeof(out) : DNS_UDP_MAX;

	if (!zone) {
		_cleanup_(buf_release) struct buf said = BUF_INIT;

		zone = zone_table_new();
		cfg = dns_config_new(SV("cluster.local"));
		dns_config_ranges(cfg, "10.43.0.0/16,fd00::/108");
		dns_config_service(cfg, "10.43.0.10");
		dns_config_corefile(
		    cfg, SV(". {\n hosts {\n 1.2.3.4 h.test\n }\n rewrite name suffix r.test cluster.local\n}"), NULL,
		    &said);
	}
	v.zone = zone;
	v.cfg = cfg;
	switch (dns_query_read(bytes, tcp, &q, &rcode)) {
	case DNS_READ_DROP:
		return;
	case DNS_READ_REFUSE:
		n = dns_answer_code(&q, rcode, out, room);
		break;
	case DNS_READ_OK:
		if (dns_answer(&v, &q, out, room, &n, &target) == DNS_ELSEWHERE)
			n = dns_answer_rest(&v, &q, NULL, 0, 60, out, room);
		break;
	}
	must(n >= DNS_HEADER && n <= max && (out[2] & 0x80) && memcmp(out, bytes.p, 2) == 0);
}

static void fuzz_response(struct sv bytes)
{
	static uint8_t out[65535];
	struct dns_query q = { .id = 1, .type = DNS_A, .udp_max = 512, .has_question = true };
	struct dns_view v = { .zone = zone_table_new(), .cfg = dns_config_new(SV("cluster.local")) };
	uint16_t id = bytes.n > 1 ? (uint16_t)((unsigned)(uint8_t)bytes.p[0] << 8 | (uint8_t)bytes.p[1]) : 0;
	struct dns_msg *m, *again;
	bool tc;

	(void)dns_name_parse(SV("example.org"), &q.name);
	q.lower = q.name;
	m = dns_msg_read(bytes, id, &q.name, DNS_A, &tc);
	if (m) {
		size_t n = dns_msg_write(m, &q, 5, 60, out, sizeof(out));

		/* Who makes names of times to live gets other names when those are less. */
		must(n >= DNS_HEADER && n <= 512);
		(void)dns_msg_unref(dns_msg_read(sv_make((char *)out, n), 1, &q.name, DNS_A, &tc));
		q.tcp = true;
		n = dns_msg_write(m, &q, 5, 60, out, sizeof(out));
		must(n >= DNS_HEADER && n <= bytes.n);
		n = dns_answer_rest(&v, &q, m, 5, 60, out, sizeof(out));
		again = dns_msg_read(sv_make((char *)out, n), 1, &q.name, DNS_A, &tc);
		must(again || tc);
		dns_msg_unref(again);
	}
	dns_msg_unref(m);
	zone_table_free((struct zone_table *)v.zone);
	dns_config_free((struct dns_config *)v.cfg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || dns_wire_need(NULL) < 0)
		return 0;
	if (data[0] < 2)
		fuzz_query(sv_make((const char *)data + 1, n - 1), data[0]);
	else
		fuzz_response(sv_make((const char *)data + 1, n - 1));
	return 0;
}
