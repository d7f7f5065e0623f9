// Substitution, matrix and defaults against references written here from their descriptions, as naively as
// can be. KILN_SEEDS sets how many random cases.
#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <regex>

#include "dag/matrix.h"
#include "dag/params.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(engine_); }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }
  std::string text(const std::vector<std::string>& pieces, size_t most) {
    std::string out;
    for (size_t n = below(most + 1); n > 0; --n) out += of(pieces);
    return out;
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

const std::vector<std::string> kPieces{"$(params.x)",
                                       "$(params.y)",
                                       "$(params.list)",
                                       "$(params.list[*])",
                                       "$(params.list[0])",
                                       "$(params.o.k)",
                                       "$(params.none)",
                                       "$(params['x'])",
                                       "$(params[\"dot.ted\"])",
                                       "$(params.list[7])",
                                       "$(params.o)",
                                       "$(params.o.none)",
                                       "$(inputs.params.x)",
                                       "$(date)",
                                       "$(",
                                       ")",
                                       "$",
                                       "(",
                                       "params.x",
                                       "[0]",
                                       "a",
                                       "\n",
                                       "é",
                                       "$$"};

// Values hold what would be variables if anybody looked at the output again.
std::map<std::string, ParamValue> random_values(Random& random) {
  const auto word = [&] { return random.text(kPieces, 3); };
  return {{"x", ParamValue::string(word())},
          {"y", ParamValue::string(word())},
          {"dot.ted", ParamValue::string(word())},
          {"list", ParamValue::array(random.below(4) == 0 ? std::vector<std::string>{}
                                                          : std::vector<std::string>{word(), word()})},
          {"o", ParamValue::object({{"k", word()}})}};
}

// What one `$(params.…)` says; nullopt: nothing that is known.
std::optional<ParamValue> looked_up(const std::string& body,
                                    const std::map<std::string, ParamValue>& values) {
  static const std::regex form(
      R"re((?:inputs\.)?params(?:\.([A-Za-z0-9_-]+)|\['([^'"$()\[\]]+)'\]|\["([^'"$()\[\]]+)"\]))re"
      R"re((?:\.([A-Za-z0-9_-]+))?(?:\[(\d+|\*)\])?)re");
  std::smatch match;
  if (!std::regex_match(body, match, form)) return std::nullopt;
  const auto found = values.find(match[1].str() + match[2].str() + match[3].str());
  if (found == values.end()) return std::nullopt;
  const ParamValue& value = found->second;
  const std::string key = match[4], index = match[5];
  if (!key.empty()) {
    const bool known = value.type == ParamType::Object && value.fields.contains(key) && index.empty();
    return known ? std::optional(ParamValue::string(value.fields.at(key))) : std::nullopt;
  }
  if (index.empty() || index == "*") return value;
  if (value.type != ParamType::Array || std::stoul(index) >= value.items.size()) return std::nullopt;
  return ParamValue::string(value.items[std::stoul(index)]);
}

// One character at a time; what was put out is never looked at.
std::string naive(const std::string& text, const std::map<std::string, ParamValue>& values) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "$(") == 0) {
      const size_t end = text.find_first_of("()", i + 2);
      if (end != std::string::npos && text[end] == ')') {
        const auto value = looked_up(text.substr(i + 2, end - i - 2), values);
        if (value && value->type == ParamType::String) {
          out += value->text;
          i = end + 1;
          continue;
        }
      }
    }
    out += text[i++];
  }
  return out;
}

std::vector<std::string> naive_list(const std::vector<std::string>& list,
                                    const std::map<std::string, ParamValue>& values) {
  std::vector<std::string> out;
  for (const std::string& item : list) {
    std::optional<ParamValue> whole;
    if (item.starts_with("$(") && item.find_first_of("()", 2) == item.size() - 1 && item.ends_with(')'))
      whole = looked_up(item.substr(2, item.size() - 3), values);
    if (whole && whole->type == ParamType::Array)
      out.insert(out.end(), whole->items.begin(), whole->items.end());
    else
      out.push_back(naive(item, values));
  }
  return out;
}

Variables variables_of(const std::map<std::string, ParamValue>& values) {
  Variables out;
  for (const auto& [name, value] : values) out.set("params", name, value);
  return out;
}

TEST(SubstitutionProperty, IsOnePassAsTheNaiveOneIs) {
  for (unsigned seed = 0; seed < testing::seeds(5'000); ++seed) {
    Random random(seed);
    const auto values = random_values(random);
    const std::string text = random.text(kPieces, 8);
    ASSERT_EQ(substitute(text, variables_of(values)), naive(text, values)) << "seed " << seed << ": " << text;
  }
}

TEST(SubstitutionProperty, ItemsThatAreAnArrayBecomeItsItemsAndNoOthers) {
  for (unsigned seed = 0; seed < testing::seeds(5'000); ++seed) {
    Random random(seed);
    const auto values = random_values(random);
    std::vector<std::string> list;
    for (size_t n = random.below(5); n > 0; --n) list.push_back(random.text(kPieces, 2));
    const Variables variables = variables_of(values);
    std::vector<Text> texts;
    for (const std::string& item : list) texts.push_back({item, {1, 2}});
    std::vector<std::string> found;
    for (const Text& text : substitute_list(texts, variables)) found.push_back(text.value);
    ASSERT_EQ(found, naive_list(list, values)) << "seed " << seed;
    ASSERT_EQ(substitute_value(ParamValue::array(list), variables), ParamValue::array(found))
        << "seed " << seed;
  }
}

TEST(SubstitutionProperty, AValueThatIsOneReferenceBecomesWhatItRefersTo) {
  for (unsigned seed = 0; seed < testing::seeds(5'000); ++seed) {
    Random random(seed);
    const auto values = random_values(random);
    const std::string piece = random.of(kPieces);
    const bool reference = piece.starts_with("$(") && piece.ends_with(')');
    const auto whole = reference ? looked_up(piece.substr(2, piece.size() - 3), values) : std::nullopt;
    ASSERT_EQ(substitute_value(ParamValue::string(piece), variables_of(values)),
              whole.value_or(ParamValue::string(naive(piece, values))))
        << "seed " << seed << ": " << piece;
    ASSERT_EQ(
        substitute_value(ParamValue::object({{"a", piece + piece}}), variables_of(values)).fields.at("a"),
        naive(piece + piece, values));
  }
}

using Combination = std::map<std::string, std::string>;

Matrix random_matrix(Random& random) {
  Matrix matrix;
  for (size_t i = 0, n = random.below(4); i < n; ++i) {
    std::vector<std::string> items;
    for (size_t k = 0, m = random.below(6); k < m; ++k)
      items.push_back(std::string(1, static_cast<char>('a' + k)));
    matrix.params.push_back({{std::string(1, static_cast<char>('p' + i)), {}}, ParamValue::array(items), {}});
  }
  for (size_t i = 0, n = random.below(4); i < n; ++i) {
    MatrixInclude include;
    for (const char* name : {"p", "q", "z"})
      if (random.below(2) == 0)
        include.params.push_back({{name, {}}, ParamValue::string(random.text({"a", "b", "new"}, 1)), {}});
    matrix.include.push_back(include);
  }
  return matrix;
}

// Combination number i has, of the first param, item i modulo its size; of the next, what is left modulo its;
// …
std::vector<Combination> naive_combinations(const Matrix& matrix) {
  std::vector<Combination> out, includes;
  for (const MatrixInclude& include : matrix.include) {
    includes.emplace_back();
    for (const Param& param : include.params) includes.back()[param.name.value] = param.value.text;
  }
  if (matrix.params.empty()) return includes;
  size_t count = 1;
  for (const Param& param : matrix.params) count *= param.value.items.size();
  if (count == 0) return {};
  for (size_t i = 0; i < count; ++i) {
    size_t rest = i;
    out.emplace_back();
    for (const Param& param : matrix.params) {
      out.back()[param.name.value] = param.value.items[rest % param.value.items.size()];
      rest /= param.value.items.size();
    }
  }
  for (Combination& combination : out)
    for (const Combination& include : includes) {
      bool differs = false;
      for (const auto& [name, value] : include)
        differs |= combination.contains(name) && combination[name] != value;
      if (!differs)
        for (const auto& [name, value] : include) combination[name] = value;
    }
  for (const Combination& include : includes) {
    bool fresh = !include.empty();
    for (Combination& combination : out)
      for (const auto& [name, value] : include)
        fresh &= !(combination.contains(name) && combination[name] == value);
    if (fresh) out.push_back(include);
  }
  return out;
}

TEST(MatrixProperty, CombinationsAreThoseOfTheNaiveOne) {
  for (unsigned seed = 0; seed < testing::seeds(3'000); ++seed) {
    Random random(seed);
    const Matrix matrix = random_matrix(random);
    std::vector<Combination> found;
    for (const std::vector<Param>& params : combinations(matrix)) {
      found.emplace_back();
      for (const Param& param : params) found.back()[param.name.value] = param.value.text;
      ASSERT_TRUE(std::ranges::is_sorted(params, {}, [](const Param& p) { return p.name.value; }));
    }
    ASSERT_EQ(found, naive_combinations(matrix)) << "seed " << seed;
    ASSERT_EQ(count_combinations(matrix), found.size()) << "seed " << seed;
  }
}

// Specs whose defaults refer to others, without a cycle when `most` is at most how deep they may go.
std::vector<ParamSpec> chained_specs(Random& random, size_t most) {
  std::vector<ParamSpec> specs;
  for (size_t i = 0; i < most; ++i) {
    ParamSpec spec;
    spec.name = {"p" + std::to_string(i), {}};
    std::string text = std::to_string(i);
    if (i > 0) text += " $(params.p" + std::to_string(i - 1 - random.below(std::min<size_t>(i, 2))) + ")";
    if (random.below(4) == 0) text += " $(params.given) $(params.nobody)";
    spec.default_value = ParamValue::string(text);
    specs.push_back(std::move(spec));
  }
  return specs;
}

struct Evaluated {
  std::map<std::string, std::string> values;
  bool too_deep = false;
};

Evaluated evaluated(const std::vector<ParamSpec>& specs, const std::vector<Param>& given) {
  Evaluated out;
  for (const Param& param : evaluate_params(specs, given, {}, [&](const ParamSpec&) { out.too_deep = true; }))
    out.values[param.name.value] = param.value.text;
  return out;
}

TEST(ParamsProperty, TheOrderOfDeclarationDoesNotMatter) {
  for (unsigned seed = 0; seed < testing::seeds(2'000); ++seed) {
    Random random(seed);
    std::vector<ParamSpec> specs = chained_specs(random, 1 + random.below(16));
    const std::vector<Param> given{{{"given", {}}, ParamValue::string("$(params.p0)"), {}}};
    const Evaluated first = evaluated(specs, given);
    if (specs.size() <= 11) {
      ASSERT_FALSE(first.too_deep) << "seed " << seed;
    }
    std::ranges::shuffle(specs, random.engine());
    const Evaluated second = evaluated(specs, given);
    ASSERT_EQ(first.too_deep, second.too_deep) << "seed " << seed;
    if (!first.too_deep) {
      ASSERT_EQ(first.values, second.values) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace kiln::dag
