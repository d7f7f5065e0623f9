#include "registry/retention.h"

#include <algorithm>
#include <set>
#include <sys/stat.h>

#include "registry/access.h"
#include "registry/entry_notes.h"
#include "registry/store.h"
#include "registry/store_index.h"
#include "registry/store_walk.h"

namespace kiln::registry {
namespace {

struct Tagged {
  const IndexEntry* entry;
  Time pushed;
};

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return matches_repository(pattern, name); });
}

Time touched(const Store& store, const Digest& digest, Time otherwise) {
  struct stat st;
  if (::stat(store.blob_path(digest).c_str(), &st) != 0) return otherwise;
  return Time(std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec));
}

// Tags that were not pushed here, or by an older kiln, are as old as their manifest's file.
Time pushed(const Store& store, const IndexEntry& entry, Time now) {
  const auto noted = entry.descriptor.annotations.find(kPushed);
  const auto time = noted == entry.descriptor.annotations.end() ? std::nullopt : parse_rfc3339(noted->second);
  return time.value_or(touched(store, entry.descriptor.digest, now));
}

class Repository {
 public:
  Repository(const Store& store, const StoreIndex& index, const PolicySettings& policies, std::string name,
             Time now)
      : store_(store), policies_(policies), name_(std::move(name)), now_(now) {
    for (const IndexEntry* entry : index.of_repository(name_)) {
      if (entry->tag.empty())
        untagged_.push_back(entry);
      else
        tags_.push_back({entry, pushed(store, *entry, now)});
    }
    std::ranges::sort(tags_, [](const Tagged& a, const Tagged& b) {
      return a.pushed != b.pushed ? a.pushed > b.pushed : a.entry->tag > b.entry->tag;
    });
  }

  std::vector<Expired> expired() {
    for (const RetentionRule& rule : policies_.retention)
      if (any_matches(rule.repositories, name_)) expire_tags(rule);
    for (const RetentionRule& rule : policies_.retention)
      if (rule.untagged_for && any_matches(rule.repositories, name_)) expire_untagged(*rule.untagged_for);
    std::vector<Expired> out;
    for (const std::string& what : gone_) out.push_back({name_, what});
    return out;
  }

 private:
  void expire_tags(const RetentionRule& rule) {
    if (!rule.keep_last && !rule.keep_for) return;
    uint64_t rank = 0;  // newest first
    for (const Tagged& tag : tags_) {
      if (!any_matches(rule.tags, tag.entry->tag)) continue;
      const bool recent = rule.keep_last && rank++ < *rule.keep_last;
      const bool young = rule.keep_for && now_ - tag.pushed < *rule.keep_for;
      if (!recent && !young && !policies_.is_immutable(name_, tag.entry->tag)) gone_.insert(tag.entry->tag);
    }
  }

  void expire_untagged(Duration untagged_for) {
    ContentWalk led_to(store_);
    for (const Tagged& tag : tags_)
      if (!gone_.contains(tag.entry->tag)) led_to.follow(tag.entry->descriptor.digest);
    std::set<Digest> stays = led_to.blobs();
    // What is about one that stays does, too, and what is about that.
    for (bool more = true; more;) {
      more = false;
      for (const IndexEntry* entry : untagged_) {
        const auto subject = entry->descriptor.annotations.find(kSubject);
        if (subject == entry->descriptor.annotations.end() || stays.contains(entry->descriptor.digest))
          continue;
        const auto digest = Digest::parse(subject->second);
        more |= digest && stays.contains(*digest) && stays.insert(entry->descriptor.digest).second;
      }
    }
    for (const IndexEntry* entry : untagged_) {
      const Digest& digest = entry->descriptor.digest;
      if (!stays.contains(digest) && now_ - touched(store_, digest, now_) >= untagged_for)
        gone_.insert(digest.text());
    }
  }

  const Store& store_;
  const PolicySettings& policies_;
  const std::string name_;
  const Time now_;
  std::vector<Tagged> tags_;
  std::vector<const IndexEntry*> untagged_;
  std::set<std::string> gone_;
};

}  // namespace

std::vector<Expired> expired(const Store& store, const StoreIndex& index, const PolicySettings& policies,
                             Time now) {
  std::vector<Expired> out;
  if (policies.retention.empty()) return out;
  for (const std::string& name : index.repositories()) {
    std::vector<Expired> here = Repository(store, index, policies, name, now).expired();
    out.insert(out.end(), here.begin(), here.end());
  }
  return out;
}

std::vector<Expired> retain(Store& store, const PolicySettings& policies, Time now) {
  const auto index = store.index();
  std::vector<Expired> going = expired(store, *index, policies, now), gone;
  if (going.empty()) return gone;
  store.update([&](IndexEdit& edit) {
    for (const Expired& one : going) {
      const size_t count = edit.remove_if(one.repository, [&](const IndexEntry& entry) {
        if (entry.tag.empty()) return entry.descriptor.digest.text() == one.what;
        // A tag that has moved since was pushed just now.
        const IndexEntry* before = index->find(entry.name);
        return entry.tag == one.what && before && before->text == entry.text;
      });
      if (count > 0) gone.push_back(one);
    }
  });
  return gone;
}

}  // namespace kiln::registry
