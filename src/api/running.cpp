#include "api/running.hpp"

namespace rulegrad {

void Running::verify(const Inputs& inputs, std::span<const Tensor> results, std::int64_t count) const {
  const std::int64_t wanted = std::min(d_.verified, count);
  std::vector<std::int64_t> chosen;
  for (std::int64_t k = 0; k < wanted; ++k)
    chosen.push_back(wanted == 1 ? 0 : k * (count - 1) / (wanted - 1));
  const std::vector<NumberCheck> checks = d_.verifier->check(inputs, results, chosen);
  std::string beyond;
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const std::string line = fmt::format(
        "{}: {:.1e} of the largest value off the plain float64 path, where rounding explains {:.1e}",
        name_of_result(i), checks[i].difference, checks[i].explained);
    if (d_.log) d_.log(line);
    if (!checks[i].within()) beyond += "\n  " + line;
  }
  if (!beyond.empty())
    throw Error(
        ErrorCode::internal,
        "[explainer] results are wrong; please report it, and compute in float64 until it is repaired:" +
            beyond);
}

void Running::into(std::span<const OutputBuffer> buffers) {
  const bool direct = alone_.empty() && at_once_ == batch_.samples && choices_.stacked == 0;
  for (std::int64_t pass = 0; pass < passes_; ++pass) {
    if (d_.targets == Targets::given) inputs_[d_.target_input] = targets_of(pass);
    for (std::int64_t first = 0; first < batch_.samples; first += at_once_) {
      const std::int64_t count = std::min(at_once_, batch_.samples - first);
      if (direct)
        run_whole(buffers);
      else
        run_part(first, count, pass, buffers);
      if (choices_.progress)
        choices_.progress(pass * batch_.samples + first + count, passes_ * batch_.samples);
    }
  }
}

/// All samples at once, straight into the buffers.
void Running::run_whole(std::span<const OutputBuffer> buffers) const {
  d_.program.run_into(inputs_, buffers, {.threads = choices_.threads, .stop = choices_.stop});
  if (!d_.verifier) return;
  std::vector<Tensor> found;
  for (std::size_t i = 0; i < buffers.size(); ++i)
    found.push_back(Tensor::borrow(buffers[i].dtype, dims_of(i), buffers[i].data, nullptr));
  verify(inputs_, found, batch_.samples);
}

/// Some samples, for one of the stacked targets; scores are the same for all of these.
void Running::run_part(std::int64_t first, std::int64_t count, std::int64_t pass,
                       std::span<const OutputBuffer> buffers) const {
  const std::vector<Tensor> found = d_.program.run(
      part(first, count), {.threads = choices_.threads, .stop = choices_.stop, .batch_offset = first});
  if (d_.verifier && pass == 0 && first == 0) verify(part(first, count), found, count);
  for (std::size_t i = pass > 0 ? 1 : 0; i < found.size(); ++i)
    place(i, found[i], first, count, pass, buffers[i]);
}

}  // namespace rulegrad
