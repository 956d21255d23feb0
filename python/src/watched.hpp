#pragma once

#include <functional>
#include <stop_token>

namespace rulegrad::python {

/// Runs `job` without the GIL, which the caller holds. On Python's main thread Ctrl-C is looked for
/// meanwhile: then `stop` is asked for, and what the signal's handler raised is thrown once the job has
/// ended. Elsewhere only Python's main thread hears signals, and the job runs on the caller's thread.
void run_watched(std::stop_source& stop, const std::function<void()>& job);

}  // namespace rulegrad::python
