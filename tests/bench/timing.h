#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace kiln::bench {

template <class Function>
double milliseconds(const Function& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

inline double median(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace kiln::bench
