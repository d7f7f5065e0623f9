#include "steps/pod_images.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "steps/step_world.h"

namespace kiln::steps {
namespace {

// A registry's answer takes longer than what the machine does with it; more would only share the line.
constexpr size_t kAtOnce = 4;

// One image that some steps have in common.
struct Pull {
  const StepSpec* step;
  std::vector<size_t> places;
  StepImage image;
};

std::vector<Pull> pulls_for(const std::vector<const StepSpec*>& containers) {
  std::vector<Pull> pulls;
  for (size_t i = 0; i < containers.size(); ++i) {
    const StepSpec& one = *containers[i];
    if (runs_on_host(one)) continue;
    const auto same = std::ranges::find_if(pulls, [&](const Pull& pull) {
      return pull.step->image == one.image && pull.step->pull_policy == one.pull_policy;
    });
    if (same == pulls.end())
      pulls.push_back({&one, {i}, {}});
    else
      same->places.push_back(i);
  }
  return pulls;
}

// Workers take one pull after the other until all are done or one has failed.
class Puller {
 public:
  Puller(std::vector<Pull>& pulls, const ImageSource& source) : pulls_(pulls), source_(source) {}

  void work() {
    while (Pull* pull = next()) {
      try {
        pull->image = source_(*pull->step, stop_.get_token());
      } catch (const Error& error) {
        fail(*pull, error);
      } catch (const std::exception& error) {
        fail(*pull, Error(ErrorKind::Infrastructure, error.what()));
      }
    }
  }
  void cancel() { stop_.request_stop(); }
  std::optional<ImageProblem> problem() { return std::move(problem_); }

 private:
  Pull* next() {
    const std::lock_guard lock(mutex_);
    return problem_ || next_ == pulls_.size() ? nullptr : &pulls_[next_++];
  }
  // The others are cancelled then, and say so: the first one's words count.
  void fail(const Pull& pull, const Error& error) {
    {
      const std::lock_guard lock(mutex_);
      if (!problem_) problem_ = ImageProblem{pull.step, error};
    }
    stop_.request_stop();
  }

  std::vector<Pull>& pulls_;
  const ImageSource& source_;
  std::stop_source stop_;
  std::mutex mutex_;
  size_t next_ = 0;
  std::optional<ImageProblem> problem_;
};

}  // namespace

std::vector<const StepSpec*> containers_of(const PodSpec& pod) {
  std::vector<const StepSpec*> out;
  for (const StepSpec& step : pod.steps) out.push_back(&step);
  for (const SidecarSpec& sidecar : pod.sidecars) out.push_back(&sidecar);
  return out;
}

std::optional<ImageProblem> get_images(const std::vector<const StepSpec*>& containers,
                                       const ImageSource& source, const std::stop_token& stop,
                                       std::vector<StepImage>& images) {
  std::vector<Pull> pulls = pulls_for(containers);
  Puller puller(pulls, source);
  const std::stop_callback on_stop(stop, [&] { puller.cancel(); });
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < std::min(pulls.size(), kAtOnce); ++i) others.emplace_back([&] { puller.work(); });
    puller.work();
  }
  images.assign(containers.size(), {});
  for (const Pull& pull : pulls)
    for (const size_t place : pull.places) images[place] = pull.image;
  return puller.problem();
}

}  // namespace kiln::steps
