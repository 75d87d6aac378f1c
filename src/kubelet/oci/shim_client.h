/* shim_client.h - the agent's side of shim_wire.h.
 *
 * Blocking, with a deadline each; any thread: each call has a connection of its own. ERR_NOT_FOUND: no shim is there.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "kubelet/oci/oci_paths.h"

/* Writes the program to RUN once, starts one for the pod and waits for its hello. Fine when it runs. oci_program:
 * "runc" or a path. */
int shim_start(const struct oci_paths *p, struct sv sid, const char *oci_program, struct err *err);
/* words: at least one. fds: n_fds of them go along, borrowed. The answer's values without "ok", in a. */
int shim_ask(const struct oci_paths *p, struct arena *a, struct sv sid, const char *const *words, size_t n,
	     const int *fds, size_t n_fds, int64_t timeout_ns, struct sv **ret, size_t *ret_n, struct err *err);
/* The same, and the connection stays: *ret_conn is the caller's. *ret_fd (may be NULL): a descriptor that came, or -1.
 */
int shim_open(const struct oci_paths *p, struct arena *a, struct sv sid, const char *const *words, size_t n,
	      const int *fds, size_t n_fds, int64_t timeout_ns, int *ret_conn, int *ret_fd, struct err *err);
/* Waits for "exit CODE" on such a connection: at most timeout_ns (negative: for ever), or until stop_fd can be read. */
int shim_wait_exit(int conn, int64_t timeout_ns, int stop_fd, int *ret_code, struct err *err);
