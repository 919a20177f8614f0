// Whatever the bytes: a status or views that lie inside them, cover them and decode. The first byte of an input says what the others are:
//   'F'  a file as it is
//   'H'  a header up to a zero byte, then the data; the header's size is put in front, so that mutations keep it true
//   'T'  four bytes a tensor: type, two sizes, how far it begins from the end of the one before; mostly right, unlike mutated JSON
//   'I'  a model.safetensors.index.json
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/base/check.h"
#include "engine/safetensors.h"
#include "tests/fuzz/accepted_counter.h"

namespace hone {
namespace {

constexpr size_t kLongestLine = 400;
constexpr size_t kMostTensors = 12;

AcceptedCounter counter;

void CheckRefusal(const absl::Status& status) {
  HONE_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  HONE_CHECK(status.message().size() <= kLongestLine && status.message().find('\n') == absl::string_view::npos);
}

// Not a number may come back as another one.
bool SameBits(StorageType type, const char* a, const char* b, float value) {
  return value != value || std::memcmp(a, b, BytesOf(type)) == 0;
}

void ReadFile(absl::string_view content) {
  const auto tensors = ParseSafetensors("model.safetensors", content);
  if (!tensors.ok()) return CheckRefusal(tensors.status());
  counter.CountAccepted();
  size_t covered = 0;
  for (const auto& [name, tensor] : *tensors) {
    HONE_CHECK(tensor.bytes.data() >= content.data() &&
               tensor.bytes.data() + tensor.bytes.size() <= content.data() + content.size());
    covered += tensor.bytes.size();
    const int64_t width = BytesOf(tensor.type), count = static_cast<int64_t>(tensor.bytes.size()) / width;
    std::vector<float> values(count);
    Decode(tensor.type, tensor.bytes.data(), count, values.data());
    std::vector<char> again(count * width);
    Encode(tensor.type, values.data(), count, again.data());
    for (int64_t i = 0; i < count; ++i) {
      HONE_CHECK(SameBits(tensor.type, &again[i * width], tensor.bytes.data() + i * width, values[i]));
    }
  }
  uint64_t header_size;
  std::memcpy(&header_size, content.data(), sizeof(header_size));
  HONE_CHECK(covered + header_size + sizeof(header_size) == content.size());
}

void ReadIndex(absl::string_view content) {
  const auto shards = ParseShardIndex("model.safetensors.index.json", content);
  if (!shards.ok()) return CheckRefusal(shards.status());
  counter.CountAccepted();
  for (const auto& [name, shard] : *shards) {
    HONE_CHECK(!shard.empty() && shard.find('/') == std::string::npos && shard != "..");
  }
}

std::vector<char> FileOf(absl::string_view header, absl::string_view data) {
  const uint64_t header_size = header.size();
  std::vector<char> content(sizeof(header_size));
  std::memcpy(content.data(), &header_size, sizeof(header_size));
  content.insert(content.end(), header.begin(), header.end());
  content.insert(content.end(), data.begin(), data.end());
  return content;
}

std::vector<char> FileOfTensors(absl::string_view recipe) {
  std::string header = "{";
  int64_t offset = 0, data_size = 0;
  for (size_t at = 0; at + 4 <= recipe.size() && at < 4 * kMostTensors; at += 4) {
    const StorageType type = kStorageTypes[static_cast<uint8_t>(recipe[at]) % 3];
    const int64_t rows = static_cast<int8_t>(recipe[at + 1]), columns = recipe[at + 2] & 7;
    const int64_t begin = offset + static_cast<int8_t>(recipe[at + 3]), end = begin + rows * columns * BytesOf(type);
    absl::StrAppend(&header, at > 0 ? "," : "", "\"t", at, R"(":{"dtype":")", NameOf(type), R"(","shape":[)", rows, ",",
                    columns, R"(],"data_offsets":[)", begin, ",", end, "]}");
    offset = end;
    data_size = std::max(data_size, end);
  }
  std::string data(data_size, '\0');
  for (int64_t i = 0; i < data_size; ++i) data[i] = recipe[i % recipe.size()];
  return FileOf(header + "}", data);
}

void Read(const uint8_t* bytes, size_t size) {
  counter.CountInput();
  if (size == 0) return;
  const absl::string_view rest(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  if (bytes[0] == 'I') return ReadIndex(rest);
  const size_t zero = std::min(rest.find('\0'), rest.size());
  std::vector<char> content(rest.begin(), rest.end());
  if (bytes[0] == 'H') content = FileOf(rest.substr(0, zero), rest.substr(std::min(zero + 1, rest.size())));
  if (bytes[0] == 'T') content = FileOfTensors(rest);
  // Its exact size, so that AddressSanitizer sees a read past its end.
  content.shrink_to_fit();
  ReadFile({content.data(), content.size()});
}

}  // namespace
}  // namespace hone

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  hone::Read(bytes, size);
  return 0;
}
