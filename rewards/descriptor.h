// A file descriptor that closes with its owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace hone {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      value_ = other.Release();
    }
    return *this;
  }
  ~Descriptor() { Close(); }

  int get() const { return value_; }
  bool open() const { return value_ >= 0; }
  int Release() { return std::exchange(value_, -1); }
  void Close() {
    if (value_ >= 0) close(Release());
  }

 private:
  int value_ = -1;
};

}  // namespace hone
