// libFuzzer's entry points (https://llvm.org/docs/LibFuzzer.html) around a target.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "fuzz/target.hpp"

using namespace rulegrad;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)fuzz::target().run({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  RandomEngine random(seed);
  if (fuzz::one_in(random, 6)) return LLVMFuzzerMutate(data, size, most);
  fuzz::Bytes input(data, data + size);
  if (size < 4 || fuzz::one_in(random, 100)) input = fuzz::target().fresh(random);
  for (std::size_t count = 1 + fuzz::below(random, 3); count > 0; --count)
    fuzz::target().mutate(input, random);
  const std::size_t length = std::min(input.size(), most);
  if (length > 0) std::memcpy(data, input.data(), length);
  return length;
}
