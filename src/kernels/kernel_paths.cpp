#include "kernels/kernel_paths.hpp"

#include <algorithm>
#include <mutex>

namespace rulegrad {
namespace {

struct Registered {
  std::mutex mutex;
  std::vector<const KernelPath*> paths;
};

/// Made by whichever file's paths come first.
Registered& registered() {
  static Registered all;
  return all;
}

}  // namespace

KernelPath::KernelPath(std::string_view name, Choice choice) : name_(name), choice_(choice) {
  Registered& all = registered();
  const std::lock_guard lock(all.mutex);
  all.paths.push_back(this);
}

std::vector<const KernelPath*> kernel_paths() {
  Registered& all = registered();
  const std::lock_guard lock(all.mutex);
  std::vector<const KernelPath*> paths = all.paths;
  std::ranges::sort(paths, {}, &KernelPath::name);
  return paths;
}

}  // namespace rulegrad
