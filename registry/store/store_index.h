#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "registry/image.h"

namespace kiln::registry {

// One entry of index.json.
struct IndexEntry {
  Descriptor descriptor;  // with its annotations
  std::string text;       // the JSON as it stands in the file, with members that Kiln does not model
  std::string name;       // kRefName; empty: kept for other reasons
  // What the embedded registry shows it as. No repository: of this machine's user only.
  std::string repository, tag;

  explicit IndexEntry(Descriptor entry);
  IndexEntry(Descriptor entry, std::string json);
};

// The store's names: index.json (image-spec image-layout.md) at one moment, found by hash. Immutable and
// thread-safe; lives as long as it is held. Only changed entries are written anew: what other tools have put
// into the others, and beside them, stays.
class StoreIndex {
 public:
  using Entry = std::shared_ptr<const IndexEntry>;

  // `file` is what errors call it. Throws Invalid.
  static std::shared_ptr<const StoreIndex> parse(std::string_view text, std::string_view file);
  StoreIndex(std::vector<Entry> entries, std::string others);

  const std::vector<Entry>& entries() const { return entries_; }
  const IndexEntry* find(std::string_view name) const;
  // Tags and what was pushed by digest, in the file's order; empty for a repository that is not there.
  const std::vector<const IndexEntry*>& of_repository(std::string_view repository) const;
  std::set<std::string> repositories() const;
  std::string text() const;
  void write_text(std::string& out) const;  // the same, over what `out` has

 private:
  friend class IndexEdit;
  struct Tables {
    std::unordered_map<std::string_view, const IndexEntry*> names;
    std::unordered_map<std::string_view, std::vector<const IndexEntry*>> repositories;
  };
  const Tables& tables() const;
  size_t frame_size() const;  // of the text without entries

  const std::vector<Entry> entries_;
  const std::string others_;  // the document without them, JSON
  mutable std::once_flag once_;
  mutable Tables tables_;  // made when first asked for
};

// Changes under way, several callers' one after the other. Making one costs as much as the index is long, so
// whoever changes it again and again carries on with the same. Not thread-safe.
class IndexEdit {
 public:
  explicit IndexEdit(std::shared_ptr<const StoreIndex> base);

  const std::shared_ptr<const StoreIndex>& base() const { return base_; }

  const IndexEntry* find(std::string_view name) const;
  // Makes the name mean `descriptor`.
  void name(std::string_view name, Descriptor descriptor);
  // An entry without a name, unless there is an equal one.
  void add(Descriptor descriptor);
  // Makes it the only entry that has neither a name nor a repository.
  void set_nameless(Descriptor descriptor);
  bool remove(std::string_view name);
  // How many entries of a repository went.
  size_t remove_if(std::string_view repository, const std::function<bool(const IndexEntry&)>& goes);

  // Makes the change, unless the text (of finish()) would have more than `limit` bytes and no fewer than
  // before: then, and when it throws, nothing of it stays. False: it was too much.
  bool apply(const std::function<void(IndexEdit&)>& change, uint64_t limit);

  bool changed() const { return changed_; }
  std::shared_ptr<const StoreIndex> finish() const;
  // What finish() has made is the base of the changes that follow.
  void carry_on(std::shared_ptr<const StoreIndex> finished);

 private:
  struct Mark {
    size_t slots, replaced;
    uint64_t bytes;
    bool changed;
  };

  void append(StoreIndex::Entry entry);
  void put_in(size_t slot);
  void erase(size_t slot);
  void undo(const Mark& mark);

  std::shared_ptr<const StoreIndex> base_;
  std::vector<StoreIndex::Entry> slots_;  // null: removed
  struct Replaced {
    size_t slot;
    StoreIndex::Entry entry;
  };
  std::vector<Replaced> replaced_;  // keys below may refer to their strings
  uint64_t bytes_ = 0;              // of the slots' text
  std::unordered_map<std::string_view, size_t> names_;
  std::unordered_map<std::string_view, std::vector<size_t>> repositories_;
  bool changed_ = false;
};

}  // namespace kiln::registry
