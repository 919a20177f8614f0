#include "engine/storage_type.h"

#include <bit>
#include <cstring>

namespace hone {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's byte order is the machine's");

constexpr uint32_t kSign = 0x80000000, kInfinity = 0x7F800000;

uint16_t ToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  // Rounding could carry a NaN's fraction away.
  if ((bits & ~kSign) > kInfinity) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float FromBfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// 1 sign, 5 exponent (bias 15), 10 fraction.
constexpr uint32_t kHalfInfinity = 0x7C00, kHalfNan = 0x7E00, kHalfSmallestNormal = 0x400;
constexpr uint32_t kBiasDifference = (127 - 15) << 23;

uint16_t ToFloat16(float value) {
  constexpr uint32_t kTooLarge = (127 + 16) << 23;        // 65536
  constexpr uint32_t kSmallestNormal = (127 - 14) << 23;  // 2^-14
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & ~kSign, sign = (bits & kSign) >> 16;
  uint32_t half;
  if (magnitude >= kTooLarge) {
    half = magnitude > kInfinity ? kHalfNan : kHalfInfinity;
  } else if (magnitude < kSmallestNormal) {
    // From 0.5 on, floats lie 2^-24 apart, and so do the subnormal float16: the addition rounds.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  } else {
    half = (magnitude - kBiasDifference + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float FromFloat16(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7FFFu;
  uint32_t bits;
  if (magnitude < kHalfSmallestNormal) {
    bits = std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
  } else if (magnitude >= kHalfInfinity) {
    bits = kInfinity | magnitude << 13;
  } else {
    bits = (magnitude << 13) + kBiasDifference;
  }
  return std::bit_cast<float>(sign | bits);
}

template <typename Convert>
void EncodeHalves(const float* values, int64_t count, char* bytes, Convert convert) {
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t half = convert(values[i]);
    std::memcpy(bytes + 2 * i, &half, 2);
  }
}

template <typename Convert>
void DecodeHalves(const char* bytes, int64_t count, float* values, Convert convert) {
  for (int64_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, bytes + 2 * i, 2);
    values[i] = convert(half);
  }
}

}  // namespace

int64_t BytesOf(StorageType type) { return type == StorageType::kFloat32 ? 4 : 2; }

const char* NameOf(StorageType type) {
  switch (type) {
    case StorageType::kFloat32:
      return "F32";
    case StorageType::kBfloat16:
      return "BF16";
    case StorageType::kFloat16:
      return "F16";
  }
  return "";
}

std::optional<StorageType> StorageTypeNamed(absl::string_view name) {
  for (const StorageType type : kStorageTypes) {
    if (name == NameOf(type)) return type;
  }
  return std::nullopt;
}

void Encode(StorageType type, const float* values, int64_t count, char* bytes) {
  if (count == 0) return;
  switch (type) {
    case StorageType::kFloat32:
      std::memcpy(bytes, values, count * sizeof(float));
      return;
    case StorageType::kBfloat16:
      return EncodeHalves(values, count, bytes, ToBfloat16);
    case StorageType::kFloat16:
      return EncodeHalves(values, count, bytes, ToFloat16);
  }
}

void Decode(StorageType type, const char* bytes, int64_t count, float* values) {
  if (count == 0) return;
  switch (type) {
    case StorageType::kFloat32:
      std::memcpy(values, bytes, count * sizeof(float));
      return;
    case StorageType::kBfloat16:
      return DecodeHalves(bytes, count, values, FromBfloat16);
    case StorageType::kFloat16:
      return DecodeHalves(bytes, count, values, FromFloat16);
  }
}

}  // namespace hone
