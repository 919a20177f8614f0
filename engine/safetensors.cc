#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/text.h"

namespace hone {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kAlignment = 8;
constexpr size_t kShownNameBytes = 100;

std::string ShapeText(const std::vector<int64_t>& shape) {
  return Visible(absl::StrCat("[", absl::StrJoin(shape, ", "), "]"), kShownNameBytes);
}

std::string Quoted(absl::string_view name) { return absl::StrCat("'", Visible(name, kShownNameBytes), "'"); }

// Elements of a shape, or nullopt when the product leaves 64 bits.
std::optional<uint64_t> Elements(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, static_cast<uint64_t>(extent), &count)) return std::nullopt;
  }
  return count;
}

// A JSON object of objects, no key twice in one object. Parsing stays within bounded memory: more values than any model has are
// dropped while reading, then refused.
absl::StatusOr<Json> ParseFlat(const std::string& path, const char* what, absl::string_view text) {
  constexpr int64_t kMaxValues = 4'000'000;
  if (NestsTooDeep(text)) return InputError(path, ": ", what, " nests too deep for any real one; the file is damaged");
  int64_t values = 0;
  std::string duplicate;
  std::set<std::string> outer, inner;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (!duplicate.empty() || ++values > kMaxValues) return false;
    if (event == Json::parse_event_t::object_start && depth == 1) inner.clear();
    if (event == Json::parse_event_t::key) {
      const std::string& key = value.get_ref<const std::string&>();
      if (!(depth == 1 ? outer : inner).insert(key).second) duplicate = Quoted(key);
    }
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (values > kMaxValues) return InputError(path, ": ", what, " holds more than ", kMaxValues, " values");
  if (!duplicate.empty()) return InputError(path, ": ", duplicate, " stands twice in ", what);
  if (json.is_discarded() || !json.is_object()) {
    return InputError(path, ": ", what, " is not a JSON object; the file is damaged or of another format");
  }
  return json;
}

bool IsTensorEntry(const Json& value) {
  if (!value.is_object()) return false;
  const auto dtype = value.find("dtype"), shape = value.find("shape"), offsets = value.find("data_offsets");
  return dtype != value.end() && dtype->is_string() && shape != value.end() && shape->is_array() &&
         offsets != value.end() && offsets->is_array() && offsets->size() == 2;
}

absl::StatusOr<StoredTensor> ParseTensor(const std::string& path, const std::string& name, const Json& value,
                                         absl::string_view data) {
  const auto wrong = [&](const auto&... what) { return InputError(path, ": tensor ", Quoted(name), ": ", what...); };
  if (!IsTensorEntry(value)) return wrong("dtype, shape or data_offsets is missing or of the wrong kind");
  const std::string& dtype = value["dtype"].get_ref<const std::string&>();
  const auto type = StorageTypeNamed(dtype);
  if (!type) return wrong("dtype ", Quoted(dtype), " is not supported; have: F32, BF16, F16");
  StoredTensor tensor{*type, {}, {}};
  for (const Json& extent : value["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > INT64_MAX)
      return wrong("a size in its shape is wrong");
    tensor.shape.push_back(extent.get<int64_t>());
  }
  for (const Json& offset : value["data_offsets"]) {
    if (!offset.is_number_unsigned()) return wrong("an offset is not a whole number");
  }
  const uint64_t begin = value["data_offsets"][0].get<uint64_t>(), end = value["data_offsets"][1].get<uint64_t>();
  if (begin > end || end > data.size()) {
    return wrong("bytes ", begin, " to ", end, " lie outside the ", data.size(),
                 " bytes of data; the file is truncated or damaged");
  }
  const auto elements = Elements(tensor.shape);
  uint64_t bytes = 0;
  if (!elements || __builtin_mul_overflow(*elements, static_cast<uint64_t>(BytesOf(*type)), &bytes) ||
      bytes != end - begin) {
    return wrong("shape ", ShapeText(tensor.shape), " does not fit its ", end - begin, " bytes");
  }
  tensor.bytes = data.substr(begin, end - begin);
  return tensor;
}

// Every byte of `data` belongs to one tensor.
absl::Status CheckCover(const std::string& path, const std::map<std::string, StoredTensor>& tensors,
                        absl::string_view data) {
  std::vector<absl::string_view> parts;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.bytes.empty()) parts.push_back(tensor.bytes);
  }
  parts.emplace_back(data.data() + data.size(), 0);
  std::sort(parts.begin(), parts.end(), [](absl::string_view a, absl::string_view b) { return a.data() < b.data(); });
  const char* expected = data.data();
  for (const absl::string_view part : parts) {
    if (part.data() < expected) return InputError(path, ": two tensors overlap at byte ", part.data() - data.data());
    if (part.data() > expected) {
      return InputError(path, ": bytes ", expected - data.data(), " to ", part.data() - data.data(),
                        " of the data belong to no tensor; the file is damaged");
    }
    expected = part.data() + part.size();
  }
  return absl::OkStatus();
}

// A name that cannot lead out of the folder.
bool IsPlainFileName(absl::string_view name) {
  return !name.empty() && name[0] != '.' && name.find('/') == absl::string_view::npos &&
         name.find('\0') == absl::string_view::npos;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors, StorageType type) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
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
  std::string bytes;
  for (const TensorToWrite& tensor : tensors) {
    const std::vector<float> values = tensor.values();
    HONE_CHECK(values.size() == Elements(tensor.shape));
    bytes.resize(values.size() * BytesOf(type));
    Encode(type, values.data(), static_cast<int64_t>(values.size()), bytes.data());
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  file.close();
  if (!file) return WorkError(path, ": cannot write ", offset, " bytes: ", SystemError());
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, StoredTensor>> ParseSafetensors(const std::string& path,
                                                                     absl::string_view content) {
  uint64_t header_size = 0;
  if (content.size() < sizeof(header_size)) {
    return InputError(path, ": ", content.size(), " bytes are too few for a safetensors file; copy it again");
  }
  std::memcpy(&header_size, content.data(), sizeof(header_size));
  const absl::string_view rest = content.substr(sizeof(header_size));
  if (header_size > kMaxHeaderBytes || header_size > rest.size()) {
    return InputError(path, ": header of ", header_size, " bytes in a file of ", content.size(),
                      " bytes: not a safetensors file, or a truncated one; copy it again");
  }
  HONE_ASSIGN_OR_RETURN(const Json json, ParseFlat(path, "the header", rest.substr(0, header_size)));
  const absl::string_view data = rest.substr(header_size);
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") continue;
    HONE_ASSIGN_OR_RETURN(StoredTensor tensor, ParseTensor(path, name, value, data));
    tensors.emplace(name, std::move(tensor));
  }
  HONE_RETURN_IF_ERROR(CheckCover(path, tensors, data));
  return tensors;
}

absl::StatusOr<std::map<std::string, std::string>> ParseShardIndex(const std::string& path, absl::string_view content) {
  if (content.size() > kMaxHeaderBytes)
    return InputError(path, ": ", content.size(), " bytes are too many for an index");
  HONE_ASSIGN_OR_RETURN(const Json json, ParseFlat(path, "the index", content));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) return InputError(path, ": 'weight_map' is missing or not an object");
  std::map<std::string, std::string> shards;
  for (const auto& [name, value] : map->items()) {
    if (!value.is_string() || !IsPlainFileName(value.get_ref<const std::string&>())) {
      return InputError(path, ": the shard of tensor ", Quoted(name), " is ", Visible(value.dump(), kShownNameBytes),
                        ", wanted the name of a file in the same folder");
    }
    shards.emplace(name, value.get<std::string>());
  }
  if (shards.empty()) return InputError(path, ": 'weight_map' names no tensor");
  return shards;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  SafetensorsFile file;
  file.path_ = path;
  HONE_RETURN_IF_ERROR(file.Add(path));
  return file;
}

absl::Status SafetensorsFile::Add(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(MappedFile content, MappedFile::Open(path));
  HONE_ASSIGN_OR_RETURN(auto tensors, ParseSafetensors(path, content.bytes()));
  for (auto& [name, tensor] : tensors) {
    const auto [place, added] = tensors_.emplace(name, Entry{std::move(tensor), files_.size()});
    if (!added) {
      return InputError(path, ": tensor ", Quoted(name), " stands in ", files_[place->second.file].path,
                        " too; two shards must not share a tensor");
    }
  }
  files_.push_back({path, std::move(content)});
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::OpenFolder(const std::string& folder) {
  const std::string single = folder + "/model.safetensors", index = folder + "/model.safetensors.index.json";
  std::error_code error;
  if (fs::exists(single, error)) return Open(single);
  if (!fs::exists(index, error)) {
    const bool pickled =
        fs::exists(folder + "/pytorch_model.bin", error) || fs::exists(folder + "/pytorch_model.bin.index.json", error);
    return InputError(
        single, ": no such file, and no model.safetensors.index.json beside it",
        pickled ? "; pytorch_model.bin is not read: save the model as safetensors (transformers: save_pretrained)"
                : "; name a model folder");
  }
  HONE_ASSIGN_OR_RETURN(const MappedFile text, MappedFile::Open(index));
  HONE_ASSIGN_OR_RETURN(const auto shard_of, ParseShardIndex(index, text.bytes()));
  SafetensorsFile file;
  file.path_ = folder;
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) HONE_RETURN_IF_ERROR(file.Add(absl::StrCat(folder, "/", shard)));
  for (const auto& [name, shard] : shard_of) {
    const auto found = file.tensors_.find(name);
    const std::string wanted = absl::StrCat(folder, "/", shard);
    if (found == file.tensors_.end() || file.files_[found->second.file].path != wanted) {
      return InputError(index, ": tensor ", Quoted(name), " is not in ", Quoted(shard),
                        " as the index says; copy the folder again");
    }
  }
  return file;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

uint64_t SafetensorsFile::data_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, entry] : tensors_) bytes += entry.tensor.bytes.size();
  return bytes;
}

const SafetensorsFile::Entry& SafetensorsFile::EntryOf(const std::string& name) const {
  const auto found = tensors_.find(name);
  HONE_CHECK(found != tensors_.end());
  return found->second;
}

void SafetensorsFile::Prefetch(const std::string& name) const {
  const Entry& entry = EntryOf(name);
  files_[entry.file].content.Prefetch(entry.tensor.bytes);
}

std::string SafetensorsFile::Where(const std::string& name) const {
  return absl::StrCat(files_[EntryOf(name).file].path, ": tensor ", Quoted(name));
}

absl::Status SafetensorsFile::CheckShape(const std::string& name, const std::vector<int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return InputError(path_, ": tensor ", Quoted(name), " is missing, the model wants it");
  }
  const std::vector<int64_t>& stored = found->second.tensor.shape;
  if (stored != shape) {
    return InputError(Where(name), " is ", ShapeText(stored), ", the model wants ", ShapeText(shape));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::Read(const std::string& name, int64_t first, int64_t count, float* values) const {
  const Entry& entry = EntryOf(name);
  const int64_t width = BytesOf(entry.tensor.type);
  const absl::string_view part = entry.tensor.bytes.substr(first * width, count * width);
  HONE_CHECK(static_cast<int64_t>(part.size()) == count * width);
  Decode(entry.tensor.type, part.data(), count, values);
  files_[entry.file].content.Release(part);
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= (std::bit_cast<uint32_t>(values[i]) & 0x7F800000) != 0x7F800000;
  if (finite) return absl::OkStatus();
  const int64_t wrong =
      std::find_if(values, values + count, [](float value) { return !std::isfinite(value); }) - values;
  return InputError(Where(name), " holds ", values[wrong], " at element ", first + wrong,
                    "; the checkpoint is damaged");
}

absl::StatusOr<std::vector<float>> SafetensorsFile::Read(const std::string& name,
                                                         const std::vector<int64_t>& shape) const {
  HONE_RETURN_IF_ERROR(CheckShape(name, shape));
  std::vector<float> values(*Elements(shape));
  HONE_RETURN_IF_ERROR(Read(name, 0, static_cast<int64_t>(values.size()), values.data()));
  return values;
}

bool SafetensorsFile::Equal(const std::string& a, const std::string& b) const {
  const StoredTensor &left = EntryOf(a).tensor, &right = EntryOf(b).tensor;
  return left.type == right.type && left.shape == right.shape && left.bytes == right.bytes;
}

}  // namespace hone
