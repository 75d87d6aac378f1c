/* servers.h - what servers of one store ask each other, and an administrator of them: the paths. What there is to
 * answer knows whoever runs the API server (apiserver_opts.servers), and who may ask says authorization.
 *
 *	POST	/v1-caravel/members		another server joins; with the servers' token
 *	GET	/v1-caravel/members		who is there
 *	DELETE	/v1-caravel/members/NAME	that one goes, for good
 *	PUT	/v1-caravel/servers-token	the servers have another token
 *
 * Bodies and answers are JSON. The last three are for system:masters alone: what they do is to no object of the
 * cluster.
 */
#pragma once

#include "apiserver/api_req.h"

bool servers_path(struct sv path);     /* it waits for the store */
bool servers_serve(struct api_req *q); /* false: it is none of them */
