#include "cli/session.hpp"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include "rulegrad/api/explainer.hpp"

#include "cli/inputs.hpp"

namespace rulegrad::cli {

std::int64_t batch_size_for(const RunChoices& choices, const Model& model, std::int64_t samples) {
  const std::int64_t wanted = choices.batch_size > 0 ? choices.batch_size : 16;
  // A model that was exported for one batch size and cannot be freed of it sees exactly that many samples at
  // once.
  const std::int64_t fixed = fixed_batch(model);
  return fixed > 0 ? fixed : std::min(wanted, samples);
}

Progress::Progress(std::string what, std::int64_t total)
    : what_(std::move(what)), total_(total), shown_(isatty(2) != 0 && total > 1) {}

Progress::~Progress() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

void Progress::advance(std::int64_t count) {
  done_ += count;
  if (shown_)
    std::fprintf(stderr, "\r%s %lld / %lld", what_.c_str(), static_cast<long long>(done_),
                 static_cast<long long>(total_));
}

}  // namespace rulegrad::cli
