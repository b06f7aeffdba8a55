// What a stream's snapshot begins with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/state.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A snapshot's version, a digest of what it was made for, and size and checksum of the state that
/// follows. The checksum is against bits that have changed, not against a writer who means harm.
struct SnapshotHeader {
  /// Version 3 tells feature sets apart by what they compute; version 1 was that of tsdl 0.1.
  static constexpr std::uint64_t current = 3;
  static constexpr std::size_t bytes = 4 * sizeof(std::uint64_t);

  std::uint64_t magic = magic_of(current), made_for = 0, size = 0, checksum = 0;

  SnapshotHeader() = default;
  SnapshotHeader(std::uint64_t its_made_for, std::span<const std::byte> state) noexcept
      : made_for(its_made_for), size(state.size()), checksum(Fingerprint().add(state).value()) {}

  void state(StateBytes& to) { to(magic, made_for, size, checksum); }

  /// Throws: FormatError when the bytes are no snapshot, or one of another version.
  static SnapshotHeader read(std::span<const std::byte> from) {
    SnapshotHeader header;
    StateBytes reader(from.first(std::min(from.size(), bytes)));
    reader(header);
    for (std::uint64_t older = 1; older < current; ++older)
      if (reader.is_complete() && header.magic == magic_of(older))
        throw FormatError("snapshot: of version ", older, ", which this version (", current,
                          ") cannot go on from: push the last rows again");
    if (!reader.is_complete() || header.magic != magic_of(current))
      throw FormatError("snapshot: these bytes are not a snapshot of a stream");
    return header;
  }

  /// Throws: FormatError when it was made for another stream than `own`, or `state`, the bytes
  /// after it, have been cut or changed.
  void require(const SnapshotHeader& own, std::span<const std::byte> state) const {
    if (made_for != own.made_for || size != own.size)
      throw FormatError(
          "snapshot: of a stream with another model, recipe, feature set, mode or instruction set");
    if (state.size() != size)
      throw FormatError("snapshot: expected ", size, " bytes after the header, got ", state.size());
    if (Fingerprint().add(state).value() != checksum)
      throw FormatError("snapshot: damaged: its bytes do not have its checksum");
  }

 private:
  /// "TSDSTM01", "TSDSTM02", ...
  static constexpr std::uint64_t magic_of(std::uint64_t number) noexcept {
    return 0x30304d5453445354 + (number << 56);
  }
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
