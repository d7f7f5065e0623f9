#include "registry/server/retention.h"

#include <algorithm>
#include <map>
#include <set>
#include <sys/stat.h>

#include "registry/server/access.h"
#include "registry/server/entry_notes.h"
#include "registry/store/store.h"
#include "registry/store/store_index.h"
#include "registry/store/store_walk.h"

namespace kiln::registry {
namespace {

struct Tagged {
  const IndexEntry* entry;
  Time pushed;
  std::optional<Digest> about;  // it stays and goes with this image
};

Time touched(const Store& store, const Digest& digest, Time otherwise) {
  struct stat st;
  if (::stat(store.blob_path(digest).c_str(), &st) != 0) return otherwise;
  return Time(std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec));
}

// Tags that were not pushed here, or by an older kiln, are as old as their manifest's file.
Time pushed(const Store& store, const IndexEntry& entry, Time now) {
  return pushed_at(entry.descriptor).value_or(touched(store, entry.descriptor.digest, now));
}

// The image that a tag of cosign's is about ("sha256-HEX.sig", ".att", ".sbom").
std::optional<Digest> described_by(std::string_view tag) {
  const size_t dash = tag.find('-'), dot = tag.find('.');
  if (dash == std::string_view::npos || dot == std::string_view::npos || dot < dash) return std::nullopt;
  const std::string_view suffix = tag.substr(dot);
  if (suffix != ".sig" && suffix != ".att" && suffix != ".sbom") return std::nullopt;
  return Digest::parse(std::string(tag.substr(0, dash)) + ":" +
                       std::string(tag.substr(dash + 1, dot - dash - 1)));
}

class Repository {
 public:
  Repository(const Store& store, const StoreIndex& index, const PolicySettings& policies, std::string name,
             Time now)
      : store_(store), policies_(policies), name_(std::move(name)), now_(now) {
    std::set<Digest> here;
    for (const IndexEntry* entry : index.of_repository(name_)) {
      here.insert(entry->descriptor.digest);
      if (entry->tag.empty())
        untagged_.push_back(entry);
      else
        tags_.push_back({entry, pushed(store, *entry, now), described_by(entry->tag)});
    }
    // What is about an image that is not here is a tag as any other.
    for (Tagged& tag : tags_)
      if (tag.about && (!here.contains(*tag.about) || !was_pushed(*tag.entry))) tag.about.reset();
    std::ranges::sort(tags_, [](const Tagged& a, const Tagged& b) {
      return a.pushed != b.pushed ? a.pushed > b.pushed : a.entry->tag > b.entry->tag;
    });
  }

  std::vector<Expired> expired() {
    expire_tags();
    const auto rule = std::ranges::find_if(policies_.retention, [&](const RetentionRule& one) {
      return one.untagged_for && any_matches(one.repositories, name_);
    });
    const bool all_stay = rule == policies_.retention.end();
    if (!all_stay || std::ranges::any_of(tags_, [](const Tagged& tag) { return tag.about.has_value(); }))
      expire_rest(all_stay ? Duration::max() : *rule->untagged_for);
    return std::move(gone_);
  }

 private:
  const RetentionRule* rule_of(const std::string& tag) const {
    const auto rule = std::ranges::find_if(policies_.retention, [&](const RetentionRule& one) {
      return (one.keep_last || one.keep_for) && any_matches(one.repositories, name_) &&
             any_matches(one.tags, tag);
    });
    return rule == policies_.retention.end() ? nullptr : &*rule;
  }

  // Whatever is pushed has an entry of its own beside its tag's.
  bool was_pushed(const IndexEntry& entry) const {
    return entry.descriptor.annotations.contains(kPushed) ||
           std::ranges::any_of(untagged_, [&](const IndexEntry* one) {
             return one->descriptor.digest == entry.descriptor.digest;
           });
  }

  void expire_tags() {
    std::map<const RetentionRule*, uint64_t> ranks;  // newest first
    for (const Tagged& tag : tags_) {
      if (tag.about) continue;
      const RetentionRule* rule = was_pushed(*tag.entry) ? rule_of(tag.entry->tag) : nullptr;
      if (!rule) continue;
      const bool recent = rule->keep_last && ranks[rule]++ < *rule->keep_last;
      const bool young = rule->keep_for && now_ - tag.pushed < *rule->keep_for;
      if (recent || young || policies_.is_immutable(name_, tag.entry->tag)) continue;
      gone_.push_back({name_, tag.entry->tag, tag.entry->descriptor});
      tags_gone_.insert(tag.entry->tag);
    }
  }

  // What no tag leads to, and what is about it.
  void expire_rest(Duration untagged_for) {
    ContentWalk stays(store_);
    for (const Tagged& tag : tags_)
      if (!tag.about && !tags_gone_.contains(tag.entry->tag)) stays.follow(tag.entry->descriptor.digest);
    for (const IndexEntry* entry : untagged_)
      if (now_ - touched(store_, entry->descriptor.digest, now_) < untagged_for)
        stays.follow(entry->descriptor.digest);
    follow_referrers(stays);
    for (const Tagged& tag : tags_)
      if (tag.about && !stays.blobs().contains(*tag.about) && !policies_.is_immutable(name_, tag.entry->tag))
        gone_.push_back({name_, tag.entry->tag, tag.entry->descriptor});
    for (const IndexEntry* entry : untagged_)
      if (!stays.blobs().contains(entry->descriptor.digest)) gone_.push_back({name_, "", entry->descriptor});
  }

  // What is about one that stays does, too, and what is about that.
  void follow_referrers(ContentWalk& stays) const {
    for (bool more = true; more;) {
      more = false;
      for (const Tagged& tag : tags_) {
        if (!tag.about || !stays.blobs().contains(*tag.about) ||
            stays.blobs().contains(tag.entry->descriptor.digest))
          continue;
        stays.follow(tag.entry->descriptor.digest);
        more = true;
      }
      for (const IndexEntry* entry : untagged_) {
        const auto subject = entry->descriptor.annotations.find(kSubject);
        if (subject == entry->descriptor.annotations.end()) continue;
        const auto digest = Digest::parse(subject->second);
        if (!digest || !stays.blobs().contains(*digest) || stays.blobs().contains(entry->descriptor.digest))
          continue;
        stays.follow(entry->descriptor.digest);
        more = true;
      }
    }
  }

  const Store& store_;
  const PolicySettings& policies_;
  const std::string name_;
  const Time now_;
  std::vector<Tagged> tags_;
  std::vector<const IndexEntry*> untagged_;
  std::set<std::string> tags_gone_;
  std::vector<Expired> gone_;
};

}  // namespace

std::vector<Expired> expired(const Store& store, const StoreIndex& index, const PolicySettings& policies,
                             Time now) {
  std::vector<Expired> out;
  if (policies.retention.empty()) return out;
  for (const std::string& name : index.repositories()) {
    std::vector<Expired> here = Repository(store, index, policies, name, now).expired();
    std::ranges::move(here, std::back_inserter(out));
  }
  return out;
}

std::vector<Expired> retain(Store& store, const PolicySettings& policies, Time now) {
  std::vector<Expired> gone;
  if (expired(store, *store.index(), policies, now).empty()) return gone;
  store.update([&](IndexEdit& edit) {
    gone = expired(store, *edit.finish(), policies, now);
    for (const Expired& one : gone)
      edit.remove_if(one.repository, [&](const IndexEntry& entry) {
        return entry.tag == one.tag && entry.descriptor.digest == one.target.digest;
      });
  });
  return gone;
}

}  // namespace kiln::registry
