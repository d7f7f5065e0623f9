#include "executor/event.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 10> kKinds{
    "RunStarted",  "FannedOut",      "TaskStarted",     "TaskStopped", "TaskFinished",
    "TaskSkipped", "FinallyStarted", "CancelRequested", "TimedOut",    "RunFinished"};

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

json steps_json(const std::vector<StepRecord>& steps) {
  json out = json::array();
  for (const StepRecord& step : steps)
    out.push_back({{"name", step.name},
                   {"exitCode", step.exit_code},
                   {"reason", step.reason},
                   {"message", bytes(step.message)},
                   {"image", step.image_digest},
                   {"started", nanoseconds(step.started)},
                   {"finished", nanoseconds(step.finished)}});
  return out;
}

Outcome outcome_from(const json& value) {
  Outcome out;
  out.succeeded = value.at("succeeded").get<bool>();
  out.infrastructure = value.value("infrastructure", false);
  out.reason = value.at("reason").get<std::string>();
  out.message = text_of(value.at("message"));
  for (const json& step : value.at("steps"))
    out.steps.push_back({step.at("name").get<std::string>(), step.at("exitCode").get<int>(),
                         step.at("reason").get<std::string>(), text_of(step.at("message")),
                         step.at("image").get<std::string>(), time_of(step.at("started")),
                         time_of(step.at("finished"))});
  for (const auto& [name, result] : value.at("results").items()) out.results[name] = text_of(result);
  return out;
}

}  // namespace

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
  if (event.kind == Event::Kind::TaskFinished) {
    json results = json::object();
    for (const auto& [name, value] : event.outcome.results) results[name] = bytes(value);
    out["outcome"] = {
        {"succeeded", event.outcome.succeeded},     {"infrastructure", event.outcome.infrastructure},
        {"reason", event.outcome.reason},           {"message", bytes(event.outcome.message)},
        {"steps", steps_json(event.outcome.steps)}, {"results", std::move(results)}};
  }
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
    if (value.contains("outcome")) event.outcome = outcome_from(value.at("outcome"));
    return event;
  } catch (const json::exception& e) {
    throw Error(ErrorKind::Invalid, std::string("malformed event in the journal: ") + e.what());
  }
}

}  // namespace kiln::executor
