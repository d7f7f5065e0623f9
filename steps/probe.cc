#include "steps/probe.h"

#include <algorithm>

namespace kiln::steps {

constexpr Duration kFirstPause = std::chrono::milliseconds(20);

ProbeCount::Verdict ProbeCount::take(bool success, Moment now) {
  counted_ = success || period_start_ == Moment::min() || now - period_start_ >= probe_.period;
  if (counted_) {
    period_start_ = now;
    pause_ = kFirstPause;
  }
  if (success) {
    failures_ = 0;
    due_ = now + probe_.period;
    return ++successes_ >= probe_.success_threshold ? Verdict::Passed : Verdict::Open;
  }
  successes_ = 0;
  due_ = std::min(now + pause_, period_start_ + probe_.period);
  pause_ *= 2;
  if (counted_) ++failures_;
  return failures_ >= probe_.failure_threshold ? Verdict::Failed : Verdict::Open;
}

}  // namespace kiln::steps
