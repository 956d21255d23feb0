#include "rulegrad/api/plugin.hpp"

#include <dlfcn.h>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

[[noreturn]] void fail(ErrorCode code, const std::string& file, const std::string& what) {
  throw Error(code, fmt::format("[plugin '{}'] {}", file, what));
}

}  // namespace

void load_plugin(Registry& registry, const std::string& file) {
  // A name without a slash would be looked for in the system's folders.
  const std::filesystem::path path = std::filesystem::absolute(file);
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    fail(ErrorCode::io, file, dlerror());  // NOLINT(concurrency-mt-unsafe): glibc keeps it per thread
  const auto* const interface =
      static_cast<const std::uint32_t*>(dlsym(library, "rulegrad_plugin_interface"));
  const auto enter = reinterpret_cast<void (*)(Registry&)>(dlsym(library, "rulegrad_plugin"));
  if (interface == nullptr || enter == nullptr)
    fail(ErrorCode::invalid_argument, file,
         fmt::format("it defines no '{}', so it is no plugin of rulegrad; rulegrad/api/plugin.hpp says what "
                     "one defines",
                     interface == nullptr ? "rulegrad_plugin_interface" : "rulegrad_plugin"));
  if (*interface != plugin_interface)
    fail(ErrorCode::invalid_argument, file,
         fmt::format("it was compiled for plugin interface {} and this rulegrad has {}; compile it again",
                     *interface, plugin_interface));
  // Operators are known by their addresses, so that a second copy of the library would know none of the first
  // one's.
  void* const theirs = dlsym(library, "_ZN8rulegrad9Operators7builtinEv");
  const auto ours = &Operators::builtin;
  if (theirs != nullptr && theirs != reinterpret_cast<void*>(ours))
    fail(ErrorCode::invalid_argument, file,
         "it carries a copy of rulegrad of its own; link it with the shared library that this program uses");
  enter(registry);
}

}  // namespace rulegrad
