#include "executor/task_outputs.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {

fs::path TaskOutputs::file_of(std::string_view task, const fs::path& source) const {
  const std::string name = std::string(task) + '\0' + source.lexically_normal().native();
  return folder_ / std::string(sha256(name).encoded());
}

FolderContent TaskOutputs::read(const fs::path& file) const {
  try {
    return content_from_json(nlohmann::json::parse(read_file(file)));
  } catch (const nlohmann::json::exception&) {
  } catch (const Error&) {
  }
  return {};
}

FolderContent TaskOutputs::set_aside(std::string_view task, const fs::path& source,
                                     FolderContent& content) const {
  FolderContent out;
  for (const auto& [path, entry] : read(file_of(task, source)))
    if (const auto found = content.find(path); found != content.end() && found->second == entry)
      out.insert(content.extract(found));
  return out;
}

void TaskOutputs::record(std::string_view task, const fs::path& source, const FolderContent& before,
                         const FolderContent& after) const {
  const fs::path file = file_of(task, source);
  const FolderContent earlier = read(file);
  FolderContent made;
  for (const auto& [path, entry] : after) {
    const auto was = before.find(path);
    const auto own = earlier.find(path);
    const bool is_own = own != earlier.end();
    const bool wrote = was == before.end() || was->second != entry;
    if (wrote ? was == before.end() || is_own : is_own && own->second == entry) made.emplace(path, entry);
  }
  if (made.empty() && earlier.empty()) return;
  try {
    make_dirs(folder_, 0700);
    write_file_atomic(file, content_json(made).dump(), 0600);
    evict();
  } catch (const Error&) {  // a full disk, say: the task will run once more than it must
  }
}

void TaskOutputs::evict() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  std::error_code gone;  // others may do the same
  for (const auto& entry : fs::directory_iterator(folder_, gone))
    files.emplace_back(fs::last_write_time(entry.path(), gone), entry.path());
  if (files.size() <= most_) return;
  std::ranges::sort(files, std::ranges::greater());
  for (size_t i = most_; i < files.size(); ++i) fs::remove(files[i].second, gone);
}

}  // namespace kiln::executor
