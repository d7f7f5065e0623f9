#include "dag/cel/function.h"

#include <algorithm>

namespace kiln::cel {

Value Context::fail(std::string message) {
  if (!failed_) message_ = std::move(message);
  failed_ = true;
  return {};
}

Value Context::no_overload(std::string_view function, std::span<const Value> arguments) {
  std::string kinds;
  for (const Value& argument : arguments)
    kinds += (kinds.empty() ? "" : ", ") + std::string(type_name(argument.kind()));
  return fail("no such overload: " + std::string(function) + " applied to (" + kinds + ")");
}

bool Context::exhaust() {
  steps_ = 0;
  failed_ = true;
  exhausted_ = true;
  message_ = "evaluation costs more than its limit of steps";
  return false;
}

bool Context::equal(const Value& a, const Value& b) {
  const bool result = cel::equal(a, b, steps_);
  if (steps_ == 0) return exhaust();
  return result;
}

const Regex* Context::regex(const std::string& pattern) {
  constexpr uint64_t kCompiling = 1000;  // in steps; a pattern may be short and yet large when compiled
  constexpr size_t kKept = 16;
  if (!charge_bytes(pattern.size())) return nullptr;
  if (offered_ && offered_->pattern() == pattern) return offered_;
  const auto known = regexes_.find(pattern);
  if (known != regexes_.end()) return known->second.get();
  if (!charge(kCompiling + pattern.size())) return nullptr;
  if (regexes_.size() >= kKept) regexes_.clear();
  const Regex& compiled = *(regexes_[pattern] = std::make_unique<Regex>(pattern));
  return charge(compiled.program_size()) ? &compiled : nullptr;
}

const Functions& Functions::standard() {
  static const Functions functions = [] {
    Functions out;
    add_operators(out);
    add_conversions(out);
    add_string_functions(out);
    add_string_extensions(out);
    add_format(out);
    add_time_functions(out);
    return out;
  }();
  return functions;
}

void Functions::add(std::string_view name, Overload overload) {
  overloads_[std::string(name)].push_back(std::move(overload));
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
    if (!has_namespace(name.substr(0, dot))) namespaces_.emplace_back(name.substr(0, dot));
}

const std::vector<Overload>* Functions::find(std::string_view name) const {
  const auto at = overloads_.find(name);
  return at == overloads_.end() ? nullptr : &at->second;
}

bool Functions::has_namespace(std::string_view prefix) const {
  return std::find(namespaces_.begin(), namespaces_.end(), prefix) != namespaces_.end();
}

}  // namespace kiln::cel
