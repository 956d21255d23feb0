#include "rulegrad/support/process.hpp"

#include <csignal>
#include <cstring>
#include <initializer_list>
#include <unistd.h>

#include "support/mappings.hpp"

namespace rulegrad {
namespace {

/// Nothing but what a signal handler may call.
void at_bus_error(int signal, siginfo_t* info, void*) {
  const char* const path = mappings::path_at(info->si_addr);
  if (path == nullptr) {
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    return;
  }
  for (const char* const part : {"rulegrad: error: '", path,
                                 "' became shorter while it was in use; leave model files alone while "
                                 "programs run them, or run a copy\n"})
    if (::write(2, part, std::strlen(part)) < 0) break;
  ::_exit(2);
}

}  // namespace

void name_files_cut_short() {
  struct sigaction action {};
  action.sa_sigaction = at_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace rulegrad
