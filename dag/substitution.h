#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/model.h"

// Tekton's variable substitution: `$(params.x)`, `$(params['x'])`, `$(params["x"])`, `$(params.x[0])`,
// `$(params.x[*])`, `$(params.obj.key)`, `$(tasks.t.results.r.key)`, and so on. One pass over the text, whose
// output is never looked at again; what is not known stays as it is, so `$(date)` in a script survives.
namespace kiln::dag {

// What stands between `$(` and `)`.
struct Reference {
  enum class Suffix { None, Index, Star };
  std::vector<std::string> path;  // "params", "x" - brackets with quotes count as one part
  Suffix suffix = Suffix::None;
  size_t index = 0;

  bool operator==(const Reference&) const = default;
};

// nullopt when the text is not of that form ("date", "eval foo", "").
std::optional<Reference> parse_reference(std::string_view body);

// A variable in a text: text.substr(begin, end - begin) is "$(params.x)".
struct Variable {
  size_t begin = 0, end = 0;
  Reference reference;
};
std::vector<Variable> find_variables(std::string_view text);

// Cheap test that most texts fail.
inline bool may_have_variables(std::string_view text) {
  return text.find("$(") != std::string_view::npos;
}

// Values by path, as substitute() looks them up.
class Variables {
 public:
  Variables() = default;
  // On top of others, which have to outlive it.
  explicit Variables(const Variables* under) : under_(under) {}
  void set(const std::vector<std::string>& path, ParamValue value);
  void set(std::string_view root, std::string_view name, ParamValue value);
  void set(std::string_view root, std::string_view name, std::string_view part, std::string_view text);

  // The value a reference stands for: with its index or key applied, an array or object whole for `[*]` and
  // for no suffix. nullopt when unknown or out of range.
  std::optional<ParamValue> find(const Reference& reference) const;
  const ParamValue* exact(const std::vector<std::string>& path) const;
  bool empty() const { return values_.empty() && (under_ == nullptr || under_->empty()); }

  // Counts text that these put in. Throws Invalid when it comes to more than any task can have: a few
  // kilobytes of `$(params.long)` must not become gigabytes.
  void spend(size_t bytes) const;

 private:
  const ParamValue* value_at(const std::string& key) const;

  const Variables* under_ = nullptr;
  mutable size_t spent_ = 0;
  std::unordered_map<std::string, ParamValue> values_;
};

// Inside a text only strings can be put; an array or object stays as written.
std::string substitute(std::string_view text, const Variables& variables);

// A list: an item that is nothing but one array reference (`$(params.a[*])`, or `$(params.a)`) becomes the
// array's items.
std::vector<Text> substitute_list(const std::vector<Text>& list, const Variables& variables);

// A param's value: a string that is nothing but a reference to an array or object becomes that value.
ParamValue substitute_value(const ParamValue& value, const Variables& variables);

// Every text of these (see texts.h), in place.
void substitute_when(When& when, const Variables& variables);
void substitute_matrix(Matrix& matrix, const Variables& variables);
void substitute_step(Step& step, const Variables& variables);
void substitute_sidecar(Sidecar& sidecar, const Variables& variables);
void substitute_volume(Volume& volume, const Variables& variables);
// Name and resolver params.
Ref substitute_ref(Ref ref, const Variables& variables);

// The value as one string, as Tekton writes it into a result or message: arrays and objects as JSON.
std::string to_text(const ParamValue& value);

}  // namespace kiln::dag
