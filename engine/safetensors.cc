#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "engine/base/file.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kAlignment = 8;

size_t BytesOf(StorageType type) { return type == StorageType::kFloat32 ? 4 : 2; }

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

// Rounds to the nearest, ties to even.
uint16_t ToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float FromBfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float FromFloat16(uint16_t bits) {
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31;
  const float fraction = static_cast<float>(bits & 1023);
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

uint16_t ToFloat16(float value) {
  _Float16 half = static_cast<_Float16>(value);
  return std::bit_cast<uint16_t>(half);
}

std::string Encode(const std::vector<float>& values, StorageType type) {
  std::string bytes(values.size() * BytesOf(type), '\0');
  if (type == StorageType::kFloat32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = type == StorageType::kBfloat16 ? ToBfloat16(values[i]) : ToFloat16(values[i]);
    std::memcpy(&bytes[2 * i], &bits, 2);
  }
  return bytes;
}

std::vector<float> Decode(const std::string& bytes, StorageType type) {
  std::vector<float> values(bytes.size() / BytesOf(type));
  if (type == StorageType::kFloat32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, &bytes[2 * i], 2);
    values[i] = type == StorageType::kBfloat16 ? FromBfloat16(bits) : FromFloat16(bits);
  }
  return values;
}

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

// Elements of a shape, or nullopt when the product leaves 63 bits.
std::optional<uint64_t> Elements(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, static_cast<uint64_t>(extent), &count)) return std::nullopt;
  }
  return count;
}

std::optional<StorageType> TypeNamed(const std::string& name) {
  for (const StorageType type : {StorageType::kFloat32, StorageType::kBfloat16, StorageType::kFloat16}) {
    if (name == NameOf(type)) return type;
  }
  return std::nullopt;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors, StorageType type) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const uint64_t end = offset + Elements(tensor.shape).value() * BytesOf(type);
    header[tensor.name] = {{"dtype", NameOf(type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const uint64_t size = text.size();

  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(&size), sizeof(size));
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const TensorToWrite& tensor : tensors) {
    const std::string bytes = Encode(tensor.values(), type);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  file.close();
  if (!file) return WorkError(path, ": cannot write ", offset, " bytes: ", SystemError());
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return InputError(path, ": no such file");
  const uint64_t file_size = std::filesystem::file_size(path, error);
  std::ifstream stream(path, std::ios::binary);
  uint64_t header_size = 0;
  stream.read(reinterpret_cast<char*>(&header_size), sizeof(header_size));
  if (!stream) return InputError(path, ": ", file_size, " bytes are too few for a safetensors file; copy it again");
  if (header_size > kMaxHeaderBytes || header_size > file_size - sizeof(header_size)) {
    return InputError(path, ": header of ", header_size, " bytes in a file of ", file_size,
                      " bytes: not a safetensors file, or a truncated one; copy it again");
  }
  std::string header(header_size, '\0');
  stream.read(header.data(), static_cast<std::streamsize>(header_size));
  if (!stream) return InputError(path, ": cannot read the header: ", SystemError());

  SafetensorsFile file;
  file.path_ = path;
  HONE_RETURN_IF_ERROR(file.ParseHeader(header, sizeof(header_size) + header_size, file_size));
  return file;
}

absl::Status SafetensorsFile::ParseHeader(const std::string& header, uint64_t data_begin, uint64_t file_size) {
  // A flat object of objects: more depth than this is an attack on the parser's memory.
  constexpr int kMaxDepth = 3;
  std::string duplicate;
  std::map<std::string, int> seen;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && ++seen[value.get<std::string>()] > 1) {
      duplicate = value.get<std::string>();
    }
    return depth <= kMaxDepth;
  };
  const Json json = Json::parse(header, watch, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return InputError(path_, ": the header is not a JSON object: not a safetensors file, or a damaged one");
  }
  if (!duplicate.empty()) return InputError(path_, ": tensor '", duplicate, "' stands twice in the header");

  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") continue;
    const auto wrong = [&](const auto&... what) { return InputError(path_, ": tensor '", name, "': ", what...); };
    const bool complete = value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
                          value.contains("shape") && value["shape"].is_array() && value.contains("data_offsets") &&
                          value["data_offsets"].is_array() && value["data_offsets"].size() == 2;
    if (!complete) return wrong("dtype, shape or data_offsets is missing or of the wrong kind");
    const auto type = TypeNamed(value["dtype"].get<std::string>());
    if (!type) return wrong("dtype ", value["dtype"].get<std::string>(), " is not supported; have: F32, BF16, F16");
    Entry entry{*type, {}, 0, 0};
    for (const Json& extent : value["shape"]) {
      if (!extent.is_number_unsigned() || extent.get<uint64_t>() > INT64_MAX)
        return wrong("a size in its shape is wrong");
      entry.shape.push_back(extent.get<int64_t>());
    }
    for (const Json& offset : value["data_offsets"]) {
      if (!offset.is_number_unsigned()) return wrong("an offset is not a whole number");
    }
    const uint64_t begin = value["data_offsets"][0].get<uint64_t>(), end = value["data_offsets"][1].get<uint64_t>();
    if (begin > end || end > file_size - data_begin) {
      return wrong("bytes ", begin, " to ", end, " lie outside the ", file_size - data_begin,
                   " bytes of data; the file is truncated or damaged");
    }
    const auto elements = Elements(entry.shape);
    uint64_t bytes = 0;
    if (!elements || __builtin_mul_overflow(*elements, BytesOf(*type), &bytes) || bytes != end - begin) {
      return wrong("shape ", ShapeText(entry.shape), " does not fit its ", end - begin, " bytes");
    }
    entry.begin = data_begin + begin;
    entry.end = data_begin + end;
    if (begin < end) ranges.emplace_back(begin, end);
    entries_[name] = std::move(entry);
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second)
      return InputError(path_, ": two tensors overlap at byte ", ranges[i].first);
  }
  return absl::OkStatus();
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

absl::StatusOr<std::vector<float>> SafetensorsFile::Read(const std::string& name,
                                                         const std::vector<int64_t>& shape) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return InputError(path_, ": tensor '", name, "' is missing, the model wants it");
  const Entry& entry = found->second;
  if (entry.shape != shape) {
    return InputError(path_, ": tensor '", name, "' is ", ShapeText(entry.shape), ", the model wants ",
                      ShapeText(shape));
  }
  std::string bytes(entry.end - entry.begin, '\0');
  std::ifstream stream(path_, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(entry.begin));
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream) return InputError(path_, ": cannot read tensor '", name, "': ", SystemError());
  std::vector<float> values = Decode(bytes, entry.type);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return InputError(path_, ": tensor '", name, "' holds ", values[i], " at element ", i,
                        "; the checkpoint is damaged");
    }
  }
  return values;
}

}  // namespace hone
