#include "executor/task_cache.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"

namespace kiln::executor {
namespace {

// A folder that steps see, for as long as this lives: where it is now, whatever they do to what leads there.
class HeldFolder {
 public:
  explicit HeldFolder(const steps::VolumeMount& mount) : path_(mount.source) {
    if (mount.within.empty()) return;
    fd_ = steps::open_source(mount.source, mount.within);
    path_ = "/proc/self/fd/" + std::to_string(fd_.get()) + "/.";
  }
  const fs::path& path() const { return path_; }

 private:
  UniqueFd fd_;
  fs::path path_;
};

using nlohmann::json;

constexpr int kFormat = 2;  // a cache of another one is not looked at

// Calls visit(what it is called, mount) for each folder that the pod sees and that is not its own.
template <class Visit>
void for_each_folder(const steps::PodSpec& pod, Visit visit) {
  const auto all = [&](const std::string& prefix, const std::vector<steps::VolumeMount>& mounts) {
    for (const steps::VolumeMount& mount : mounts)
      if (!is_within(mount.source.lexically_normal(), pod.folder.lexically_normal()))
        visit(prefix + mount.destination.string(), mount);
  };
  all("workspace ", pod.workspaces);
  for (const steps::StepSpec& step : pod.steps) all("step " + step.name + ": volume ", step.mounts);
  for (const steps::SidecarSpec& one : pod.sidecars) all("sidecar " + one.name + ": volume ", one.mounts);
}

std::string digest_text(const json& value) {
  return sha256(value.dump(-1, ' ', false, json::error_handler_t::replace)).text();
}

// What a container runs; its folders and image aside.
void add_container(std::map<std::string, std::string>& parts, const std::string& prefix,
                   const steps::StepSpec& step) {
  const auto add = [&](const std::string& what, const json& value) {
    parts[prefix + what] = digest_text(value);
  };
  add("script", step.script);
  add("command", json{step.command, step.args});
  add("workingDir", step.working_dir);
  for (const auto& [name, value] : step.env) add("env " + name, value);
  add("user and rights",
      json{step.run_as_user.value_or(-1u), step.run_as_group.value_or(-1u), step.groups, step.read_only_root,
           step.capabilities.value_or(-1ull), step.privileged, step.run_as_non_root, step.continue_on_error});
  add("stdoutConfig and stderrConfig", json{step.stdout_path, step.stderr_path});
  add("results", step.results);
}

json text_of(const std::optional<steps::Probe>& probe) {
  if (!probe) return nullptr;
  return {static_cast<int>(probe->kind),
          probe->command,
          probe->port,
          probe->host,
          probe->path,
          probe->https,
          probe->headers,
          probe->service};
}

void check_names(const FolderContent& content) {
  for (const auto& [path, entry] : content)
    if (find_invalid_utf8(path) || find_invalid_utf8(entry.text))
      throw Error(ErrorKind::Invalid, "a file's name is not UTF-8");
}

// Files of a folder's changes lie in a folder of their own, numbered as the folders are.
fs::path files_of(const fs::path& files, size_t number) {
  return files / std::to_string(number);
}

// A cut of the power may leave files that are not what was written.
bool are_whole(const std::map<std::string, FolderChanges>& changes, const fs::path& files) {
  size_t folder = 0;
  for (const auto& [name, change] : changes) {
    const FolderContent kept = read_content(files_of(files, folder++));
    size_t number = 0;
    for (const auto& [path, entry] : change.written) {
      if (entry.kind != FolderEntry::Kind::File) continue;
      const auto file = kept.find(std::to_string(number++));
      if (file == kept.end() || file->second.text != entry.text) return false;
    }
  }
  return true;
}

std::string first_names(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i > 0 ? ", " : "") + names[i];
  return names.size() > kShown ? out + " and " + std::to_string(names.size() - kShown) + " more" : out;
}

}  // namespace

Digest TaskInputs::key() const {
  json all{{"format", kFormat}, {"parts", parts}};
  for (const auto& [name, content] : folders) all["folders"][name] = digest_of(content).text();
  return sha256(all.dump());
}

TaskInputs task_inputs(const steps::PodSpec& pod, const std::vector<std::string>& images,
                       const std::map<std::string, std::string>& more) {
  TaskInputs out;
  for (const auto& [what, text] : more) out.parts[what] = digest_text(text);
  out.parts["declared results"] = digest_text(pod.results);
  out.parts["network"] = std::to_string(static_cast<int>(pod.network));
  if (pod.hermetic) out.parts["network"] = "hermetic";
  size_t image = 0;
  const auto add = [&](const std::string& prefix, const steps::StepSpec& step) {
    add_container(out.parts, prefix, step);
    out.parts[prefix + "image"] = images.at(image++);
  };
  for (const steps::StepSpec& step : pod.steps) add("step " + step.name + ": ", step);
  for (const steps::SidecarSpec& sidecar : pod.sidecars) {
    add("sidecar " + sidecar.name + ": ", sidecar);
    out.parts["sidecar " + sidecar.name + ": probes"] =
        digest_text(json{text_of(sidecar.startup), text_of(sidecar.readiness), text_of(sidecar.liveness)});
  }
  for_each_folder(pod, [&](const std::string& name, const steps::VolumeMount& mount) {
    FolderContent content = read_content(HeldFolder(mount).path());
    check_names(content);
    out.parts[name + " read-only"] = mount.read_only ? "yes" : "no";
    out.folders[name] = std::move(content);
  });
  return out;
}

fs::path TaskCache::entry_of(const Digest& key) const {
  return folder_ / "entries" / std::string(key.encoded());
}

std::optional<TaskCache::Found> TaskCache::find(const TaskInputs& inputs) const {
  const fs::path entry = entry_of(inputs.key());
  if (!fs::exists(entry)) return std::nullopt;
  Found out{{}, {}, {}, entry / "files", FileLock(folder_ / "lock", FileLock::Mode::Shared)};
  try {
    const json kept = json::parse(read_file(entry / "entry.json"));
    out.run = kept.at("run").get<std::string>();
    out.outcome = outcome_from_json(kept.at("outcome"));
    for (const auto& [name, change] : kept.at("changes").items())
      out.changes[name] = {content_from_json(change.at("written")),
                           change.at("removed").get<std::vector<std::string>>()};
    if (!are_whole(out.changes, out.files)) return std::nullopt;
    fs::last_write_time(entry / "bytes", fs::file_time_type::clock::now());
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const fs::filesystem_error&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
  return out;
}

void TaskCache::set_aside_outputs(TaskInputs& inputs, std::string_view task,
                                  const steps::PodSpec& pod) const {
  const TaskOutputs outputs = this->outputs();
  for_each_folder(pod, [&](const std::string& name, const steps::VolumeMount& mount) {
    if (mount.read_only) return;
    FolderContent made = outputs.set_aside(task, mount.source, inputs.folders.at(name));
    inputs.made[name].merge(made);
  });
}

void TaskCache::restore(const Found& found, const TaskInputs& inputs, std::string_view task,
                        const steps::PodSpec& pod) const {
  std::map<std::string, std::pair<fs::path, HeldFolder>> sources;
  for_each_folder(pod, [&](const std::string& name, const steps::VolumeMount& mount) {
    if (!mount.read_only) sources.emplace(name, std::pair(mount.source, HeldFolder(mount)));
  });
  size_t number = 0;
  for (const auto& [name, change] : found.changes) {
    const auto& [source, held] = sources.at(name);
    make_changes(change, files_of(found.files, number++), held.path());
    const FolderContent& before = inputs.folders.at(name);
    FolderContent after = before;
    for (const std::string& path : change.removed) after.erase(path);
    if (const auto made = inputs.made.find(name); made != inputs.made.end())
      for (const auto& [path, entry] : made->second) after[path] = entry;
    for (const auto& [path, entry] : change.written) after[path] = entry;
    outputs().record(task, source, before, after);
  }
}

void TaskCache::keep(const TaskInputs& inputs, std::string_view task, std::string_view run,
                     const Outcome& outcome, const steps::PodSpec& pod, std::string_view combination) const {
  make_dirs(folder_ / "entries", 0700);
  make_dirs(folder_ / "last", 0700);
  const TempDir made(folder_);
  json changes_json = json::object();
  uint64_t bytes = 0;
  struct Left {
    fs::path source;
    HeldFolder held;
    FolderChanges change;
    FolderContent after;
  };
  std::map<std::string, Left> all;
  for_each_folder(pod, [&](const std::string& name, const steps::VolumeMount& mount) {
    if (mount.read_only) return;
    HeldFolder held(mount);
    FolderContent after = read_content(held.path());
    FolderChanges change = changes(inputs.folders.at(name), after);
    check_names(change.written);
    for (const auto& [path, entry] : change.written) bytes += entry.size;
    changes_json[name] = {{"written", content_json(change.written)}, {"removed", change.removed}};
    all.emplace(name, Left{mount.source, std::move(held), std::move(change), std::move(after)});
  });
  if (bytes > options_.bytes / 4) return;
  size_t number = 0;
  for (const auto& [name, one] : all)
    save_files(one.held.path(), one.change.written, files_of(made.path() / "files", number++));
  json folders = json::object();
  for (const auto& [name, content] : inputs.folders) folders[name] = content_json(content);
  const json entry{{"run", run},
                   {"outcome", outcome_json(outcome)},
                   {"changes", std::move(changes_json)},
                   {"parts", inputs.parts},
                   {"folders", std::move(folders)}};
  write_file(made.path() / "entry.json", entry.dump(), 0600);
  write_file(made.path() / "bytes", std::to_string(bytes), 0600);
  const Digest key = inputs.key();
  const FileLock lock(folder_ / "lock");
  remove_tree(entry_of(key));
  fs::create_directory(entry_of(key));
  for (const auto& part : fs::directory_iterator(made.path()))
    fs::rename(part.path(), entry_of(key) / part.path().filename());
  write_file_atomic(last_of(task, combination), key.text(), 0600);
  evict();
  for (const auto& [name, one] : all) outputs().record(task, one.source, inputs.folders.at(name), one.after);
}

void TaskCache::evict() const {
  struct Entry {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  for (const auto& entry : fs::directory_iterator(folder_ / "entries")) {
    std::error_code missing;
    const auto used = fs::last_write_time(entry.path() / "bytes", missing);
    uint64_t bytes = 0;
    if (!missing) bytes = std::strtoull(read_file(entry.path() / "bytes", 64).c_str(), nullptr, 10);
    entries.push_back({missing ? fs::file_time_type::min() : used, bytes, entry.path()});
  }
  std::ranges::sort(entries, std::ranges::greater(), &Entry::used);
  uint64_t total = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    total += entries[i].bytes;
    if (i >= options_.entries || total > options_.bytes) remove_tree(entries[i].path);
  }
}

fs::path TaskCache::last_of(std::string_view task, std::string_view combination) const {
  std::string name(task);
  if (!combination.empty()) name.append("-").append(combination);  // as its TaskRun is called
  return folder_ / "last" / std::string(sha256(name).encoded());
}

std::vector<std::string> TaskCache::why_not(const TaskInputs& inputs, std::string_view task,
                                            std::string_view combination) const {
  json last;
  try {
    const Digest key = Digest::of_text(read_file(last_of(task, combination), 256));
    const FileLock lock(folder_ / "lock", FileLock::Mode::Shared);
    last = json::parse(read_file(entry_of(key) / "entry.json"));
    std::vector<std::string> out;
    const auto parts = last.at("parts").get<std::map<std::string, std::string>>();
    for (const auto& [what, value] : inputs.parts)
      if (const auto before = parts.find(what); before == parts.end())
        out.push_back(what + " is new");
      else if (before->second != value)
        out.push_back(what + " changed");
    for (const auto& [what, value] : parts)
      if (!inputs.parts.contains(what)) out.push_back(what + " is gone");
    for (const auto& [name, content] : inputs.folders) {
      const FolderChanges change =
          changes(content_from_json(last.at("folders").value(name, json::object())), content);
      std::vector<std::string> names;
      for (const auto& [path, entry] : change.written) names.push_back(path);
      const auto made = inputs.made.find(name);
      for (const std::string& path : change.removed)
        if (made == inputs.made.end() || !made->second.contains(path)) names.push_back(path + " (gone)");
      if (!names.empty()) out.push_back(name + " changed: " + first_names(names));
    }
    if (out.empty()) out.push_back("what was kept of it is damaged or was thrown away");
    return out;
  } catch (const Error&) {
  } catch (const json::exception&) {
  }
  return {"nothing was kept of it before"};
}

}  // namespace kiln::executor
