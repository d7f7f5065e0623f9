#include "dag/cel/type.h"

#include <algorithm>

namespace kiln::cel {
namespace {

using Kind = Type::Kind;

constexpr size_t kDeepest = 32;

bool is_unknown(const Type& type) {
  return type.is(Kind::Dyn) || type.is(Kind::Parameter);
}

bool is_dyn_or_error(const Type& type) {
  return type.is(Kind::Dyn) || type.is(Kind::Error);
}

bool is_less_specific(const Type& a, const Type& b) {
  if (is_unknown(a)) return true;
  if (is_unknown(b) || a.kind() != b.kind()) return false;
  if (a.is(Kind::Type)) return true;
  for (size_t i = 0; i < a.parts().size(); ++i)
    if (!is_less_specific(a.parts()[i], b.parts()[i])) return false;
  return true;
}

bool is_nullable(const Type& type) {
  return type.is(Kind::Null) || type.is(Kind::Timestamp) || type.is(Kind::Duration);
}

std::string_view simple_name(Kind kind) {
  switch (kind) {
    case Kind::Dyn:
      return "dyn";
    case Kind::Error:
      return "!error!";
    case Kind::Null:
      return "null";
    case Kind::Bool:
      return "bool";
    case Kind::Int:
      return "int";
    case Kind::Uint:
      return "uint";
    case Kind::Double:
      return "double";
    case Kind::Timestamp:
      return "timestamp";
    case Kind::Duration:
      return "duration";
    case Kind::String:
      return "string";
    case Kind::Bytes:
      return "bytes";
    case Kind::Type:
      return "type";
    case Kind::List:
      return "list";
    case Kind::Map:
      return "map";
    case Kind::Parameter:
      return "";
  }
  return "";
}

}  // namespace

Type::Type(Kind kind, std::vector<Type> parts, std::string name) : kind_(kind), name_(std::move(name)) {
  if (!parts.empty()) parts_ = std::make_shared<const std::vector<Type>>(std::move(parts));
}

const std::vector<Type>& Type::parts() const {
  static const std::vector<Type> none;
  return parts_ ? *parts_ : none;
}

bool Type::operator==(const Type& other) const {
  return kind_ == other.kind_ && name_ == other.name_ && (parts_ == other.parts_ || parts() == other.parts());
}

Type Type::of(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::Null:
      return null();
    case Value::Kind::Bool:
      return boolean();
    case Value::Kind::Int:
      return integer();
    case Value::Kind::Uint:
      return unsigned_integer();
    case Value::Kind::Double:
      return number();
    case Value::Kind::Timestamp:
      return timestamp();
    case Value::Kind::Duration:
      return duration();
    case Value::Kind::Type:
      return type();
    case Value::Kind::String:
      return string();
    case Value::Kind::Bytes:
      return bytes();
    case Value::Kind::List:
      return list();
    case Value::Kind::Map:
      return map(dyn(), dyn());
  }
  return dyn();
}

bool Type::takes(Value::Kind kind) const {
  return is_unknown(*this) || of(kind).kind_ == kind_;
}

std::string Type::text() const {
  if (is(Kind::Parameter)) return name_;
  std::string out(simple_name(kind_));
  if (!parts_) return out;
  out += '(';
  for (size_t i = 0; i < parts_->size(); ++i) out += (i > 0 ? ", " : "") + (*parts_)[i].text();
  return out + ')';
}

const Type& more_general(const Type& a, const Type& b) {
  return is_less_specific(a, b) ? a : b;
}

Type Unification::fresh() {
  return Type::parameter("_" + std::to_string(fresh_++));
}

bool Unification::assign_all(const std::vector<Type>& from, const std::vector<Type>& to) {
  if (from.size() != to.size()) return false;
  undo_.clear();
  const auto fits = [this](const Type& a, const Type& b) { return unify(a, b, 0); };
  if (std::equal(from.begin(), from.end(), to.begin(), fits)) return true;
  for (; !undo_.empty(); undo_.pop_back()) {
    auto& [name, before] = undo_.back();
    if (before.is(Kind::Error)) {
      bound_.erase(name);
    } else {
      bound_.insert_or_assign(name, std::move(before));
    }
  }
  return false;
}

Type Unification::key(const Type& map) const {
  const Type* key = &map.parts()[0];
  while (key->is(Kind::Parameter)) {
    const auto at = bound_.find(key->name());
    if (at == bound_.end()) return *key;
    key = &at->second;
  }
  switch (key->kind()) {
    case Kind::List:
      return Type::list();
    case Kind::Map:
      return Type::map(Type::dyn(), Type::dyn());
    case Kind::Type:
      return Type::type();
    default:
      return *key;
  }
}

bool Unification::unify(const Type& from, const Type& to, size_t depth) {
  if (depth > kDeepest) return true;
  if (to.is(Kind::Parameter)) return substitute(to, from, depth);
  if (from.is(Kind::Parameter)) return substitute(from, to, depth);
  if (is_dyn_or_error(from) || is_dyn_or_error(to)) return true;
  if (from.is(Kind::Null)) return is_nullable(to);
  if (to.is(Kind::Null)) return is_nullable(from);
  if (from.kind() != to.kind()) return false;
  switch (from.kind()) {
    case Kind::List:
      return unify(from.parts()[0], to.parts()[0], depth + 1);
    case Kind::Map:
      return unify(key(from), key(to), depth + 1) && unify(from.parts()[1], to.parts()[1], depth + 1);
    default:
      return true;
  }
}

bool Unification::substitute(const Type& parameter, const Type& type, size_t depth) {
  if (parameter == type) return true;
  const auto at = bound_.find(parameter.name());
  const bool known = at != bound_.end();
  // Error marks what was not bound: nothing is ever bound to it.
  const Type before = known ? at->second : Type::error();
  if (known && before == type) return true;
  if (known && !unify(type, before, depth + 1)) return false;
  const Type& after = known ? more_general(type, before) : type;
  if (occurs(parameter, after, 0)) return known;
  undo_.emplace_back(parameter.name(), before);
  bound_.insert_or_assign(parameter.name(), after.is(Kind::Error) ? Type::dyn() : after);
  return true;
}

bool Unification::occurs(const Type& parameter, const Type& in, size_t depth) const {
  if (parameter == in || depth > kDeepest) return true;
  switch (in.kind()) {
    case Kind::Parameter: {
      const auto at = bound_.find(in.name());
      return at != bound_.end() && occurs(parameter, at->second, depth + 1);
    }
    case Kind::List:
      return occurs(parameter, in.parts()[0], depth + 1);
    case Kind::Map:
      return occurs(parameter, key(in), depth + 1) || occurs(parameter, in.parts()[1], depth + 1);
    default:
      return false;
  }
}

Type Unification::resolved(const Type& type, bool unknown_is_dyn) const {
  return resolved(type, unknown_is_dyn, 0);
}

Type Unification::resolved(const Type& type, bool unknown_is_dyn, size_t depth) const {
  if (depth > kDeepest) return Type::dyn();
  switch (type.kind()) {
    case Kind::Parameter: {
      const auto at = bound_.find(type.name());
      if (at != bound_.end()) return resolved(at->second, unknown_is_dyn, depth + 1);
      return unknown_is_dyn ? Type::dyn() : type;
    }
    case Kind::List:
      return Type::list(resolved(type.parts()[0], unknown_is_dyn, depth + 1));
    case Kind::Type:
      return Type::type(resolved(type.parts()[0], unknown_is_dyn, depth + 1));
    case Kind::Map:
      return Type::map(resolved(key(type), unknown_is_dyn, depth + 1),
                       resolved(type.parts()[1], unknown_is_dyn, depth + 1));
    default:
      return type;
  }
}

Type Unification::instantiated(const Type& type, std::unordered_map<std::string, Type>& fresh_ones) {
  switch (type.kind()) {
    case Kind::Parameter: {
      const auto at = fresh_ones.find(type.name());
      return at != fresh_ones.end() ? at->second : fresh_ones.emplace(type.name(), fresh()).first->second;
    }
    case Kind::List:
      return Type::list(instantiated(type.parts()[0], fresh_ones));
    case Kind::Type:
      return Type::type(instantiated(type.parts()[0], fresh_ones));
    case Kind::Map: {
      Type key = instantiated(type.parts()[0], fresh_ones);
      return Type::map(std::move(key), instantiated(type.parts()[1], fresh_ones));
    }
    default:
      return type;
  }
}

}  // namespace kiln::cel
