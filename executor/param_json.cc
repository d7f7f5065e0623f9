#include "executor/param_json.h"

namespace kiln::executor {

using nlohmann::json;

json value_json(const dag::ParamValue& value) {
  switch (value.type) {
    case dag::ParamType::Array:
      return value.items;
    case dag::ParamType::Object:
      return value.fields;
    case dag::ParamType::String:
      break;
  }
  return value.text;
}

json params_json(const std::vector<dag::Param>& params) {
  json out = json::array();
  for (const dag::Param& param : params)
    out.push_back({{"name", param.name.value}, {"value", value_json(param.value)}});
  return out;
}

}  // namespace kiln::executor
