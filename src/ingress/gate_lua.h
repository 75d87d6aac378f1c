/* gate_lua.h - how HAProxy chooses among gates: a program of ours in its Lua, which reads the maps.
 *
 *	gates.map	l80|host|	-> h	a listener's hostname, "*" for any host, "*.x" for a wildcard
 *			l443|host|	-> t	one whose TLS passes through
 *			i80|host|	-> i	a host of Ingresses; a wildcard is one label
 *			e80|listener|host/path| -> c7	exact; the listener by its hostname
 *			p80|listener|host/path/ -> c7	the longest that a request's path begins with
 *			t443|listener|host|	-> c8	connections that pass through
 *	values.map	c7		-> 3 c5	how many gates it has, and whose come after them
 *			c7.1		-> b:b4=70,b9=30 m:GET h:name:value q:name:value t:/tail
 *			b4.to, b4.origins	of redirects and CORS
 *
 * What users wrote stands in values, each byte but letters, digits and "-._~" as %XX; the program takes it out again
 * and compares. None of it is a pattern, a name or a part of the program.
 *
 *	lua.gate		sets txn.b of a request, by txn.port, txn.host, txn.path; nothing when it may be an
 *				Ingress'
 *	lua.gatepass		sets sess.b of a TLS connection, by sess.port and sess.sni; sess.nobody when it is a
 *				listener's whose routes do not have it
 *	lua.gateto NAME		sets txn.to, the new location
 *	lua.origin(NAME)	of an Origin: what Access-Control-Allow-Origin says; "" is not let in
 */
#pragma once

#define ING_GATE_LUA "gate.lua"
extern const char ing_gate_lua[];
