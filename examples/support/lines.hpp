// Standard input line by line, as it comes. POSIX.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace examples {

/// The lines of a file descriptor. A signal for which `stopped` gives true ends them also while
/// nothing comes.
template <class Stopped>
class Lines {
 public:
  explicit Lines(int file, Stopped stopped) : file_(file), stopped_(stopped) {}

  /// Reads the next line, without its end. Returns false at the end of the input.
  /// Throws: Error when it cannot be read.
  bool next(std::string& line) {
    while (true) {
      if (stopped_()) return false;
      const std::size_t end = buffer_.find('\n', from_);
      if (end != std::string::npos || (ended_ && from_ < buffer_.size())) {
        line = buffer_.substr(from_, end - from_);
        from_ = end == std::string::npos ? buffer_.size() : end + 1;
        if (line.ends_with('\r')) line.pop_back();
        ++number_;
        return true;
      }
      if (ended_) return false;
      buffer_.erase(0, from_);
      from_ = 0;
      fill();
    }
  }

  /// The number of the last line, from 1.
  tsdl::Index number() const noexcept { return number_; }

 private:
  void fill() {
    // Not read() alone, which goes on after a signal.
    pollfd waiting{file_, POLLIN, 0};
    if (::poll(&waiting, 1, -1) < 0) {
      if (errno == EINTR) return;
      throw tsdl::Error("standard input: ", std::strerror(errno));
    }
    char bytes[65536];
    const ssize_t count = ::read(file_, bytes, sizeof bytes);
    if (count < 0 && errno != EINTR && errno != EAGAIN)
      throw tsdl::Error("standard input: ", std::strerror(errno));
    ended_ = count == 0;
    if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
  }

  int file_;
  Stopped stopped_;
  std::string buffer_;
  std::size_t from_ = 0;
  tsdl::Index number_ = 0;
  bool ended_ = false;
};

}  // namespace examples
