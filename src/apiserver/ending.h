/* ending.h - requests that come while the server is about to end. */
#pragma once

#include "apiserver/api_req.h"

/* -1: q is refused (apiserver_refuse()). */
int ending_refuses(const struct api_req *q, struct err *err);
