#include "support/mappings.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

namespace rulegrad::mappings {
namespace {

/// Fixed places, so that a signal handler finds them without a lock. A process maps a few files; what finds
/// no place is not named.
struct Place {
  std::atomic<const std::byte*> begin{nullptr};
  std::atomic<std::size_t> size{0};
  std::array<char, 512> path{};
};
std::array<Place, 64> places;
std::mutex mutex;

}  // namespace

void add(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  const std::lock_guard lock(mutex);
  for (Place& place : places) {
    if (place.begin.load() != nullptr) continue;
    const std::string text = path.string();
    place.path.fill(0);
    std::memcpy(place.path.data(), text.data(), std::min(text.size(), place.path.size() - 1));
    place.size = bytes.size();
    place.begin = bytes.data();
    return;
  }
}

void remove(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex);
  for (Place& place : places)
    if (place.begin.load() == bytes.data()) place.begin = nullptr;
}

const char* path_at(const void* address) noexcept {
  for (const Place& place : places) {
    const std::byte* const begin = place.begin.load();
    const auto* const at = static_cast<const std::byte*>(address);
    if (begin != nullptr && begin <= at && at < begin + place.size.load()) return place.path.data();
  }
  return nullptr;
}

}  // namespace rulegrad::mappings
