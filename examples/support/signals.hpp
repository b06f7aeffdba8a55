// SIGINT and SIGTERM as a request to stop, which training looks at after each batch. POSIX.
#pragma once

#include <signal.h>

#include <atomic>

namespace examples {

/// While it lives, the first SIGINT or SIGTERM only sets a flag; the second one kills the program
/// as ever. A signal that was ignored when the program started (as under nohup) stays ignored.
class StopSignals {
 public:
  StopSignals() {
    requested_ = 0;
    for (int i = 0; i < 2; ++i) {
      ::sigaction(signals[i], nullptr, &before_[i]);
      taken_[i] = before_[i].sa_handler != SIG_IGN;
      if (!taken_[i]) continue;
      struct sigaction action {};
      action.sa_handler = &StopSignals::handle;
      ::sigemptyset(&action.sa_mask);
      action.sa_flags = SA_RESTART;
      ::sigaction(signals[i], &action, nullptr);
    }
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() {
    for (int i = 0; i < 2; ++i) ::sigaction(signals[i], &before_[i], nullptr);
  }

  /// The signal that came, or 0.
  static int requested() noexcept { return requested_; }

 private:
  static constexpr int signals[] = {SIGINT, SIGTERM};

  static void handle(int signal) noexcept {
    requested_ = signal;
    for (int i = 0; i < 2; ++i)
      if (taken_[i]) ::signal(signals[i], SIG_DFL);
  }

  static_assert(std::atomic<int>::is_always_lock_free);
  static inline std::atomic<int> requested_{0};
  static inline std::atomic<bool> taken_[2] = {};
  struct sigaction before_[2]{};
};

}  // namespace examples
