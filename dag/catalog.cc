#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "dag/compiler.h"

namespace kiln::dag {
namespace {

RemoteRef remote_ref(const Ref& ref, std::string_view kind) {
  RemoteRef remote{ref.resolver, std::string(kind), {}};
  for (const Param& param : ref.params) remote.params[param.name] = to_text(param.value);
  return remote;
}

}  // namespace

std::string RemoteRef::key() const {
  std::string out = resolver + " " + kind;
  for (const auto& [name, value] : params) out += " " + name + "=" + shell_quote(value);
  return out;
}

std::string StoredResolver::fetch(const RemoteRef& reference) {
  const auto found = texts_.find(reference.key());
  if (found == texts_.end())
    throw Error(ErrorKind::NotFound, "resolver \"" + reference.resolver + "\" is not available here",
                "save the " + reference.kind + " to a file and pass that file too");
  return found->second;
}

Catalog::Catalog(const Documents& documents, Resolver& resolver, bool fetch_remote)
    : documents_(documents), resolver_(resolver), fetch_remote_(fetch_remote) {
  auto objects = std::make_shared<ClusterObjects>();
  for (const KeyValues& map : documents.config_maps) objects->config_maps.emplace(map.metadata.name, map);
  for (const KeyValues& secret : documents.secrets) objects->secrets.emplace(secret.metadata.name, secret);
  for (const ServiceAccount& account : documents.service_accounts)
    objects->service_accounts.emplace(account.metadata.name, account);
  objects_ = std::move(objects);
}

std::vector<std::string> Catalog::task_names() const {
  return display_names(documents_.tasks);
}
std::vector<std::string> Catalog::pipeline_names() const {
  return display_names(documents_.pipelines);
}

const Documents* Catalog::fetch(const Ref& ref, std::string_view kind, Reporter& reporter,
                                Diagnostics& diagnostics) {
  const RemoteRef remote = remote_ref(ref, kind);
  for (const auto& [name, value] : remote.params)
    if (may_have_variables(value)) {
      reporter.error(ref.at, "resolver param `" + name + "` is not known before the run: " + value,
                     "references are resolved before anything runs, from params of the run alone");
      return nullptr;
    }
  const std::string key = remote.key();
  if (const auto known = fetched_.find(key); known != fetched_.end()) return &known->second;
  try {
    std::string text = resolver_.fetch(remote);
    remote_[key] = text;
    load(fetched_[key], key, std::move(text), diagnostics);
    return &fetched_[key];
  } catch (const Error& e) {
    reporter.error(ref.resolver.at, e.full(), e.hint());
    return nullptr;
  }
}

template <class T>
const T* Catalog::find(const Ref& ref, std::string_view kind, const std::deque<T>& loaded,
                       const std::deque<T> Documents::*objects, Reporter& reporter, Diagnostics& diagnostics,
                       Leniency lenient) {
  if (!ref.resolver.empty() && ref.resolver.value != "cluster") {
    if (!fetch_remote_) return nullptr;
    const auto open = [](const Param& param) { return may_have_variables(to_text(param.value)); };
    if (lenient.values && std::ranges::any_of(ref.params, open)) return nullptr;
    const Documents* documents = fetch(ref, kind, reporter, diagnostics);
    if (documents == nullptr) return nullptr;
    if (!(documents->*objects).empty()) return &(documents->*objects).front();
    reporter.error(ref.resolver.at, "the resolver's answer holds no " + std::string(kind));
    return nullptr;
  }
  std::string name = ref.name;
  for (const Param& param : ref.params)  // of the cluster resolver
    if (param.name.value == "name") name = param.value.text;
  const auto found = documents_.by_name.find(std::string(kind) + "/" + name);
  if (found != documents_.by_name.end()) return static_cast<const T*>(found->second);
  if (lenient.values && may_have_variables(name)) return nullptr;
  if (ref.malformed) return nullptr;
  std::string hint =
      reporter.suggest(name, loaded, [](const T& object) { return object.metadata.display(); });
  if (hint.empty()) hint = "pass the file that defines it too: `kiln run FILE FILE…`";
  const std::string message = std::string(kind) + " \"" + name + "\" is not among the documents loaded";
  const Position at = ref.name.empty() ? ref.at : ref.name.at;
  if (lenient.names)
    reporter.warn(at, message, hint);
  else
    reporter.error(at, message, hint);
  return nullptr;
}

void Catalog::spend(size_t units) {
  constexpr size_t kMost = 400'000;  // some seconds of work
  spent_ += units;
  if (spent_ > kMost)
    throw Error(
        ErrorKind::Invalid, "these documents come to more than Kiln checks in one go",
        "the same large Task, Pipeline or list is used very many times; pass fewer documents at once");
}

void Catalog::spend(const TaskSpec& spec) {
  const auto [known, fresh] = weights_.try_emplace(&spec);
  if (fresh) {
    size_t texts = 0, bytes = 0;
    for_each_text(spec, [&](std::string_view text, Position, ArrayUse) {
      ++texts;
      bytes += text.size();
    });
    known->second =
        (spec.params.size() + spec.results.size() + spec.workspaces.size()) / 4 + texts / 64 + bytes / 4096;
  }
  spend(known->second);
}

const Task* Catalog::find_task(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                               Leniency lenient) {
  const Task* task =
      find<Task>(ref, "Task", documents_.tasks, &Documents::tasks, reporter, diagnostics, lenient);
  if (task != nullptr) spend(*task->spec);
  return task;
}

const Pipeline* Catalog::find_pipeline(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                                       Leniency lenient) {
  return find<Pipeline>(ref, "Pipeline", documents_.pipelines, &Documents::pipelines, reporter, diagnostics,
                        lenient);
}

const StepAction* Catalog::find_step_action(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                                            Leniency lenient) {
  return find<StepAction>(ref, "StepAction", documents_.step_actions, &Documents::step_actions, reporter,
                          diagnostics, lenient);
}

}  // namespace kiln::dag
