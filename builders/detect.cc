#include "builders/detect.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "base/toml.h"
#include "builders/build_plan.h"

namespace kiln::builders {
namespace {

using nlohmann::json;

// Exit codes of bin/detect (Buildpack specification, "Detection").
constexpr int kPass = 0, kFail = 100;
constexpr int kBadPlan = -1;  // none of bin/detect: it passed, and its plan is of no use

struct Detection {
  int exit_code = kFail;
  std::string output;
  std::vector<PlanOption> options;
  std::exception_ptr failure;
};

Detection run_detect(const BuildRoom& room, const Buildpack& buildpack) {
  Detection detection;
  // An extension without bin/detect always passes with an empty plan.
  if (buildpack.extension && !fs::exists(buildpack.folder / "bin" / "detect")) {
    detection.exit_code = kPass;
    detection.options.emplace_back();
    return detection;
  }
  const std::string name = "detect-" + buildpack.escaped_id() + "-" + buildpack.version;
  const OpenFolder exchange = room.exchange(name);
  exchange.write("plan.toml", "");
  const std::string inside = BuildRoom::exchange_inside(name) + "/plan.toml";
  EnvMap env = room.base_env(buildpack);
  room.add_user_env(buildpack, env);
  env["CNB_BUILD_PLAN_PATH"] = inside;
  const BuildRoom::Outcome outcome = room.run(buildpack, "bin/detect", name, {kPlatformDir, inside}, env, {});
  detection.exit_code = outcome.exit_code;
  detection.output = trim(outcome.output);
  if (outcome.exit_code != kPass) return detection;
  try {
    detection.options = parse_plan(
        parse_toml(exchange.read("plan.toml", 1 << 20).value_or(""), buildpack.full_name() + " plan"),
        buildpack.full_name());
  } catch (const Error& error) {
    // A plan that cannot be used counts against this buildpack only, as its own exit code would.
    if (error.kind() != ErrorKind::Invalid && error.kind() != ErrorKind::Failed) throw;
    detection.exit_code = kBadPlan;
    detection.output = error.full();
  }
  return detection;
}

std::string describe(const Buildpack& buildpack, const Detection& detection) {
  std::string text = "  " + buildpack.full_name() + ": ";
  if (detection.exit_code == kPass) return text + "passed";
  if (detection.exit_code == kBadPlan)
    text += "error in its build plan: ";
  else if (detection.exit_code != kFail)
    text += "error (exit code " + std::to_string(detection.exit_code) + "): ";
  return text + (detection.output.empty() ? "did not say why" : detection.output);
}

}  // namespace

DetectedGroup detect(const BuildRoom& room, const BuildpackSet& set, const BuildLog& log) {
  std::vector<const Buildpack*> distinct;
  const auto note = [&](const Group& group) {
    for (const GroupMember& member : group)
      if (std::ranges::find(distinct, member.buildpack) == distinct.end())
        distinct.push_back(member.buildpack);
  };
  note(set.extensions);
  for (const Group& group : set.order) note(group);

  std::map<const Buildpack*, Detection> detections;
  for (const Buildpack* buildpack : distinct) {
    room.exchange("detect-" + buildpack->escaped_id() + "-" + buildpack->version);
    detections[buildpack];
  }
  {
    std::vector<std::jthread> threads;
    for (auto& [buildpack, detection] : detections)
      threads.emplace_back([&room, &detection = detection, buildpack = buildpack] {
        try {
          detection = run_detect(room, *buildpack);
        } catch (...) {
          detection.failure = std::current_exception();
        }
      });
  }
  for (const auto& [buildpack, detection] : detections)
    if (detection.failure) std::rethrow_exception(detection.failure);

  std::string reasons;
  for (const Group& order_group : set.order) {
    Group group = set.extensions;
    group.insert(group.end(), order_group.begin(), order_group.end());
    std::vector<Candidate> candidates;
    std::vector<const Buildpack*> present;
    bool required_failed = false, buildpack_present = false;
    for (const GroupMember& member : group) {
      const Detection& detection = detections.at(member.buildpack);
      if (detection.exit_code != kPass) {
        required_failed |= !member.optional;
        continue;
      }
      candidates.push_back({member.buildpack->full_name(), member.optional, detection.options});
      present.push_back(member.buildpack);
      buildpack_present |= !member.buildpack->extension;
    }
    if (required_failed || !buildpack_present) continue;
    std::string why;
    const auto resolution = resolve_plan(candidates, why);
    if (!resolution) {
      if (reasons.find("  " + why + "\n") == std::string::npos) reasons += "  " + why + "\n";
      continue;
    }
    DetectedGroup detected;
    std::string names;
    for (size_t i = 0; i < present.size(); ++i) {
      if (!resolution->members[i].selected) continue;
      (present[i]->extension ? detected.extensions : detected.buildpacks)
          .push_back({present[i], resolution->members[i].entries});
      if (!present[i]->extension) names += (names.empty() ? "" : ", ") + present[i]->full_name();
    }
    if (detected.buildpacks.empty()) continue;
    log("", "detected " + names);
    return detected;
  }

  std::string message = "no buildpack takes " + room.request().source.string() + ":\n";
  for (const Buildpack* buildpack : distinct)
    if (!buildpack->extension) message += describe(*buildpack, detections.at(buildpack)) + "\n";
  message += reasons;
  message.pop_back();
  throw Error(ErrorKind::Failed, message,
              "add the file that a buildpack looks for, or name another with --builder");
}

std::string plan_document(const std::vector<json>& entries) {
  json list = json::array();
  for (const json& entry : entries) list.push_back(entry);
  return list.empty() ? "" : to_toml({{"entries", list}});
}

std::string choose_run_image(const BuildRoom& room, const DetectedGroup& group, const BuildLog& log) {
  std::string chosen = room.request().run_image;
  for (const DetectedGroup::Member& member : group.extensions) {
    const Buildpack& extension = *member.buildpack;
    const std::string name = "generate-" + extension.escaped_id();
    const OpenFolder output = room.exchange(name);
    output.write("plan.toml", plan_document(member.entries));
    const std::string inside = BuildRoom::exchange_inside(name);
    EnvMap env = room.base_env(extension);
    room.add_user_env(extension, env);
    env["CNB_OUTPUT_DIR"] = inside;
    env["CNB_BP_PLAN_PATH"] = inside + "/plan.toml";
    const auto outcome =
        room.run(extension, "bin/generate", name, {inside, kPlatformDir, inside + "/plan.toml"}, env,
                 [&](std::string_view line) { log(extension.id, line); });
    if (outcome.exit_code != 0)
      throw Error(ErrorKind::Failed, extension.full_name() + ": bin/generate failed with exit code " +
                                         std::to_string(outcome.exit_code));
    if (output.stat("build.Dockerfile"))
      throw Error(ErrorKind::Failed,
                  extension.full_name() + " extends the build image, which is not supported here",
                  "use a build image that has what it installs");
    const auto dockerfile = output.read("run.Dockerfile", 1 << 20);
    if (!dockerfile) continue;
    std::string base;
    for (const std::string& line : split(*dockerfile, '\n')) {
      const std::string text(trim(line));
      if (text.empty() || text.starts_with('#')) continue;
      if (!base.empty() || !to_lower(text).starts_with("from "))
        throw Error(ErrorKind::Failed, extension.full_name() + ": run.Dockerfile has \"" + text +
                                           "\"; only a single FROM is supported here");
      base = trim(std::string_view(text).substr(5));
    }
    if (!base.empty()) chosen = base;
  }
  return chosen;
}

}  // namespace kiln::builders
