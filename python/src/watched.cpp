#include "watched.hpp"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <pybind11/pybind11.h>
#include <thread>
#include <unistd.h>

namespace py = pybind11;

namespace rulegrad::python {
namespace {

/// One thread that lives as long as the process: OpenMP keeps its team from job to job.
class Worker {
 public:
  Worker() : process_(::getpid()) {
    std::thread([this] { serve(); }).detach();
  }
  [[nodiscard]] bool idle() const { return job_ == nullptr; }
  [[nodiscard]] bool lost() const { return process_ != ::getpid(); }  ///< threads do not survive a fork

  void start(const std::function<void()>& job) {
    const std::lock_guard lock(mutex_);
    job_ = &job;
    done_ = false;
    changed_.notify_all();
  }
  /// True once the job has ended.
  bool wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return done_; });
  }
  /// After the end.
  void finish() {
    const std::exception_ptr problem = std::exchange(problem_, nullptr);
    job_ = nullptr;
    if (problem) std::rethrow_exception(problem);
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return job_ != nullptr && !done_; });
      lock.unlock();
      try {
        (*job_)();
      } catch (...) {
        problem_ = std::current_exception();
      }
      lock.lock();
      done_ = true;
      changed_.notify_all();
    }
  }

  pid_t process_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* job_ = nullptr;
  bool done_ = true;
  std::exception_ptr problem_;
};

/// Never freed: its thread may wait in it while the process ends.
Worker* worker_of_main_thread() {
  static Worker* worker = nullptr;
  if (worker == nullptr || worker->lost()) worker = new Worker;
  return worker;
}

bool on_main_thread() {
  const py::object main = py::module_::import("threading").attr("main_thread")();
  return main.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

void run_watched(std::stop_source& stop, const std::function<void()>& job) {
  Worker* worker = on_main_thread() ? worker_of_main_thread() : nullptr;
  if (worker == nullptr || !worker->idle()) {  // or a signal's handler came here while a job runs
    const py::gil_scoped_release free;
    job();
    return;
  }
  std::optional<py::error_already_set> interrupt;
  worker->start(job);
  for (;;) {
    bool ended = false;
    {
      const py::gil_scoped_release free;
      ended = worker->wait(std::chrono::milliseconds(50));
    }
    if (ended) break;
    if (!interrupt && PyErr_CheckSignals() != 0) {
      interrupt.emplace();
      stop.request_stop();
    }
  }
  try {
    worker->finish();
  } catch (...) {
    if (!interrupt) throw;  // the cancelled run is what the interrupt asked for
  }
  if (interrupt) throw std::move(*interrupt);
}

}  // namespace rulegrad::python
