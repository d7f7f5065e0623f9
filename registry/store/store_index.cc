#include "registry/store/store_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "registry/reference.h"
#include "registry/store/store.h"

namespace kiln::registry {

using nlohmann::json;

namespace {

constexpr std::string_view kManifests = "\"manifests\":[", kEnd = "]}";
constexpr size_t kReplaced = 64;  // entries that went, and half as many as there are, are not worth a tidying

std::string annotation(const Descriptor& entry, const char* name) {
  const auto it = entry.annotations.find(name);
  return it == entry.annotations.end() ? std::string{} : it->second;
}

std::string compact(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

IndexEntry::IndexEntry(Descriptor entry) : IndexEntry(entry, compact(to_json(entry))) {}

IndexEntry::IndexEntry(Descriptor entry, std::string json)
    : descriptor(std::move(entry)),
      text(std::move(json)),
      name(annotation(descriptor, Store::kRefName)),
      repository(annotation(descriptor, Store::kRepository)) {
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos) return;
  std::string before = name.substr(0, colon), after = name.substr(colon + 1);
  if (!is_repository_name(before) || !is_tag(after)) return;
  repository = std::move(before);
  tag = std::move(after);
}

std::shared_ptr<const StoreIndex> StoreIndex::parse(std::string_view text, std::string_view file) {
  json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("manifests") || !document["manifests"].is_array())
    throw Error(ErrorKind::Invalid, std::string(file) + " is not an image index",
                "the folder is not an OCI image layout, or the file was damaged");
  std::vector<Entry> entries;
  for (const json& entry : document["manifests"])
    entries.push_back(std::make_shared<const IndexEntry>(parse_descriptor(entry), compact(entry)));
  document.erase("manifests");
  return std::make_shared<const StoreIndex>(std::move(entries), compact(document));
}

StoreIndex::StoreIndex(std::vector<Entry> entries, std::string others)
    : entries_(std::move(entries)), others_(std::move(others)) {}

const StoreIndex::Tables& StoreIndex::tables() const {
  std::call_once(once_, [this] {
    for (const Entry& entry : entries_) {
      if (!entry->name.empty()) tables_.names.emplace(entry->name, entry.get());
      if (!entry->repository.empty()) tables_.repositories[entry->repository].push_back(entry.get());
    }
  });
  return tables_;
}

const IndexEntry* StoreIndex::find(std::string_view name) const {
  const auto it = tables().names.find(name);
  return it == tables().names.end() ? nullptr : it->second;
}

const std::vector<const IndexEntry*>& StoreIndex::of_repository(std::string_view repository) const {
  static const std::vector<const IndexEntry*> none;
  const auto it = tables().repositories.find(repository);
  return it == tables().repositories.end() ? none : it->second;
}

std::set<std::string> StoreIndex::repositories() const {
  std::set<std::string> out;
  for (const auto& [name, entries] : tables().repositories) out.emplace(name);
  return out;
}

std::string StoreIndex::text() const {
  std::string out;
  write_text(out);
  return out;
}

void StoreIndex::write_text(std::string& out) const {
  size_t size = frame_size();
  for (const Entry& entry : entries_) size += entry->text.size() + 1;
  out.reserve(size);
  out = others_;
  out.back() = others_ == "{}" ? ' ' : ',';
  out += kManifests;
  for (const Entry& entry : entries_) {
    if (out.back() != '[') out += ',';
    out += entry->text;
  }
  out += kEnd;
}

size_t StoreIndex::frame_size() const {
  return others_.size() + kManifests.size() + kEnd.size();
}

IndexEdit::IndexEdit(std::shared_ptr<const StoreIndex> base) : base_(std::move(base)) {
  slots_.reserve(base_->entries().size() + 2);
  names_.reserve(base_->entries().size() + 2);
  for (const StoreIndex::Entry& entry : base_->entries()) append(entry);
}

void IndexEdit::append(StoreIndex::Entry entry) {
  slots_.push_back(std::move(entry));
  put_in(slots_.size() - 1);
}

// Into the tables.
void IndexEdit::put_in(size_t slot) {
  const IndexEntry& entry = *slots_[slot];
  bytes_ += entry.text.size() + 1;
  if (!entry.name.empty()) names_.emplace(entry.name, slot);
  if (entry.repository.empty()) return;
  std::vector<size_t>& theirs = repositories_[entry.repository];
  theirs.insert(std::ranges::upper_bound(theirs, slot), slot);
}

void IndexEdit::erase(size_t slot) {
  StoreIndex::Entry entry = std::exchange(slots_[slot], nullptr);
  bytes_ -= entry->text.size() + 1;
  if (const auto it = names_.find(entry->name); it != names_.end() && it->second == slot) names_.erase(it);
  if (const auto it = repositories_.find(entry->repository); it != repositories_.end())
    std::erase(it->second, slot);
  replaced_.push_back({slot, std::move(entry)});
  changed_ = true;
}

void IndexEdit::undo(const Mark& mark) {
  const size_t replaced = replaced_.size();
  for (size_t slot = mark.slots; slot < slots_.size(); ++slot)
    if (slots_[slot]) erase(slot);
  slots_.resize(mark.slots);
  for (size_t i = mark.replaced; i < replaced; ++i) {
    const auto [slot, entry] = replaced_[i];
    if (slot >= mark.slots) continue;
    slots_[slot] = entry;
    put_in(slot);
  }
  changed_ = mark.changed;
}

bool IndexEdit::apply(const std::function<void(IndexEdit&)>& change, uint64_t limit) {
  const Mark before{slots_.size(), replaced_.size(), bytes_, changed_};
  try {
    change(*this);
  } catch (...) {
    undo(before);
    throw;
  }
  const bool did = slots_.size() != before.slots || replaced_.size() != before.replaced;
  const bool fits = base_->frame_size() + bytes_ <= limit;
  if (!did || fits || bytes_ < before.bytes) return true;
  undo(before);
  return false;
}

const IndexEntry* IndexEdit::find(std::string_view name) const {
  const auto it = names_.find(name);
  return it == names_.end() ? nullptr : slots_[it->second].get();
}

void IndexEdit::name(std::string_view name, Descriptor descriptor) {
  descriptor.annotations[Store::kRefName] = name;
  if (const IndexEntry* known = find(name)) {
    if (known->descriptor == descriptor) return;
    remove(name);
  }
  append(std::make_shared<const IndexEntry>(std::move(descriptor)));
  changed_ = true;
}

void IndexEdit::add(Descriptor descriptor) {
  auto entry = std::make_shared<const IndexEntry>(std::move(descriptor));
  const auto same = [&](size_t slot) {
    const Descriptor& there = slots_[slot]->descriptor;
    return there.digest == entry->descriptor.digest && there == entry->descriptor;
  };
  if (const auto it = repositories_.find(entry->repository);
      it != repositories_.end() && std::ranges::any_of(it->second, same))
    return;
  append(std::move(entry));
  changed_ = true;
}

void IndexEdit::set_nameless(Descriptor descriptor) {
  bool there = false;
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    const StoreIndex::Entry& entry = slots_[slot];
    if (!entry || !entry->name.empty() || !entry->repository.empty()) continue;
    if (entry->descriptor == descriptor && !there)
      there = true;
    else
      erase(slot);
  }
  if (there) return;
  append(std::make_shared<const IndexEntry>(std::move(descriptor)));
  changed_ = true;
}

bool IndexEdit::remove(std::string_view name) {
  const auto it = names_.find(name);
  if (it == names_.end()) return false;
  erase(it->second);
  return true;
}

size_t IndexEdit::remove_if(std::string_view repository, const std::function<bool(const IndexEntry&)>& goes) {
  const auto it = repositories_.find(repository);
  if (it == repositories_.end()) return 0;
  size_t count = 0;
  for (const size_t slot : std::vector<size_t>(it->second)) {
    if (!goes(*slots_[slot])) continue;
    erase(slot);
    ++count;
  }
  return count;
}

std::shared_ptr<const StoreIndex> IndexEdit::finish() const {
  std::vector<StoreIndex::Entry> entries;
  entries.reserve(slots_.size());
  for (const StoreIndex::Entry& entry : slots_)
    if (entry) entries.push_back(entry);
  return std::make_shared<const StoreIndex>(std::move(entries), base_->others_);
}

void IndexEdit::carry_on(std::shared_ptr<const StoreIndex> finished) {
  if (replaced_.size() > finished->entries().size() / 2 + kReplaced) {
    *this = IndexEdit(std::move(finished));
    return;
  }
  base_ = std::move(finished);
  changed_ = false;
}

}  // namespace kiln::registry
