#include "steps/seccomp_filter.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <linux/seccomp.h>

namespace kiln::steps {
namespace {

static_assert(std::endian::native == std::endian::little, "the low half of an argument comes first");

// Jumps lead forward only, so the program is written from its end: whatever a jump may lead to has its place.
class Assembler {
 public:
  // The place of an instruction, counted from the program's end.
  using Place = size_t;

  Place give(uint32_t action) { return put(BPF_STMT(BPF_RET | BPF_K, action)); }
  Place load(size_t offset, Place next) {
    follow(next);
    return put(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  }
  // `operation`: BPF_JEQ, BPF_JGE or BPF_JSET.
  Place branch(uint16_t operation, uint32_t value, Place yes, Place no) {
    yes = near(yes, 1);  // one more than needed: `no` may take an instruction yet
    no = near(no, 0);
    return put({static_cast<uint16_t>(BPF_JMP | operation | BPF_K), distance(yes), distance(no), value});
  }
  std::vector<sock_filter> program() && {
    std::ranges::reverse(backwards_);
    return std::move(backwards_);
  }

 private:
  static constexpr size_t kFarthest = UINT8_MAX;  // that a branch can skip

  Place put(const sock_filter& instruction) {
    backwards_.push_back(instruction);
    return backwards_.size() - 1;
  }
  Place jump(Place to) {
    return put(BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(backwards_.size() - 1 - to)));
  }
  void follow(Place next) {
    if (next + 1 != backwards_.size()) jump(next);
  }
  Place near(Place to, size_t more) { return backwards_.size() - 1 - to + more > kFarthest ? jump(to) : to; }
  uint8_t distance(Place to) const { return static_cast<uint8_t>(backwards_.size() - 1 - to); }

  std::vector<sock_filter> backwards_;
};

// Calls from `first` to the next range's have their verdict at `place`.
struct Range {
  uint32_t first;
  Assembler::Place place;
};

class FilterWriter {
 public:
  std::vector<sock_filter> write(std::span<const SystemCallTable> tables, uint32_t foreign) {
    Assembler::Place next = code_.give(foreign);
    for (const SystemCallTable& table : tables)
      next = code_.branch(BPF_JEQ, table.architecture, search_of(table), next);
    code_.load(offsetof(seccomp_data, arch), next);
    return std::move(code_).program();
  }

 private:
  Assembler::Place search_of(const SystemCallTable& table) {
    places_.clear();
    const std::vector<Range> ranges = ranges_of(table);
    return code_.load(offsetof(seccomp_data, nr), search(ranges));
  }

  std::vector<Range> ranges_of(const SystemCallTable& table) {
    std::vector<Range> ranges;
    const auto from = [&](uint32_t number, const SystemCallVerdict& verdict) {
      const Assembler::Place place = place_of(verdict, table.otherwise);
      if (ranges.empty() || ranges.back().place != place) ranges.push_back({number, place});
    };
    const SystemCallVerdict otherwise{.action = table.otherwise, .values = {}};
    uint32_t next = 0;
    for (const auto& [number, verdict] : table.calls) {
      if (number > next) from(next, otherwise);
      from(number, verdict);
      next = number + 1;
    }
    from(next, otherwise);
    if (table.end != UINT32_MAX) {
      from(table.end, {.action = table.beyond, .values = {}});
      from(UINT32_MAX, otherwise);  // -1: a call that a tracer took back
    }
    return ranges;
  }

  // Where this verdict is given; made once a table, close enough to its search for branches to reach it.
  Assembler::Place place_of(const SystemCallVerdict& verdict, uint32_t otherwise) {
    const auto found = places_.find(verdict);
    return found != places_.end() ? found->second : places_[verdict] = make(verdict, otherwise);
  }

  Assembler::Place make(const SystemCallVerdict& verdict, uint32_t otherwise) {
    using When = SystemCallVerdict::When;
    if (verdict.when == When::Always) return code_.give(verdict.action);
    const Assembler::Place yes = place_of({.action = verdict.action, .values = {}}, otherwise);
    const Assembler::Place no = place_of({.action = otherwise, .values = {}}, otherwise);
    Assembler::Place test = verdict.when == When::OneOf ? no : yes;
    for (const uint32_t value : verdict.values) {
      if (verdict.when == When::OneOf)
        test = code_.branch(BPF_JEQ, value, yes, test);
      else
        test = code_.branch(verdict.when == When::NotEqual ? BPF_JEQ : BPF_JSET, value, no, test);
    }
    return code_.load(offsetof(seccomp_data, args), test);
  }

  Assembler::Place search(std::span<const Range> ranges) {
    if (ranges.size() == 1) return ranges[0].place;
    const size_t middle = ranges.size() / 2;
    const Assembler::Place above = search(ranges.subspan(middle)), below = search(ranges.first(middle));
    return code_.branch(BPF_JGE, ranges[middle].first, above, below);
  }

  Assembler code_;
  std::map<SystemCallVerdict, Assembler::Place> places_;
};

}  // namespace

std::vector<sock_filter> seccomp_filter(std::span<const SystemCallTable> tables, uint32_t foreign) {
  return FilterWriter().write(tables, foreign);
}

}  // namespace kiln::steps
