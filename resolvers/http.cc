#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "resolvers/page.h"
#include "resolvers/sources.h"

namespace kiln::resolvers {
namespace {

void refuse_credentials(const Params& params) {
  const std::string user = "http-username", secret = "http-password-secret";
  if (params.has(user) && !params.has(secret))
    throw Error(ErrorKind::Invalid, "missing required param " + secret + " when using " + user);
  if (params.has(secret) && !params.has(user))
    throw Error(ErrorKind::Invalid, "missing required param " + user + " when using " + secret);
  if (params.has(secret))
    throw Error(ErrorKind::Invalid,
                "the http resolver's param `" + secret +
                    "` is not supported: there is no store of Secrets "
                    "to read a password from",
                "download the document with the password, and pass that file too");
}

}  // namespace

// A URL may hold something else tomorrow, so only what a digest was given for is kept.
Resolved resolve_http(const Services& services, const Params& params) {
  refuse_credentials(params);
  params.require({"url"});
  const std::string url = params.get("url");
  const std::string wanted_text = params.get("digest");
  std::optional<Digest> wanted;
  if (!wanted_text.empty()) {
    wanted = Digest::parse(to_lower(wanted_text));
    if (!wanted)
      throw Error(ErrorKind::Invalid, "invalid digest format: " + wanted_text,
                  "write sha256: and 64, or sha512: and 128 hexadecimal digits");
    if (auto known = services.known(url + " " + wanted->text())) return *known;
  }
  std::string text = get_page(services.http, url, services.options.document_limit, services.stop);
  Hasher hasher(wanted ? wanted->algorithm() : "sha256");
  hasher.update(text);
  const Digest digest = hasher.finish();
  if (wanted && digest != *wanted)
    throw Error(ErrorKind::Invalid,
                "error validating digest: sha mismatch, expected " + std::string(wanted->encoded()) +
                    ", got " + std::string(digest.encoded()),
                "the document at " + url + " is not the one that was meant");
  const std::string source = url + " " + digest.text();
  return wanted ? services.keep(std::move(text), source) : Resolved{std::move(text), source, false};
}

}  // namespace kiln::resolvers
