#include "executor/custom_task.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "dag/substitution.h"
#include "executor/folder_watch.h"

namespace kiln::executor {
namespace {

constexpr std::string_view kWaiting = ".waiting", kDecided = ".decided";

std::string param(const CustomRequest& request, std::string_view name) {
  for (const dag::Param& given : request.params)
    if (given.name.value == name) return dag::to_text(given.value);
  return "";
}

fs::path with(const fs::path& approval, std::string_view suffix) {
  return fs::path(approval).concat(suffix);
}

Outcome ended(bool succeeded, std::string reason, std::string message) {
  Outcome out;
  out.succeeded = succeeded;
  out.reason = std::move(reason);
  out.message = std::move(message);
  return out;
}

Outcome stopped() {
  return ended(false, "CustomRunCancelled", "cancelled while it waited");
}

Outcome wait(const CustomRequest& request, const Clock& clock, std::stop_token stop) {
  const std::string text = param(request, "duration");
  const auto duration = parse_duration(text);
  if (!duration || *duration < Duration{})
    throw Error(ErrorKind::Invalid, "Wait: param `duration` is \"" + text + "\"",
                "write it like 90s or 1h30m");
  const Time end = request.started + *duration;
  for (Time now = clock.now(); now < end; now = clock.now())
    if (!pause(stop, std::min<Duration>(end - now, std::chrono::minutes(1)))) return stopped();
  return ended(true, "Succeeded", "waited " + text);
}

Outcome approval(const CustomRequest& request, std::stop_token stop) {
  make_dirs(request.approval.parent_path(), 0700);
  const fs::path decided = with(request.approval, kDecided);
  write_file(with(request.approval, kWaiting), "");
  FolderWatch watch(decided.parent_path());
  if (!watch.wait_for(decided.filename(), stop)) return stopped();
  const auto json = nlohmann::json::parse(read_file(decided));
  const std::string by = json.at("by").get<std::string>(), message = json.at("message").get<std::string>();
  const bool approved = json.at("approved").get<bool>();
  Outcome out =
      ended(approved, approved ? "Succeeded" : "Rejected",
            (approved ? "approved by " : "rejected by ") + by + (message.empty() ? "" : ": " + message));
  out.results = {{"approved-by", by}, {"message", message}};
  return out;
}

bool is_approval(const dag::CustomTask& task) {
  return task.kind == "Approval" || task.kind == "ApprovalTask";
}

}  // namespace

bool has_controller(const dag::CustomTask& task) {
  return task.kind == "Wait" || is_approval(task);
}

Outcome run_custom_task(const CustomRequest& request, const Clock& clock, std::stop_token stop) {
  if (request.task.kind == "Wait") return wait(request, clock, stop);
  if (is_approval(request.task)) return approval(request, stop);
  throw Error(
      ErrorKind::Invalid,
      "nobody here runs custom tasks of kind " + request.task.kind + " (" + request.task.api_version + ")",
      "kiln runs Wait and Approval itself");
}

std::vector<std::filesystem::path> waiting_approvals(const std::filesystem::path& run) {
  std::vector<fs::path> out;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(run / "approvals", missing))
    if (entry.path().extension() == kWaiting &&
        !fs::exists(fs::path(entry.path()).replace_extension(kDecided)))
      out.push_back(fs::path(entry.path()).replace_extension());
  std::ranges::sort(out);
  return out;
}

void forget_decision(const std::filesystem::path& approval) {
  std::error_code ignored;
  fs::remove(with(approval, kWaiting), ignored);
  fs::remove(with(approval, kDecided), ignored);
}

void decide(const std::filesystem::path& approval, const Decision& decision) {
  if (!fs::exists(with(approval, kWaiting)))
    throw Error(ErrorKind::NotFound, "nothing waits for an approval at task " + approval.filename().string(),
                "kiln runs describe shows what the run is doing");
  const nlohmann::json json{
      {"approved", decision.approved}, {"by", decision.by}, {"message", decision.message}};
  write_file_atomic(with(approval, kDecided), json.dump());
}

}  // namespace kiln::executor
