#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "registry/image.h"

namespace kiln::registry {

// What happened in the embedded registry.
struct RegistryEvent {
  enum class Action { Push, Pull, Mount, Delete } action = Action::Push;
  std::string repository;
  std::string tag;     // empty: by digest, or a blob
  Descriptor target;   // of a blob: digest and size
  std::string user;    // who asked; empty: nobody in particular
  std::string remote;  // address and port of who asked
  struct Request {
    std::string host{}, method{}, user_agent{};  // as they came
  } request{};                                   // empty: it happened by itself
};

// What the owner of a registry decides beyond the distribution-spec: which pushes it refuses, what comes from
// elsewhere, who is told. The server asks at these places and nowhere else. Called on pool threads, several
// at once; may block. What a function throws becomes the error of the request.
class RegistryHooks {
 public:
  virtual ~RegistryHooks() = default;

  struct Refusal {
    int status = 403;
    std::string code = "DENIED";  // of the distribution-spec
    std::string message;
  };
  // A refusal when it is too late to return one.
  struct Refused : Error {
    explicit Refused(Refusal why) : Error(ErrorKind::Failed, why.message), refusal(std::move(why)) {}
    Refusal refusal;
  };
  // To answer, this server would have to ask itself.
  struct Loop : Error {
    using Error::Error;
  };

  // What is decided about a push. `held` goes when the push is over, however it ends.
  struct Admission {
    std::optional<Refusal> refusal{};
    std::shared_ptr<void> held{};
  };
  // Before a manifest is named: `tags` are those it is to have (none: pushed by digest).
  virtual Admission before_push(std::string_view /*repository*/, std::span<const std::string> /*tags*/,
                                const Descriptor& /*manifest*/, std::string_view /*content*/) {
    return {};
  }
  // Whether a tag that is there must stay what it is. Asked while the names are locked: must not block.
  virtual bool is_immutable(std::string_view /*repository*/, std::string_view /*tag*/) { return false; }
  // What an upload has received, for as long as this is there. Of one request at a time.
  class UploadCount {
   public:
    virtual ~UploadCount() = default;
    // Before so many bytes more are written. Throws Refused.
    virtual void grow(uint64_t more) = 0;
    // Its bytes are about to be this blob; and then, on disk, are the repository's.
    virtual void commits(const Digest& digest) = 0;
    virtual void committed() = 0;
  };
  // `size`: what is there already, of an upload that is carried on. Null: nobody counts. Asked on threads
  // of connections, too: must be quick.
  virtual std::unique_ptr<UploadCount> count_upload(std::string_view /*repository*/, std::string_view /*id*/,
                                                    uint64_t /*size*/) {
    return nullptr;
  }
  // Before a blob that is here is mounted.
  virtual Admission before_mount(std::string_view /*repository*/, const Digest& /*blob*/) { return {}; }
  // Before an upload or a mount begins; `size` where the client has said it.
  virtual std::optional<Refusal> before_upload(std::string_view /*repository*/,
                                               std::optional<uint64_t> /*size*/) {
    return std::nullopt;
  }
  // Before a tag (or a digest, as text) is deleted.
  virtual std::optional<Refusal> before_delete(std::string_view /*repository*/,
                                               std::string_view /*reference*/) {
    return std::nullopt;
  }

  // Whether the repository is a copy of what lies on another machine. Asked for every read: must not block.
  virtual bool is_elsewhere(std::string_view /*repository*/) { return false; }
  // Before a read of such a repository is answered: may bring what is not here into the store (and name it).
  // `via` is the request's header of that name, all of it. On threads of their own, so that waiting for it
  // keeps nobody else waiting. NotFound becomes 404, Unavailable 503, Loop 508, with the message.
  virtual void before_manifest(std::string_view /*repository*/, std::string_view /*reference*/,
                               std::string_view /*via*/) {}
  virtual void before_blob(std::string_view /*repository*/, const Digest& /*digest*/,
                           std::string_view /*via*/) {}
  // The size of a blob that before_blob() would bring, where it is known here: who only looks (HEAD) does not
  // have to wait for it.
  virtual std::optional<uint64_t> size_elsewhere(std::string_view /*repository*/, const Digest& /*digest*/) {
    return std::nullopt;
  }

  // After it is on disk, before it is acknowledged.
  virtual void happened(const RegistryEvent& /*event*/) {}
};

}  // namespace kiln::registry
