/* apr1.h - the hash that htpasswd makes when nothing else is asked of it, and crypt(3) does not know.
 *
 * A Lua function for HAProxy, `lua.apr1`: "1" when the password txn.ap has the hash txn.ah. Loaded only where a user
 * has such a hash. It takes some milliseconds, as crypt(3)'s hashes do; passwords of more than 128 bytes are none.
 */
#pragma once

#define ING_APR1_LUA "apr1.lua"
extern const char ing_apr1_lua[];
