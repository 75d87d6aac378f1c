/* shim_wire.h - what the agent and a pod's shim say to each other.
 *
 * A SOCK_SEQPACKET socket at RUN/oci/SID/shim, root's alone. A request is one packet: a word and its arguments, each
 * ended by a zero byte; descriptors come beside it (SCM_RIGHTS). The answer is one packet: "ok" and its values, or
 * "error" and a sentence. One request at a time on a connection; a connection is cheap.
 *
 *	request                          descriptors       answer
 *	hello                            -                 ok PROTOCOL PID
 *	create CID BUNDLE LOG flags      -                 ok PID: by `runc create`
 *	start CID                        -                 ok
 *	kill CID SIGNAL                  -                 ok: its first process got it
 *	delete CID                       -                 ok: by `runc delete --force`, and forgotten
 *	state                            -                 ok (CID STATE PID CODE)*
 *	reopen CID                       -                 ok: its log file is opened anew
 *	attach CID                       stdin? out? err?  ok; open until the container ends
 *	stdin-close CID                  -                 ok
 *	resize CID|EID COLS ROWS         -                 ok
 *	exec CID EID PROCESS.json flags  stdin out err     ok PID; at its end "exit CODE"
 *	the same with flag t             -                 ok PID and the terminal's descriptor
 *	update CID RESOURCES.json        -                 ok: by `runc update`
 *	end                              -                 ok when it has no containers
 *
 * flags: letters: t a terminal, i keeps stdin open, 1 closes it after the first attached client.
 * Closing the connection of an exec before its end kills it and what it started in its session.
 * At most SHIM_PACKET_MAX bytes a packet; a longer one is refused. State: created, running, exited.
 *
 * The file `exit` of a container, written before anybody is told: "CODE NANOSECONDS REASON\n", REASON being
 * Completed, Error or OOMKilled. `started`: "PID NANOSECONDS STARTTIME\n", STARTTIME that of /proc/PID/stat: a PID
 * with another one is somebody else.
 */
#pragma once

#include <stddef.h>

#define SHIM_PROTOCOL "1"
#define SHIM_PACKET_MAX 65536
#define SHIM_ARGS_MAX 1024 /* of them; state has four a container */
#define SHIM_FDS_MAX 3
