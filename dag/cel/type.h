#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/cel/value.h"

// Static types, as check() reasons about them (langdef, "Gradual Type Checking").
namespace kiln::cel {

class Type {
 public:
  enum class Kind : uint8_t {
    Dyn,    // anything; found out when evaluated
    Error,  // already reported
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Timestamp,
    Duration,
    String,
    Bytes,
    Type,
    List,
    Map,
    Parameter,  // stands for one type throughout a function's signature, or for one not known yet
  };

  Type() : Type(Kind::Dyn) {}
  static Type dyn() { return {}; }
  static Type error() { return Type(Kind::Error); }
  static Type null() { return Type(Kind::Null); }
  static Type boolean() { return Type(Kind::Bool); }
  static Type integer() { return Type(Kind::Int); }
  static Type unsigned_integer() { return Type(Kind::Uint); }
  static Type number() { return Type(Kind::Double); }
  static Type string() { return Type(Kind::String); }
  static Type bytes() { return Type(Kind::Bytes); }
  static Type timestamp() { return Type(Kind::Timestamp); }
  static Type duration() { return Type(Kind::Duration); }
  static Type type() { return type(dyn()); }
  static Type type(Type of) { return Type(Kind::Type, {std::move(of)}); }
  static Type list() { return list(dyn()); }
  static Type list(Type item) { return Type(Kind::List, {std::move(item)}); }
  static Type map(Type key, Type value) { return Type(Kind::Map, {std::move(key), std::move(value)}); }
  static Type parameter(std::string name) { return Type(Kind::Parameter, {}, std::move(name)); }
  static Type of(Value::Kind kind);  // lists and maps of dyn

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  const std::vector<Type>& parts() const;            // of a list, map or type
  const std::string& name() const { return name_; }  // of a Parameter
  // Whether a value of that kind may be here.
  bool takes(Value::Kind kind) const;
  // "map(string, list(int))"
  std::string text() const;

  bool operator==(const Type& other) const;

 private:
  explicit Type(Kind kind, std::vector<Type> parts = {}, std::string name = {});

  Kind kind_;
  std::shared_ptr<const std::vector<Type>> parts_;  // shared by copies; nullptr for none
  std::string name_;
};

// What the Parameters met so far stand for. What it costs is bounded however the expression ties types
// together: a map's key that is itself a list or a map counts as dyn, and so does what is nested too deep.
class Unification {
 public:
  Type fresh();
  // Whether a value of type `from` can go where `to` is wanted; binds Parameters of both, or nothing at all.
  bool assign(const Type& from, const Type& to) { return assign_all({from}, {to}); }
  bool assign_all(const std::vector<Type>& from, const std::vector<Type>& to);
  Type resolved(const Type& type, bool unknown_is_dyn = false) const;
  // The signature's own Parameters replaced by fresh ones.
  Type instantiated(const Type& type, std::unordered_map<std::string, Type>& fresh_ones);

 private:
  bool unify(const Type& from, const Type& to, size_t depth);
  bool substitute(const Type& parameter, const Type& type, size_t depth);
  bool occurs(const Type& parameter, const Type& in, size_t depth) const;
  Type resolved(const Type& type, bool unknown_is_dyn, size_t depth) const;
  Type key(const Type& map) const;

  std::unordered_map<std::string, Type> bound_;
  std::vector<std::pair<std::string, Type>> undo_;
  size_t fresh_ = 0;
};

// The more general of two types of which one can be assigned to the other.
const Type& more_general(const Type& a, const Type& b);

}  // namespace kiln::cel
