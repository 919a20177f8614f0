// How the numbers of a tensor lie in a file, and the way to and from float32.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace hone {

enum class StorageType { kFloat32, kBfloat16, kFloat16 };

inline constexpr StorageType kStorageTypes[] = {StorageType::kFloat32, StorageType::kBfloat16, StorageType::kFloat16};

int64_t BytesOf(StorageType type);

// "F32", "BF16", "F16", as safetensors names them.
const char* NameOf(StorageType type);
std::optional<StorageType> StorageTypeNamed(absl::string_view name);

// count floats -> count * BytesOf(type) bytes, little-endian. To the nearest number, ties to even; beyond the largest float16 to
// infinity; what is not a number stays so.
void Encode(StorageType type, const float* values, int64_t count, char* bytes);

// The reverse, exact. `bytes` needs no alignment.
void Decode(StorageType type, const char* bytes, int64_t count, float* values);

}  // namespace hone
