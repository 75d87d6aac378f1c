/* dns_kit.h - objects from JSON with ' for ", and messages as one line of text, read by ldns. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "dns/answer.h"
#include "object/keep.h"
#include "object/obj.h"

#include <ldns/ldns.h>

static _unused_ struct obj *kit_obj(const char *text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *json = arena_strdup(&a, text);
	struct err err = ERR_INIT;
	struct val *doc;

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	doc = json_decode(&a, sv_from(json), NULL, &err);
	if (!doc)
		fail_msg("%s: %s", text, err_msg(&err));
	return obj_new(doc, 1);
}

#define KIT_SERVICE(name, spec) "{'kind':'Service','metadata':{'name':'" name "','namespace':'ns'},'spec':{" spec "}}"
#define KIT_SLICE(type, ports, endpoints)                                                                           \
	"{'kind':'EndpointSlice','metadata':{'name':'s','namespace':'ns'},'addressType':'" type "','ports':[" ports \
	"],'endpoints':[" endpoints "]}"
#define KIT_EP(ip, more) "{'addresses':['" ip "']" more "}"

/* What a transport of its own gives of it to who reads these fields. */
static _unused_ struct obj *kit_kept(const char *text, const char *const *paths)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = kit_obj(text), *kept;
	struct keep *k = keep_new();

	keep_add(k, paths);
	kept = obj_new_lean(keep_copy(&a, k, obj_root(o)));
	keep_unref(k);
	obj_unref(o);
	return kept;
}

static _unused_ struct zone_entry *kit_entry(const char *svc_text, const char *slice_text, const char *slice2_text)
{
	struct obj *svc = kit_kept(svc_text, zone_service_paths), *slices[2];
	struct zone_entry *e;
	size_t n = 0;

	if (slice_text)
		slices[n++] = kit_kept(slice_text, zone_slice_paths);
	if (slice2_text)
		slices[n++] = kit_kept(slice2_text, zone_slice_paths);
	e = zone_entry_new(svc, slices, n);
	for (size_t i = 0; i < n; i++)
		obj_unref(slices[i]);
	obj_unref(svc);
	return e;
}

static _unused_ void kit_put(struct zone_table *t, struct zone_entry *e)
{
	zone_entry_free(zone_table_set(t, zone_entry_key(e), e));
}

static _unused_ struct dns_name kit_name(const char *text)
{
	struct dns_name n;

	if (!dns_name_parse(sv_from(text), &n))
		fail_msg("no name: %s", text);
	return n;
}

static void kit_section(struct buf *b, const char *what, const ldns_rr_list *list)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		char *text = ldns_rr2str(ldns_rr_list_rr(list, i));
		size_t n = strcspn(text, "\n");

		for (size_t k = 0; k < n; k++)
			if (text[k] == '\t')
				text[k] = ' ';
		buf_printf(b, "; %s%.*s", what, (int)n, text);
		free(text);
	}
}

/* "NOERROR aa tc; RECORD; +AUTHORITY; *ADDITIONAL" */
static _unused_ const char *kit_text(const uint8_t *p, size_t n)
{
	static struct buf b;
	ldns_pkt *pkt = NULL;
	ldns_lookup_table *rcode;

	buf_clear(&b);
	if (ldns_wire2pkt(&pkt, p, n) != LDNS_STATUS_OK)
		return "unreadable";
	rcode = ldns_lookup_by_id(ldns_rcodes, (int)ldns_pkt_get_rcode(pkt));
	buf_printf(&b, "%s%s%s%s", rcode ? rcode->name : "?", ldns_pkt_aa(pkt) ? " aa" : "",
		   ldns_pkt_tc(pkt) ? " tc" : "", ldns_pkt_ad(pkt) ? " ad" : "");
	if (ldns_pkt_edns_extended_rcode(pkt))
		buf_printf(&b, " ext=%u", ldns_pkt_edns_extended_rcode(pkt));
	kit_section(&b, "", ldns_pkt_answer(pkt));
	kit_section(&b, "+", ldns_pkt_authority(pkt));
	kit_section(&b, "*", ldns_pkt_additional(pkt));
	ldns_pkt_free(pkt);
	return buf_cstr(&b);
}

static _unused_ struct dns_query kit_query(const char *name, uint16_t type)
{
	struct dns_query q = { .id = 0, .type = type, .udp_max = 512, .rd = true, .has_question = true };

	q.name = q.lower = kit_name(name);
	dns_name_lower(&q.lower);
	return q;
}
