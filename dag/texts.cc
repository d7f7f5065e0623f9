#include "dag/texts.h"

namespace kiln::dag {
namespace {

struct Reader {
  const TextVisit& visit;
  void operator()(const Text& text) { visit(text.value, text.at, ArrayUse::Never); }
  void operator()(const std::vector<Text>& list) {
    for (const Text& text : list) visit(text.value, text.at, ArrayUse::Alone);
  }
  void operator()(const ParamValue& value, Position at) { for_each_text(value, at, visit); }
};

}  // namespace

void for_each_text(const ParamValue& value, Position at, const TextVisit& visit) {
  switch (value.type) {
    case ParamType::String:
      visit(value.text, at, ArrayUse::Whole);
      break;
    case ParamType::Array:
      for (const std::string& item : value.items) visit(item, at, ArrayUse::Alone);
      break;
    case ParamType::Object:
      for (const auto& [key, text] : value.fields) visit(text, at, ArrayUse::Never);
      break;
  }
}

void for_each_text(const Param& param, const TextVisit& visit) {
  for_each_text(param.value, param.at, visit);
}

void for_each_text(const When& when, const TextVisit& visit) {
  Reader reader{visit};
  visit_when(when, reader);
}

void for_each_text(const Matrix& matrix, const TextVisit& visit) {
  Reader reader{visit};
  visit_matrix(matrix, reader);
}

void for_each_text(const Step& step, const TextVisit& visit) {
  Reader reader{visit};
  visit_step(step, reader);
}

void for_each_text(const Sidecar& sidecar, const TextVisit& visit) {
  Reader reader{visit};
  visit_sidecar(sidecar, reader);
}

void for_each_text(const Volume& volume, const TextVisit& visit) {
  Reader reader{visit};
  reader(volume.name);
  visit_volume_source(volume.source, reader);
}

void for_each_text(const TaskSpec& spec, const TextVisit& visit) {
  if (spec.step_template) for_each_text(*spec.step_template, visit);
  for (const Step& step : spec.steps) for_each_text(step, visit);
  for (const Sidecar& sidecar : spec.sidecars) for_each_text(sidecar, visit);
  for (const Volume& volume : spec.volumes) for_each_text(volume, visit);
  for (const ResultSpec& result : spec.results)
    if (result.value) for_each_text(*result.value, result.value_at, visit);
}

}  // namespace kiln::dag
