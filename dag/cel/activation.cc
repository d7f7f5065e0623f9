#include "dag/cel/evaluate.h"

namespace kiln::cel {

Variables::Variables(std::initializer_list<std::pair<const std::string, Value>> values) {
  for (const auto& [name, value] : values) set(name, value);
}

void Variables::set(std::string name, Value value) {
  qualified_ = qualified_ || name.find('.') != std::string::npos;
  values_.insert_or_assign(std::move(name), std::move(value));
}

std::optional<Value> Variables::find(std::string_view name) const {
  const auto at = values_.find(name);
  if (at == values_.end()) return std::nullopt;
  return at->second;
}

}  // namespace kiln::cel
