#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "tensor/largest.hpp"

namespace rulegrad {

std::vector<std::int64_t> Explanation::predictions() const {
  return scores_.rank() < 2 ? std::vector<std::int64_t>() : largest_in_rows(scores_);
}

const Tensor& Explanation::attribution(std::size_t method, std::size_t node) const {
  if (method >= methods_.size() || node >= nodes_.size())
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[explanation] method {} of node {} was asked for, but there are {} methods and {} nodes",
                    method, node, methods_.size(), nodes_.size()));
  return attributions_[method * nodes_.size() + node];
}

const Tensor& Explanation::attribution(std::string_view method, std::string_view node) const {
  const auto index = [](const std::vector<std::string>& names, std::string_view name, std::string_view what) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw Error(ErrorCode::unknown_name, "[explanation] " + unknown_name_message(what, name, names));
    return static_cast<std::size_t>(found - names.begin());
  };
  return attribution(index(methods_, method, "method"), node.empty() ? 0 : index(nodes_, node, "node"));
}

const Explanation::Layout& Explanation::layout(std::size_t method, std::size_t node) const {
  static const Layout in_front{};
  (void)attribution(method, node);
  return layouts_.empty() ? in_front : layouts_[method * nodes_.size() + node];
}

Tensor Explanation::of_sample(std::size_t method, std::size_t node, std::int64_t sample,
                              std::int64_t target) const {
  const Tensor& whole = attribution(method, node);
  const Layout& at = layout(method, node);
  const std::int64_t samples = scores_.dims().empty() ? 1 : scores_.dims()[0],
                     stacked = std::max<std::int64_t>(stacked_, 1);
  if (sample < 0 || sample >= samples || target < 0 || target >= stacked)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[explanation] sample {} and target {} were asked for, but there are {} and {}",
                            sample, target, samples, stacked));
  Dims dims = whole.dims();
  const std::size_t behind = at.axis + (stacked_ > 0 ? 2 : 1);
  const std::int64_t outer = element_count(std::span(dims).first(at.axis)) * at.outer;
  const std::size_t rest =
      static_cast<std::size_t>(element_count(std::span(dims).subspan(behind))) * size_of(whole.dtype());
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(at.axis),
             dims.begin() + static_cast<std::ptrdiff_t>(behind));
  if (at.outer * at.inner > 1)
    dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at.axis), at.outer * at.inner);
  Tensor result = Tensor::uninitialized(whole.dtype(), dims);
  std::byte* to = result.mutable_data();
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < at.inner; ++i, to += rest)
      std::memcpy(
          to,
          whole.data() +
              static_cast<std::size_t>(((o * samples + sample) * at.inner + i) * stacked + target) * rest,
          rest);
  return result;
}

}  // namespace rulegrad
