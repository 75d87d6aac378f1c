/* fake_http.h - a scripted HTTP/1.1 server for tests: one thread, loopback tcp, answers by path.
 *
 *	/hello		200, "hello"			/chunked	the same in two chunks
 *	/number		the connection's number		/echo		the request's body
 *	/headers	the request's head		/cut		ends inside its body
 *	/eof		a body that ends with the connection
 *	/leave		200, then closes without having said so
 *	/deaf		closes without an answer when the connection is not a new one, else "first"
 *	/hang		nothing				/big		100,000 bytes
 *	/tunnel		101 "UPGRADED", then every byte back in upper case until the peer ends
 */
#pragma once

struct fake_http;
struct fake_http *fake_http_start(void);
struct fake_http *fake_http_stop(struct fake_http *f);
int fake_http_port(const struct fake_http *f);
int fake_http_accepted(const struct fake_http *f); /* connections so far; when none is being made */
void fake_http_wait_left(struct fake_http *f);	   /* until a /leave has closed */
