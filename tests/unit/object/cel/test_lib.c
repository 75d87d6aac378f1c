/* Functions of the libraries, through the engine: what they give, what they say when they do not, and what they cost.
 */
#include "unit.h"

#include "codec/json.h"
#include "object/cel/authz.h"
#include "object/cel/cel.h"

#include <stdio.h>
#include <stdlib.h>

/* The variables of every expression here. */
#define TEXT "hello w\xc3\xb6rld"

struct asked {
	struct cel_authz z;
	struct cel_authz_ask last;
	struct cel_authz_memo memo;
	bool later; /* answers only what it remembers */
	size_t n;
};

static int asked_check(struct cel_authz *z, struct arena *a, const struct cel_authz_ask *ask,
		       struct cel_authz_answer *ret)
{
	struct asked *k = (struct asked *)(void *)((char *)z - offsetof(struct asked, z));
	const struct cel_authz_answer *known = cel_authz_known(&k->memo, ask);

	(void)a;
	k->last = *ask;
	k->n++;
	if (k->later) {
		if (!known)
			return CEL_LATER;
		*ret = *known;
		return 0;
	}
	*ret = (struct cel_authz_answer){ .allowed = sv_is(ask->verb, "get"), .reason = SV("because") };
	if (sv_is(ask->verb, "fail"))
		ret->error = SV("no answer");
	return 0;
}

struct ran {
	enum cel_outcome outcome;
	struct sv text; /* JSON of the result, or the error */
	uint64_t cost;
	struct cel_range estimate;
};

static void drop_program(void *p)
{
	cel_program_unref(p);
}

static struct ran run_with(struct arena *a, const char *text, uint16_t release, struct asked *asked)
{
	const struct cel_type *ints = cel_type_list(a, &cel_t_int);
	struct cel_var vars[] = { { SV("s"), &cel_t_string },
				  { SV("ints"), ints },
				  { SV("strs"), &cel_t_list_string },
				  { SV("authorizer"), cel_t_authorizer },
				  { SV("authorizer.requestResource"), cel_t_resource_check },
				  { SV("d"), &cel_t_dyn } };
	static const struct cel_value int_items[] = { { .kind = CEL_INT, .i = 3 },
						      { .kind = CEL_INT, .i = 1 },
						      { .kind = CEL_INT, .i = 2 },
						      { .kind = CEL_INT, .i = 3 } };
	struct cel_value str_items[] = { cel_string(SV("b")), cel_string(SV("a")), cel_string(SV("c")) };
	struct cel_authz_ask about = { .group = SV("apps"), .resource = SV("deployments"), .ns = SV("x") };
	struct cel_value in[] = { cel_string(SV(TEXT)),
				  cel_list(int_items, ARRAY_LEN(int_items)),
				  cel_list(str_items, ARRAY_LEN(str_items)),
				  cel_authz_authorizer(a, &asked->z),
				  cel_authz_request_resource(a, &asked->z, &about),
				  cel_int(1) };
	struct cel_env env = {
		.release = release, .vars = vars, .n_vars = ARRAY_LEN(vars), .extra_lib = "!kubernetes.jsonpatch"
	};
	struct cel_issues issues = CEL_ISSUES(a);
	struct cel_run run = { .arena = a, .vars = in, .limit = CEL_LIMIT_CALL };
	struct cel_program *p = cel_compile(&env, sv_from(text), &issues);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct cel_value out;
	struct ran r = { .outcome = CEL_FAILED };
	struct val *doc;

	if (!p) {
		r.text = issues.n ? issues.p[0].message : SV("?");
		return r;
	}
	arena_defer(a, drop_program, p); /* what it asked for are its own texts */
	r.outcome = cel_eval(p, &run, &out);
	r.cost = run.cost;
	r.estimate = cel_program_cost(p);
	if (r.outcome != CEL_DONE) {
		r.text = run.error;
		return r;
	}
	doc = cel_to_doc(a, &out);
	if (doc)
		json_encode(&b, doc);
	r.text = doc ? arena_sv(a, buf_sv(&b)) : cel_type_name_of(&out);
	return r;
}

static const struct {
	const char *expr, *want; /* JSON; or of an error its words, with '!' in front */
	uint64_t cost;		 /* 0: not looked at */
} rows[] = {
	/* strings; s has 11 characters in 12 bytes */
	{ "s.charAt(7)", "\"\xc3\xb6\"", 2 },
	{ "s.charAt(11)", "\"\"", 2 },
	{ "s.charAt(12)", "!index out of range: 12", 0 },
	{ "s.charAt(-1)", "!index out of range: -1", 0 },
	{ "s.indexOf('o')", "4", 2 },
	{ "s.indexOf('r')", "8", 2 },
	{ "s.indexOf('l', 4)", "9", 2 },
	{ "s.indexOf('x')", "-1", 0 },
	{ "s.indexOf('', 3)", "3", 0 },
	{ "s.indexOf('o', 20)", "-1", 0 },
	{ "s.indexOf('o', -1)", "!index out of range: -1", 0 },
	{ "s.lastIndexOf('l')", "9", 2 },
	{ "s.lastIndexOf('l', 8)", "3", 2 },
	{ "s.lastIndexOf('hello')", "0", 0 },
	{ "s.lastIndexOf('')", "11", 0 },
	{ "s.lastIndexOf('l', -1)", "!index out of range: -1", 0 },
	{ "'aaaa'.lastIndexOf('aa', 1)", "1", 0 },
	{ "''.lastIndexOf('x')", "-1", 0 },
	{ "'TacoC\xc3\x84t'.lowerAscii()", "\"tacoc\xc3\x84t\"", 1 },
	{ "s.upperAscii()", "\"HELLO W\xc3\xb6RLD\"", 3 },
	{ "'\\u3000 \\t a b \\u00a0\\u2003'.trim()", "\"a b\"", 0 },
	{ "''.trim()", "\"\"", 0 },
	{ "s.substring(6)", "\"w\xc3\xb6rld\"", 3 },
	{ "s.substring(6, 8)", "\"w\xc3\xb6\"", 3 },
	{ "s.substring(11)", "\"\"", 0 },
	{ "s.substring(12)", "!index out of range: 12", 0 },
	{ "s.substring(3, 2)", "!invalid substring range. start: 3, end: 2", 0 },
	{ "s.substring(0, 12)", "!index out of range: 12", 0 },
	{ "s.replace('l', 'L')", "\"heLLo w\xc3\xb6rLd\"", 4 },
	{ "s.replace('l', '', 2)", "\"heo w\xc3\xb6rld\"", 4 },
	{ "s.replace('l', 'x', 0)", "\"hello w\xc3\xb6rld\"", 0 },
	{ "'\xc3\xb6"
	  "b'.replace('', '-')",
	  "\"-\xc3\xb6-b-\"", 0 },
	{ "'ab'.replace('', '-', 2)", "\"-a-b\"", 0 },
	{ "'aaa'.replace('aa', 'b')", "\"ba\"", 0 },
	{ "s.split('l')", "[\"he\",\"\",\"o w\xc3\xb6r\",\"d\"]", 4 },
	{ "s.split(' ', 0)", "[]", 0 },
	{ "s.split('l', 2)", "[\"he\",\"lo w\xc3\xb6rld\"]", 0 },
	{ "'\xc3\xb6"
	  "b'.split('')",
	  "[\"\xc3\xb6\",\"b\"]", 0 },
	{ "'abc'.split('', 2)", "[\"a\",\"bc\"]", 0 },
	{ "''.split(',')", "[\"\"]", 0 },
	{ "''.split('')", "[]", 0 },
	{ "strs.join()", "\"bac\"", 2 },
	{ "strs.join(', ')", "\"b, a, c\"", 3 },
	{ "[].join(',')", "\"\"", 0 },
	{ "strings.quote('a\"\\\\\\n\xc3\xb6')", "\"\\\"a\\\\\\\"\\\\\\\\\\\\n\xc3\xb6\\\"\"", 1 },
	/* format */
	{ "'%s %d%%'.format([dyn('a'), 5])", "\"a 5%\"", 0 },
	{ "'%s %s %s %s %s'.format([dyn(1), 2u, 1.5, true, null])", "\"1 2 1.5 true null\"", 0 },
	{ "'%s'.format([1e6])", "\"1e+06\"", 0 },
	{ "'%s'.format([[dyn(1), 'a', 1.5, b'x', [null]]])", "\"[1, \\\"a\\\", 1.500000, b\\\"x\\\", [null]]\"", 0 },
	{ "'%s'.format([{'b': dyn(1), 'a': {1: true}}])", "\"{\\\"a\\\":{1:true}, \\\"b\\\":1}\"", 0 },
	{ "'%s %s'.format([dyn(timestamp('2026-01-02T03:04:05.5Z')), duration('90s')])",
	  "\"2026-01-02T03:04:05.5Z 90s\"", 0 },
	{ "'%s'.format([[duration('1h1s')]])", "\"[duration(\\\"3601s\\\")]\"", 0 },
	{ "'%s'.format([type(1)])", "\"int\"", 0 },
	{ "'%f %.2f %.0f'.format([1234567.891, 0.125, 2.5])", "\"1,234,567.891000 0.12 2\"", 0 },
	{ "'%f %f'.format(['NaN', '-Infinity'])", "\"NaN -\xe2\x88\x9e\"", 0 },
	{ "'%e'.format([1052.032911275])",
	  "\"1.052033\xe2\x80\xaf\xc3\x97\xe2\x80\xaf"
	  "10\xe2\x81\xb0\xc2\xb3\"",
	  0 },
	{ "'%b %b %b'.format([dyn(5), -5, true])", "\"101 -101 1\"", 0 },
	{ "'%x %X %x %x'.format([dyn(255), 255u, 'hi', b'\\xff'])", "\"ff FF 6869 ff\"", 0 },
	{ "'%o'.format([8])", "\"10\"", 0 },
	{ "s.format([])", "\"hello w\xc3\xb6rld\"", 0 },
	{ "dyn('%d').format([d])", "\"1\"", 0 },
	{ "(s + '%d').format([dyn('a')])",
	  "!error during formatting: decimal clause can only be used on integers, was given string", 0 },
	{ "(s + '%f').format([dyn(1)])",
	  "!error during formatting: fixed-point clause can only be used on doubles, was given int", 0 },
	{ "(s + '%d').format([])", "!index 0 out of range", 0 },
	{ "(s + '%').format([1])", "!unexpected end of string", 0 },
	{ "(s + '%z').format([1])", "!could not parse formatting clause: unrecognized formatting clause \"z\"", 0 },
	{ "(s + '%.f').format([1.0])",
	  "!could not parse formatting clause: error while parsing precision: error while converting precision to "
	  "integer: strconv.Atoi: parsing \"\": invalid syntax",
	  0 },
	{ "(s + '%.3').format([1.0])",
	  "!could not parse formatting clause: error while parsing precision: could not find end of precision "
	  "specifier",
	  0 },
	/* lists */
	{ "ints.isSorted()", "false", 5 },
	{ "['a', 'b'].isSorted()", "true", 0 },
	{ "ints.sum()", "9", 5 },
	{ "[1.5, 2.5].sum()", "4", 0 },
	{ "[duration('1s'), duration('2s')].sum() == duration('3s')", "true", 0 },
	{ "[9223372036854775807, 1].sum()", "!integer overflow", 0 },
	{ "ints.min()", "1", 5 },
	{ "ints.max()", "3", 5 },
	{ "strs.max()", "\"c\"", 1 },
	{ "ints.filter(i, i > 5).min()", "!min called on empty list", 0 },
	{ "ints.filter(i, i > 5).max()", "!max called on empty list", 0 },
	{ "ints.indexOf(3)", "0", 5 },
	{ "ints.lastIndexOf(3)", "3", 5 },
	{ "ints.indexOf(4)", "-1", 0 },
	{ "ints.slice(1, 3)", "[1,2]", 14 },
	{ "ints.slice(3, 1)", "!cannot slice(3, 1), start index must be less than or equal to end index", 0 },
	{ "ints.slice(-1, 1)", "!cannot slice(-1, 1), negative indexes not supported", 0 },
	{ "ints.slice(0, 9)", "!cannot slice(0, 9), list is length 4", 0 },
	{ "[[1, 2], [3]].flatten()", "[1,2,3]", 0 },
	{ "[dyn(1), dyn([dyn(2), dyn([dyn(3), dyn([4])])])].flatten(2)", "[1,2,3,[4]]", 0 },
	{ "[1].flatten(-1)", "!level must be non-negative", 0 },
	{ "ints.sort()", "[1,2,3,3]", 44 },
	{ "strs.sort()", "[\"a\",\"b\",\"c\"]", 30 },
	{ "ints.distinct()", "[3,1,2]", 44 },
	{ "ints.reverse()", "[3,2,1,3]", 16 },
	{ "lists.range(3)", "[0,1,2]", 14 },
	{ "lists.range(-1)", "!lists.range: size must be non-negative, got -1", 0 },
	{ "lists.range(10000001)", "!lists.range: size 10000001 exceeds maximum allowed (10000000)", 0 },
	{ "ints.sortBy(i, -i)", "[3,3,2,1]", 0 },
	/* sets */
	{ "sets.contains(ints, [1, 2])", "true", 0 },
	{ "sets.contains(ints, [1, 4])", "false", 0 },
	{ "sets.contains(ints, ints)", "true", 19 },
	{ "sets.equivalent(ints, ints)", "true", 35 },
	{ "sets.equivalent(ints, [1, 2, 3])", "true", 0 },
	{ "sets.equivalent(ints, [1, 2])", "false", 0 },
	{ "sets.intersects(ints, [5, 1])", "true", 0 },
	{ "sets.intersects(ints, [])", "false", 0 },
	/* regular expressions */
	{ "s.find('[a-z]o')", "\"lo\"", 5 },
	{ "s.find('x+')", "\"\"", 0 },
	{ "s.findAll('l+')", "[\"ll\",\"l\"]", 3 },
	{ "s.findAll('l', 2)", "[\"l\",\"l\"]", 0 },
	{ "s.findAll('l', -1).size()", "3", 0 },
	{ "s.findAll('x')", "[]", 0 },
	{ "s.find(strs[0] + '(')", "!Illegal regex: error parsing regexp: missing closing ): `b(`", 0 },
	/* URLs */
	{ "url('https://user@Example.com:80/a b?k=1&k=2#f').getHost()", "\"Example.com:80\"", 0 },
	{ "url('https://[::1]:80/').getHostname()", "\"::1\"", 0 },
	{ "url('https://[::1]:80/').getPort()", "\"80\"", 0 },
	{ "url('https://example.com/path with spaces/').getEscapedPath()", "\"/path%20with%20spaces/\"", 0 },
	{ "url('/path').getScheme()", "\"\"", 0 },
	{ "url('https://e/?k1=a&k2=b&k2=c').getQuery()", "{\"k1\":[\"a\"],\"k2\":[\"b\",\"c\"]}", 0 },
	{ "url('https://e/?').getQuery()", "{}", 0 },
	{ "url('../x')", "!URL parse error during conversion from string: parse \"../x\": invalid URI for request", 0 },
	{ "isURL('https://a/')", "true", 1 },
	{ "isURL('a b')", "false", 0 },
	{ "url('https://A/') == url('https://A/')", "true", 0 },
	{ "url('https://a/') == url('https://a/b')", "false", 0 },
	/* quantities */
	{ "quantity('1.5Gi').isGreaterThan(quantity('1Gi'))", "true", 0 },
	{ "quantity('1k').compareTo(quantity('1000'))", "0", 0 },
	{ "quantity('1k') == quantity('1000')", "true", 0 },
	{ "quantity('50k').asInteger()", "50000", 0 },
	{ "quantity('1500m').asInteger()", "!cannot convert value to integer", 0 },
	{ "quantity('1500m').asApproximateFloat()", "1.5", 0 },
	{ "quantity('500m').add(quantity('500m')).isInteger()", "false", 0 },
	{ "quantity('50k').add(20).sub(quantity('1k')).asInteger()", "49020", 0 },
	{ "quantity('50k').sub(50000).sign()", "0", 0 },
	{ "quantity('-1').sign()", "-1", 0 },
	{ "quantity('1').isLessThan(quantity('1001m'))", "true", 0 },
	{ "isQuantity('10Mi')", "true", 1 },
	{ "isQuantity('10Mb')", "false", 0 },
	{ "quantity('1.5x')",
	  "!quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", 0 },
	{ "quantity('10ki')", "!unable to parse quantity's suffix", 0 },
	/* addresses */
	{ "ip('10.0.0.1').family()", "4", 2 },
	{ "string(ip('2001:DB8::0:1'))", "\"2001:db8::1\"", 0 },
	{ "ip('::1') == ip('0:0:0:0:0:0:0:1')", "true", 0 },
	{ "ip.isCanonical('::1')", "true", 1 },
	{ "ip.isCanonical('::0:1')", "false", 0 },
	{ "ip.isCanonical('x')",
	  "!IP Address \"x\" parse error during conversion from string: ParseAddr(\"x\"): unable to parse IP", 0 },
	{ "isIP('::ffff:1.2.3.4')", "false", 2 },
	{ "ip('::ffff:1.2.3.4')", "!IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed", 0 },
	{ "ip('fe80::1%eth0')", "!IP address \"fe80::1%eth0\" with zone value is not allowed", 0 },
	{ "ip('127.0.0.1').isLoopback() && ip('::').isUnspecified() && ip('ff02::1').isLinkLocalMulticast() && "
	  "ip('fe80::1').isLinkLocalUnicast() && ip('10.1.1.1').isGlobalUnicast()",
	  "true", 0 },
	{ "cidr('192.168.0.0/24').containsIP('192.168.0.9')", "true", 5 },
	{ "cidr('192.168.0.0/24').containsIP(ip('192.168.1.9'))", "false", 5 },
	{ "cidr('192.168.0.0/24').containsIP('x')", "!no such overload", 0 },
	{ "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')", "true", 0 },
	{ "cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/8'))", "false", 0 },
	{ "cidr('10.0.0.0/8').containsCIDR('x')",
	  "!network address parse error during conversion from string: network address parse error during conversion "
	  "from string: netip.ParsePrefix(\"x\"): no '/'",
	  0 },
	{ "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "true", 0 },
	{ "string(cidr('10.1.2.3/8').ip())", "\"10.1.2.3\"", 0 },
	{ "string(cidr('10.1.2.3/8'))", "\"10.1.2.3/8\"", 0 },
	{ "cidr('10.1.2.3/8').prefixLength()", "8", 0 },
	{ "isCIDR('10.0.0.0/33')", "false", 0 },
	/* formats */
	{ "format.dns1123Label().validate('ab').hasValue()", "false", 10 },
	{ "format.dns1123Label().validate('a.b').value()", "[\"must not contain dots\"]", 0 },
	{ "format.dns1123LabelPrefix().validate('a-').hasValue()", "false", 0 },
	{ "format.dns1035Label().validate('1a').value().size()", "1", 0 },
	{ "format.named('labelValue').value().validate('').hasValue()", "false", 0 },
	{ "format.named('no').hasValue()", "false", 0 },
	{ "format.uuid().validate('x').value()", "[\"does not match the UUID format\"]", 0 },
	{ "format.byte().validate('aGVsbG8=').hasValue()", "false", 0 },
	{ "format.date().validate('2021-13-01').value()", "[\"invalid date\"]", 0 },
	{ "format.datetime().validate('2021-01-01T00:00:00Z').hasValue()", "false", 0 },
	{ "format.uri().validate('x').value()", "[\"parse \\\"x\\\": invalid URI for request\"]", 0 },
	/* versions */
	{ "semver('1.2.3').isLessThan(semver('1.10.0'))", "true", 0 },
	{ "semver('1.0.0-a').compareTo(semver('1.0.0'))", "-1", 0 },
	{ "semver('v1.2', true).minor()", "2", 0 },
	{ "semver('1.2')", "!No Major.Minor.Patch elements found", 0 },
	{ "isSemver('v1.0.0')", "false", 1 },
	{ "isSemver('v1.0.0', true)", "true", 1 },
	{ "semver('1.0.0+a') == semver('1.0.0+b')", "true", 0 },
	/* JSON patch, optional values */
	{ "jsonpatch.escapeKey('a/b~c')", "\"a~1b~0c\"", 1 },
	{ "optional.of(1).value()", "1", 0 },
	{ "optional.none().hasValue()", "false", 0 },
	{ "optional.none().value()", "!optional.none() dereference", 0 },
	{ "optional.ofNonZeroValue('').hasValue()", "false", 0 },
	{ "optional.ofNonZeroValue([0]).hasValue()", "true", 0 },
	{ "optional.none().or(optional.of(2)).value()", "2", 0 },
	{ "optional.none().orValue(3)", "3", 0 },
	{ "optional.of(1).orValue(3)", "1", 0 },
	{ "optional.of(1).orValue(1 / 0)", "1", 0 },
	{ "optional.of(1).or(optional.of(1 / 0)).value()", "1", 0 },
	{ "optional.none().orValue(1 / 0)", "!division by zero", 0 },
	{ "optional.ofNonZeroValue(ints.max() > 2 ? 5 : 0).orValue(1)", "5", 0 },
	/* may somebody? */
	{ "authorizer.path('/healthz').check('get').allowed()", "true", 350003 },
	{ "authorizer.path(' ')", "!path must not be empty", 0 },
	{ "authorizer.group('').resource('')", "!resource must not be empty", 0 },
	{ "authorizer.serviceAccount('ns', 'A')", "!Invalid service account name", 0 },
	{ "authorizer.serviceAccount('a.b', 'a')", "!Invalid service account namespace", 0 },
	{ "authorizer.group('').resource('pods').check('list').allowed()", "false", 0 },
	{ "authorizer.group('').resource('pods').check('list').reason()", "\"because\"", 0 },
	{ "authorizer.group('').resource('pods').check('list').errored()", "false", 0 },
	{ "authorizer.group('').resource('pods').check('list').error()", "\"\"", 0 },
	{ "authorizer.requestResource.check('fail').errored()", "true", 0 },
	{ "authorizer.requestResource.check('fail').error()", "\"no answer\"", 0 },
	{ "authorizer.requestResource.fieldSelector('a=b').check('get').allowed()", "true", 0 },
};

static void test_rows(void **state)
{
	size_t bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct asked asked = { .z = { asked_check } };
		struct ran r = run_with(&a, rows[i].expr, CEL_V(1, 38), &asked);
		bool fails = rows[i].want[0] == '!';

		if ((r.outcome == CEL_DONE) == fails || !sv_is(r.text, rows[i].want + fails) ||
		    (rows[i].cost && r.cost != rows[i].cost)) {
			print_error("%s: %.*s (%d), cost %llu; want %s, %llu\n", rows[i].expr, SV_ARG(r.text),
				    r.outcome, (unsigned long long)r.cost, rows[i].want,
				    (unsigned long long)rows[i].cost);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

/* What upstream estimates and counts of the same expressions; what is constant is made once, and not counted. */
static const struct {
	const char *expr;
	uint64_t min, max, cost;
} costs[] = {
	{ "[1, 2, 3, 4, 5].sum()", 15, 15, 5 },
	{ "[uint(1), uint(2), uint(3), uint(4), uint(5)].max()", 20, 20, 5 },
	{ "[1, 2, 3, 4, 5].indexOf(3)", 15, 15, 5 },
	{ "'01234567890123456789012345678901234567890123456789'.lastIndexOf('123')", 5, 5, 5 },
	{ "url('https:://kubernetes.io/').getHost()", 4, 4, 4 },
	{ "ip('192.168.0.1')", 2, 2, 2 },
	{ "ip('2001:db8:3333:4444:5555:6666:7777:8888').family()", 5, 5, 5 },
	{ "ip.isCanonical('192.168.0.1')", 3, 3, 3 },
	{ "ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8, 8, 8 },
	{ "cidr('192.168.0.0/16').masked()", 3, 3, 3 },
	{ "cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", 7, 11, 7 },
	{ "cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7, 11, 7 },
	{ "cidr('192.168.0.0/16').containsIP(ip('192.0.0.1'))", 4, 7, 4 },
	{ "cidr('192.168.0.0/16').containsIP('192.169.0.1')", 5, 8, 5 },
	{ "cidr('2001:db8::/32').containsIP(ip('2001:db8:3333:4444:5555:6666:7777:8888'))", 7, 10, 7 },
	{ "cidr('2001:db8::/32').containsIP('2001:db8::1')", 5, 8, 5 },
	{ "'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3, 3 },
	{ "'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", 7, 9, 9 },
	{ "strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3, 3 },
	{ "strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 7, 11, 9 },
	{ "'abc 123 def 123'.replace('123', '456')", 3, 3, 3 },
	{ "'abc 123 def 123'.replace('', 'x')", 3, 3, 3 },
	{ "'abc 123 def 123'.split(' ', 1)", 3, 3, 3 },
	{ "'abc 123 def 123'.substring(5, 8)", 2, 2, 2 },
	{ "'  abc 123 def 123  '.trim()", 2, 2, 2 },
	{ "'abc 123 def 123'.findAll('123', 1)", 2, 2, 2 },
	{ "'%x'.format([b'byte string'])", 11, 11, 1 },
	{ "authorizer.path('/healthz')", 2, 2, 2 },
	{ "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')", 6,
	  6, 6 },
	{ "authorizer.path('/healthz').check('get').allowed()", 350003, 350003, 350003 },
	{ "quantity('12Mi')", 1, 1, 1 },
	{ "quantity('200M') == quantity('200M')", 3, 3, 3 },
	{ "quantity('50k').add(20).sub(quantity('100k')).asInteger() > 0", 6, 6, 6 },
	{ "sets.contains([], [])", 21, 21, 1 },
	{ "sets.contains([1, 2, 3, 4], [2, 3])", 29, 29, 9 },
	{ "sets.equivalent([1], [1, 1])", 25, 25, 5 },
	{ "!sets.intersects([1], [2])", 23, 23, 3 },
};

static void test_costs(void **state)
{
	size_t bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct asked asked = { .z = { asked_check } };
		struct ran r = run_with(&a, costs[i].expr, CEL_V(1, 38), &asked);

		if (r.outcome != CEL_DONE || r.cost != costs[i].cost || r.estimate.min != costs[i].min ||
		    r.estimate.max != costs[i].max) {
			print_error("%s: %.*s, %llu..%llu, %llu\n", costs[i].expr, SV_ARG(r.text),
				    (unsigned long long)r.estimate.min, (unsigned long long)r.estimate.max,
				    (unsigned long long)r.cost);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

/* A function that a release has is there for new expressions from the next one on. */
static void test_since(void **state)
{
	static const struct {
		const char *expr;
		uint16_t since;
	} all[] = {
		{ "'a'.charAt(0)", CEL_V(1, 0) },
		{ "quantity('1')", CEL_V(1, 28) },
		{ "sets.contains([1], [1])", CEL_V(1, 29) },
		{ "ip('::1')", CEL_V(1, 30) },
		{ "format.uri()", CEL_V(1, 31) },
		{ "semver('1.2.3')", CEL_V(1, 33) },
		{ "[1].sort()", CEL_V(1, 34) },
		{ "[1].includes(1)", CEL_V(1, 37) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct asked asked = { .z = { asked_check } };

		if (all[i].since > CEL_V(1, 0) && run_with(&a, all[i].expr, all[i].since, &asked).outcome == CEL_DONE)
			fail_msg("%s is there before its time", all[i].expr);
		if (run_with(&a, all[i].expr, (uint16_t)(all[i].since + 1), &asked).outcome != CEL_DONE)
			fail_msg("%s is not there", all[i].expr);
	}
}

/* What the question is made of; that a run ends and begins anew when the answer is not there yet. */
static void test_authorizer(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct asked asked = { .z = { asked_check }, .memo = { .arena = &a } };
	const char *expr = "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource("
			   "'scale').namespace('x').name('y').labelSelector('a=b').check('update').allowed()";
	struct cel_authz_answer yes = { .allowed = true };

	(void)state;
	assert_true(sv_is(run_with(&a, expr, CEL_V(1, 38), &asked).text, "false"));
	assert_true(sv_is(asked.last.account, "sa") && sv_is(asked.last.account_namespace, "ns"));
	assert_true(sv_is(asked.last.group, "apps") && sv_is(asked.last.resource, "deployments"));
	assert_true(sv_is(asked.last.subresource, "scale") && sv_is(asked.last.ns, "x") && sv_is(asked.last.name, "y"));
	assert_true(sv_is(asked.last.label_selector, "a=b") && !asked.last.field_selector.p);
	assert_true(sv_is(asked.last.verb, "update") && asked.last.resource_request);
	asked.later = true;
	assert_int_equal(run_with(&a, expr, CEL_V(1, 38), &asked).outcome, CEL_WAITS);
	cel_authz_remember(&asked.memo, &asked.last, &yes);
	assert_true(sv_is(run_with(&a, expr, CEL_V(1, 38), &asked).text, "true"));
	/* Two checks an expression are to be had, three are not. */
	asked.later = false;
	assert_int_equal(
	    run_with(&a,
		     "authorizer.path('/a').check('x').allowed() || authorizer.path('/b').check('x').allowed() "
		     "|| authorizer.path('/c').check('x').allowed()",
		     CEL_V(1, 38), &asked)
		.outcome,
	    CEL_TOO_COSTLY);
}

/* What costs little and makes much is paid for, or refused. */
static void test_bounds(void **state)
{
	static const char *const costly[] = {
		"lists.range(9000000).size()",
		("lists.range(1000).map(i, 'a').join().replace('', lists.range(90000).map(i, "
		 "'0123456789').join()).size()"),
		"lists.range(3000).distinct().size()",
		"sets.contains(lists.range(2000), lists.range(2000))",
		"lists.range(20000).map(i, 'axxxxxxxxx').join().matches('a.{900}b')",
		"lists.range(8000).exists(i, 'a'.matches('[ab]{' + string(i % 900 + 100) + '}' + string(i)))",
		"lists.range(2000).exists(i, 'a'.matches('(' + string(i)))",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(costly); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct asked asked = { .z = { asked_check } };
		struct ran r = run_with(&a, costly[i], CEL_V(1, 38), &asked);

		if (r.outcome != CEL_TOO_COSTLY)
			fail_msg("%s: %d, %.*s", costly[i], r.outcome, SV_ARG(r.text));
		assert_true(a.bytes < (64u << 20));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	   cmocka_unit_test(test_costs),  cmocka_unit_test(test_since),
		cmocka_unit_test(test_authorizer), cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
