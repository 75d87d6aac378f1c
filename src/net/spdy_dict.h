/* spdy_dict.h - the dictionary that primes SPDY/3's header compression; only spdy.c includes it.
 *
 * A protocol constant (SPDY/3 draft, section 2.6.10.1): 1,423 bytes, Adler-32 0xe3c6a7c2. It is a
 * list of words, each behind its length in four bytes, then loose text. The words are written
 * with their lengths beside them so that they can be read; a test checks the sum.
 */
#pragma once

#define WORD(length, text) "\0\0\0" length text

static const char spdy_dictionary[] =
    /* clang-format off */
	WORD("\7", "options") WORD("\4", "head") WORD("\4", "post") WORD("\3", "put") WORD("\6", "delete")
	WORD("\5", "trace") WORD("\6", "accept") WORD("\16", "accept-charset") WORD("\17", "accept-encoding")
	WORD("\17", "accept-language") WORD("\15", "accept-ranges") WORD("\3", "age") WORD("\5", "allow")
	WORD("\15", "authorization") WORD("\15", "cache-control") WORD("\12", "connection")
	WORD("\14", "content-base") WORD("\20", "content-encoding") WORD("\20", "content-language")
	WORD("\16", "content-length") WORD("\20", "content-location") WORD("\13", "content-md5")
	WORD("\15", "content-range") WORD("\14", "content-type") WORD("\4", "date") WORD("\4", "etag")
	WORD("\6", "expect") WORD("\7", "expires") WORD("\4", "from") WORD("\4", "host") WORD("\10", "if-match")
	WORD("\21", "if-modified-since") WORD("\15", "if-none-match") WORD("\10", "if-range")
	WORD("\23", "if-unmodified-since") WORD("\15", "last-modified") WORD("\10", "location")
	WORD("\14", "max-forwards") WORD("\6", "pragma") WORD("\22", "proxy-authenticate")
	WORD("\23", "proxy-authorization") WORD("\5", "range") WORD("\7", "referer") WORD("\13", "retry-after")
	WORD("\6", "server") WORD("\2", "te") WORD("\7", "trailer") WORD("\21", "transfer-encoding")
	WORD("\7", "upgrade") WORD("\12", "user-agent") WORD("\4", "vary") WORD("\3", "via") WORD("\7", "warning")
	WORD("\20", "www-authenticate") WORD("\6", "method") WORD("\3", "get") WORD("\6", "status")
	WORD("\6", "200 OK") WORD("\7", "version") WORD("\10", "HTTP/1.1") WORD("\3", "url") WORD("\6", "public")
	WORD("\12", "set-cookie") WORD("\12", "keep-alive") WORD("\6", "origin")
	"100" "101" "201" "202" "205" "206" "300" "302" "303" "304" "305" "306" "307" "402" "405" "406" "407" "408"
	"409" "410" "411" "412" "413" "414" "415" "416" "417" "502" "504" "505"
	"203 Non-Authoritative Information" "204 No Content" "301 Moved Permanently" "400 Bad Request"
	"401 Unauthorized" "403 Forbidden" "404 Not Found" "500 Internal Server Error" "501 Not Implemented"
	"503 Service Unavailable" "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec" " 00:00:00"
	" Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" "chunked,text/html,image/png,image/jpg,image/gif,"
	"application/xml,application/xhtml+xml,text/plain,text/javascript," "public" "private" "max-age="
	"gzip,deflate,sdch" "charset=utf-8" "charset=iso-8859-1,utf-,*,enq=0.";
/* clang-format on */

#undef WORD
#define SPDY_DICTIONARY_N (sizeof(spdy_dictionary) - 1)
