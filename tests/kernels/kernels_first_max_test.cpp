#include <doctest/doctest.h>
#include <limits>
#include <map>
#include <memory>

#include "kernels/pool/first_max.hpp"
#include "oracle/arrays.hpp"

using namespace rulegrad;

TEST_CASE("first_max marks one value in each group: the first largest, or the first NaN") {
  for (const oracle::Dims& dims : {oracle::Dims{2, 3, 4}, {5}, {}, {3, 1, 2, 6}, {40, 50, 30}})
    for (unsigned chosen = 0; chosen < 1U << dims.size(); ++chosen) {
      oracle::Dims axes;
      for (std::size_t axis = 0; axis < dims.size(); ++axis)
        if ((chosen >> axis & 1) != 0) axes.push_back(static_cast<std::int64_t>(axis));
      // Coarse values make ties, and every seventh round has NaNs.
      oracle::Values x = oracle::normal(dims, chosen + 1);
      for (double& value : x) value = std::round(2 * value);
      if (chosen % 7 == 3)
        for (std::size_t i = 1; i < x.size(); i += 5) x[i] = std::numeric_limits<double>::quiet_NaN();

      std::map<oracle::Dims, std::size_t> first;
      std::size_t flat = 0;
      oracle::for_each_index(dims, [&](const oracle::Dims& index) {
        oracle::Dims group = index;
        for (const std::int64_t axis : axes) group[static_cast<std::size_t>(axis)] = 0;
        const auto [at, fresh] = first.emplace(group, flat);
        if (!fresh && !std::isnan(x[at->second]) && (std::isnan(x[flat]) || x[flat] > x[at->second]))
          at->second = flat;
        ++flat;
      });
      std::vector<char> expected(x.size());
      for (const auto& entry : first) expected[entry.second] = 1;

      const auto found = std::make_unique<bool[]>(x.size());
      kernels::first_max(dims, axes, x.data(), found.get());
      int wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) wrong += found[i] == (expected[i] != 0) ? 0 : 1;
      CHECK(wrong == 0);
    }
}
