#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/support/error.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/plain/plain.hpp"
#include "support/text.hpp"
#ifdef RULEGRAD_HAVE_ONEDNN
#include "kernels/onednn/bind.hpp"
#endif

namespace rulegrad {
namespace {

/// The kernel, with the plain one where a path that it would take is closed.
Kernel with_plain(Kernel kernel, std::shared_ptr<const Kernel> plain) {
  kernel.run = [run = std::move(kernel.run), plain = std::move(plain)](const KernelCall& call) {
    try {
      run(call);
    } catch (const ClosedPath&) {
      plain->run(call);
    }
  };
  return kernel;
}

}  // namespace

const Kernels& Kernels::portable() {
  static const Kernels kernels = [] {
    Kernels all;
    kernels::bind_all(all);
    Kernels plain = all;
    kernels::plain::bind_all(plain);
    for (const std::string& name : all.names())
      if (all.at(name)->access == Access::any && plain.find(name) != all.find(name))
        all.set(name, with_plain(*all.at(name), plain.at(name)));
    return all;
  }();
  return kernels;
}

const Kernels& Kernels::best() {
#ifdef RULEGRAD_HAVE_ONEDNN
  static const Kernels kernels = [] {
    Kernels all = portable();
    kernels::onednn::bind_all(all);
    return all;
  }();
  return kernels;
#else
  return portable();
#endif
}

void Kernels::set(std::string operator_name, Kernel kernel) {
  by_name_.insert_or_assign(std::move(operator_name), std::make_shared<const Kernel>(std::move(kernel)));
}

std::shared_ptr<const Kernel> Kernels::find(std::string_view operator_name) const {
  const auto found = by_name_.find(operator_name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::shared_ptr<const Kernel> Kernels::at(std::string_view operator_name) const {
  if (auto kernel = find(operator_name)) return kernel;
  throw Error(ErrorCode::unknown_name,
              unknown_name_message("kernel", operator_name, names()) +
                  "; an operator needs a kernel to be run: Kernels::set gives it one");
}

std::vector<std::string> Kernels::names() const {
  std::vector<std::string> result;
  for (const auto& entry : by_name_) result.push_back(entry.first);
  return result;
}

}  // namespace rulegrad
