#include "executor/event.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 11> kKinds{
    "RunStarted",     "FannedOut",       "TaskStarted", "TaskStopped", "TaskFinished", "TaskSkipped",
    "FinallyStarted", "CancelRequested", "TimedOut",    "RunBroken",   "RunFinished"};

int64_t nanoseconds(Time time) {
  return time.time_since_epoch().count();
}
Time time_of(const json& value) {
  return Time(Duration(value.get<int64_t>()));
}

// Result bytes and messages may be any bytes, JSON only takes UTF-8: what does not fit is kept as base64.
json bytes(const std::string& text) {
  try {
    json value = text;
    (void)value.dump();
    return value;
  } catch (const json::type_error&) {
    return json{{"base64", base64_encode(text)}};
  }
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  return base64_decode(value.at("base64").get<std::string>()).value_or("");
}

json results_json(const std::map<std::string, std::string>& results) {
  json out = json::object();
  for (const auto& [name, value] : results) out[name] = bytes(value);
  return out;
}

json steps_json(const std::vector<StepRecord>& steps) {
  json out = json::array();
  for (const StepRecord& step : steps) {
    json one{{"name", step.name},
             {"exitCode", step.exit_code},
             {"reason", step.reason},
             {"message", bytes(step.message)},
             {"image", step.image_digest},
             {"started", nanoseconds(step.started)},
             {"finished", nanoseconds(step.finished)}};
    if (!step.results.empty()) one["results"] = results_json(step.results);
    if (!step.artifacts.empty()) one["artifacts"] = bytes(step.artifacts);
    out.push_back(std::move(one));
  }
  return out;
}

std::map<std::string, std::string> results_from(const json& value) {
  std::map<std::string, std::string> out;
  for (const auto& [name, result] : value.items()) out[name] = text_of(result);
  return out;
}

std::vector<StepRecord> steps_from(const json& value) {
  std::vector<StepRecord> out;
  for (const json& step : value) {
    out.push_back({step.at("name").get<std::string>(), step.at("exitCode").get<int>(),
                   step.at("reason").get<std::string>(), text_of(step.at("message")),
                   step.at("image").get<std::string>(), time_of(step.at("started")),
                   time_of(step.at("finished"))});
    if (step.contains("results")) out.back().results = results_from(step["results"]);
    if (step.contains("artifacts")) out.back().artifacts = text_of(step["artifacts"]);
  }
  return out;
}

}  // namespace

json outcome_json(const Outcome& outcome) {
  json out{{"succeeded", outcome.succeeded},     {"infrastructure", outcome.infrastructure},
           {"reason", outcome.reason},           {"message", bytes(outcome.message)},
           {"steps", steps_json(outcome.steps)}, {"results", results_json(outcome.results)}};
  if (!outcome.sidecars.empty()) out["sidecars"] = steps_json(outcome.sidecars);
  if (!outcome.artifacts.empty()) out["artifacts"] = bytes(outcome.artifacts);
  return out;
}

Outcome outcome_from_json(const json& value) {
  Outcome out;
  out.succeeded = value.at("succeeded").get<bool>();
  out.infrastructure = value.value("infrastructure", false);
  out.reason = value.at("reason").get<std::string>();
  out.message = text_of(value.at("message"));
  out.steps = steps_from(value.at("steps"));
  out.results = results_from(value.at("results"));
  if (value.contains("sidecars")) out.sidecars = steps_from(value["sidecars"]);
  if (value.contains("artifacts")) out.artifacts = text_of(value["artifacts"]);
  return out;
}

std::string_view to_string(Event::Kind kind) {
  return kKinds.at(static_cast<size_t>(kind));
}

json to_json(const Event& event, const dag::Plan& plan) {
  json out{{"kind", to_string(event.kind)}, {"at", nanoseconds(event.at)}};
  if (event.task != Event::kNoTask) {
    out["task"] = plan.tasks.at(event.task).name;
    out["attempt"] = event.attempt;
    if (event.run > 0) out["run"] = event.run;
    if (event.count > 0) out["count"] = event.count;
  }
  if (!event.reason.empty()) out["reason"] = event.reason;
  if (!event.message.empty()) out["message"] = bytes(event.message);
  if (event.kind == Event::Kind::TaskFinished) out["outcome"] = outcome_json(event.outcome);
  return out;
}

Event event_from_json(const json& value, const dag::Plan& plan) {
  try {
    Event event;
    const auto kind = std::ranges::find(kKinds, value.at("kind").get<std::string>());
    if (kind == kKinds.end())
      throw Error(ErrorKind::Invalid, "unknown event in the journal: " + value.at("kind").get<std::string>());
    event.kind = static_cast<Event::Kind>(kind - kKinds.begin());
    event.at = time_of(value.at("at"));
    if (value.contains("task")) {
      const std::string name = value.at("task").get<std::string>();
      const dag::PlannedTask* task = plan.task(name);
      if (task == nullptr)
        throw Error(ErrorKind::Invalid, "the journal speaks of task " + name + ", the plan has none");
      event.task = static_cast<size_t>(task - plan.tasks.data());
      event.attempt = value.at("attempt").get<int>();
      event.run = value.value("run", size_t{0});
      event.count = value.value("count", size_t{0});
    }
    event.reason = value.value("reason", "");
    if (value.contains("message")) event.message = text_of(value.at("message"));
    if (value.contains("outcome")) event.outcome = outcome_from_json(value.at("outcome"));
    return event;
  } catch (const json::exception& e) {
    throw Error(ErrorKind::Invalid, std::string("malformed event in the journal: ") + e.what());
  }
}

}  // namespace kiln::executor
