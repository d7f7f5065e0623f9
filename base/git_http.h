#pragma once

#include <git2.h>

#include "base/git_session.h"

// Inside of base/git*.cc: git's smart protocol over http and https (gitprotocol-http) by way of HttpClient,
// so that fetching has the CAs, the proxies and the cancellation of everything else. libgit2's own transport
// waits for a silent server for ever.
namespace kiln::detail {

bool is_http_url(const char* url);

// A git_transport_cb but for its last argument, which must outlive the transport. What goes wrong is kept in
// transfer.failure and makes libgit2 return GIT_EUSER. Redirects are followed while asking for the refs,
// never from https to http, never from a public address to a private one; a user name and password in the URL
// go to that URL's own host alone.
int make_http_transport(git_transport** out, git_remote* remote, GitTransfer& transfer);

}  // namespace kiln::detail
