// The safetensors format: what is written is read, and every way to lie about it has its line. Also built with AddressSanitizer and
// UndefinedBehaviorSanitizer by tests/fuzz/fuzz_test.sh.
#include "engine/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace hone {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

void WriteBytes(const std::string& path, absl::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string WithHeader(absl::string_view header, absl::string_view data) {
  const uint64_t size = header.size();
  std::string content(sizeof(size), '\0');
  std::memcpy(content.data(), &size, sizeof(size));
  return absl::StrCat(content, header, data);
}

std::string Refusal(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_LE(status.message().size(), 400u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  return std::string(status.message());
}

std::string ParseRefusal(absl::string_view header, absl::string_view data) {
  const std::string content = WithHeader(header, data);
  return Refusal(ParseSafetensors("x.safetensors", content).status());
}

// A folder of its own, under the test's working folder.
std::string FreshFolder() {
  const std::string folder = absl::StrCat("folder_", testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

TensorToWrite Tensor(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
  return {name, std::move(shape), [values] { return values; }};
}

// ---- Numbers ----

float Decoded(StorageType type, uint16_t bits) {
  float value;
  Decode(type, reinterpret_cast<const char*>(&bits), 1, &value);
  return value;
}

uint16_t Encoded(StorageType type, float value) {
  uint16_t bits;
  Encode(type, &value, 1, reinterpret_cast<char*>(&bits));
  return bits;
}

TEST(StorageType, EveryHalfComesBack) {
  for (const StorageType type : {StorageType::kBfloat16, StorageType::kFloat16}) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const float value = Decoded(type, static_cast<uint16_t>(bits));
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(Decoded(type, Encoded(type, value))));
      } else {
        ASSERT_EQ(Encoded(type, value), bits) << NameOf(type);
      }
    }
  }
}

TEST(StorageType, Float16ByHand) {
  const auto decoded = [](uint16_t bits) { return Decoded(StorageType::kFloat16, bits); };
  EXPECT_EQ(decoded(0x3C00), 1.0f);
  EXPECT_EQ(decoded(0xC000), -2.0f);
  EXPECT_EQ(decoded(0x7BFF), 65504.0f);
  EXPECT_EQ(decoded(0x0001), std::ldexp(1.0f, -24));     // the smallest subnormal
  EXPECT_EQ(decoded(0x03FF), std::ldexp(1023.0f, -24));  // the largest subnormal
  EXPECT_EQ(decoded(0x0400), std::ldexp(1.0f, -14));     // the smallest normal
  EXPECT_TRUE(std::signbit(decoded(0x8000)));            // -0
  EXPECT_EQ(decoded(0x7C00), INFINITY);
}

TEST(StorageType, RoundsToTheNearestTiesToEven) {
  const auto half = [](float value) { return Encoded(StorageType::kFloat16, value); };
  // 10 fraction bits: between 1 and 2 numbers lie 2^-10 apart.
  EXPECT_EQ(half(1 + 0x1p-11f), 0x3C00);             // a tie goes down to the even one
  EXPECT_EQ(half(1 + 3 * 0x1p-11f), 0x3C02);         // a tie goes up to the even one
  EXPECT_EQ(half(1 + 0x1p-11f + 0x1p-20f), 0x3C01);  // just above a tie
  EXPECT_EQ(half(65519.99f), 0x7BFF);                // 65504 is the largest, 65520 the tie with 65536
  EXPECT_EQ(half(65520.0f), 0x7C00);
  EXPECT_EQ(half(1e30f), 0x7C00);
  EXPECT_EQ(half(-1e30f), 0xFC00);
  EXPECT_EQ(half(0x1p-25f), 0x0000);             // half of the smallest: a tie with 0
  EXPECT_EQ(half(0x1.8p-24f), 0x0002);           // 1.5 of the smallest: to the even one
  EXPECT_EQ(half(0x1p-14f - 0x1p-26f), 0x0400);  // the largest subnormal's upper neighbour is normal
  const auto brain = [](float value) { return Encoded(StorageType::kBfloat16, value); };
  // 7 fraction bits.
  EXPECT_EQ(brain(1 + 0x1p-8f), 0x3F80);
  EXPECT_EQ(brain(1 + 3 * 0x1p-8f), 0x3F82);
  EXPECT_EQ(brain(std::nextafter(1 + 0x1p-8f, 2.0f)), 0x3F81);
  EXPECT_EQ(brain(3.4e38f), 0x7F80);  // beyond the largest bfloat16's upper half: infinity
  EXPECT_TRUE(std::isnan(Decoded(StorageType::kBfloat16, brain(std::bit_cast<float>(0x7FFFFFFFu)))));
}

#ifdef __FLT16_MAX__
TEST(StorageType, Float16AsTheCompilerRounds) {
  // A stride that no pattern of 13 dropped bits divides.
  for (uint64_t bits = 0; bits <= 0xFFFFFFFF; bits += 4099) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(Encoded(StorageType::kFloat16, value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << value;
  }
}
#endif

// ---- Files ----

TEST(Safetensors, RoundTripOfEveryType) {
  const std::string path = FreshFolder() + "/x.safetensors";
  const std::vector<float> a = {1, -2.5, 0x1p-20f, 0, 4096, -0.0f}, b = {0.5, 3};
  for (const StorageType type : kStorageTypes) {
    ASSERT_TRUE(
        WriteSafetensors(path, {Tensor("a", {2, 3}, a), Tensor("b", {2}, b), Tensor("none", {0, 7}, {})}, type).ok());
    const auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_THAT(file->names(), ElementsAre("a", "b", "none"));
    EXPECT_EQ(file->data_bytes(), static_cast<uint64_t>(8 * BytesOf(type)));
    EXPECT_EQ(file->Read("a", {2, 3}).value(), a);
    EXPECT_EQ(file->Read("b", {2}).value(), b);
    EXPECT_TRUE(file->Read("none", {0, 7}).value().empty());
    std::vector<float> part(3);
    ASSERT_TRUE(file->Read("a", 2, 3, part.data()).ok());
    EXPECT_THAT(part, ElementsAre(0x1p-20f, 0, 4096));
  }
}

TEST(Safetensors, DataNeedsNoAlignment) {
  const float value = 1.5f;
  const absl::string_view bytes(reinterpret_cast<const char*>(&value), 4);
  for (int spaces = 0; spaces < 4; ++spaces) {
    const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})" + std::string(spaces, ' ');
    const std::string path = FreshFolder() + "/x.safetensors";
    WriteBytes(path, WithHeader(header, bytes));
    EXPECT_THAT(SafetensorsFile::Open(path)->Read("a", {1}).value(), ElementsAre(1.5f));
  }
}

TEST(Safetensors, WrongNamesAndShapes) {
  const std::string path = FreshFolder() + "/x.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {Tensor("a", {2, 3}, std::vector<float>(6))}, StorageType::kFloat32).ok());
  const auto file = SafetensorsFile::Open(path);
  EXPECT_THAT(Refusal(file->Read("b", {1}).status()), HasSubstr("tensor 'b' is missing, the model wants it"));
  EXPECT_THAT(Refusal(file->Read("a", {3, 2}).status()), HasSubstr("tensor 'a' is [2, 3], the model wants [3, 2]"));
  EXPECT_THAT(Refusal(file->Read("a", {6}).status()), HasSubstr("tensor 'a' is [2, 3], the model wants [6]"));
}

TEST(Safetensors, WhatIsNotFiniteIsNamed) {
  const std::string path = FreshFolder() + "/x.safetensors";
  const std::pair<float, const char*> wrongs[] = {{NAN, "nan"}, {INFINITY, "inf"}, {-INFINITY, "-inf"}};
  for (const StorageType type : kStorageTypes) {
    for (const auto& [wrong, text] : wrongs) {
      ASSERT_TRUE(WriteSafetensors(path, {Tensor("a", {2, 2}, {0, 1, 2, wrong})}, type).ok());
      const auto file = SafetensorsFile::Open(path);
      EXPECT_THAT(Refusal(file->Read("a", {2, 2}).status()),
                  HasSubstr(absl::StrCat("tensor 'a' holds ", text, " at element 3")));
      std::vector<float> part(2);
      EXPECT_TRUE(file->Read("a", 0, 2, part.data()).ok());
    }
  }
}

TEST(Safetensors, NoFile) {
  const std::string folder = FreshFolder();
  EXPECT_THAT(Refusal(SafetensorsFile::Open(folder + "/missing").status()),
              HasSubstr("missing: cannot read: No such file"));
  EXPECT_THAT(Refusal(SafetensorsFile::Open(folder).status()), HasSubstr("is a folder"));
  EXPECT_THAT(Refusal(SafetensorsFile::Open("/dev/zero").status()), HasSubstr("/dev/zero: is a folder or a device"));
  WriteBytes(folder + "/empty", "");
  EXPECT_THAT(Refusal(SafetensorsFile::Open(folder + "/empty").status()), HasSubstr("0 bytes are too few"));
}

// ---- Hostile headers ----

TEST(SafetensorsHeader, EveryCutIsRefused) {
  const std::string path = FreshFolder() + "/x.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {Tensor("a", {2, 3}, std::vector<float>(6, 1.0f))}, StorageType::kFloat32).ok());
  std::string content(fs::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(content.data(), static_cast<std::streamsize>(content.size()));
  ASSERT_TRUE(ParseSafetensors("x", content).ok());
  for (size_t size = 0; size < content.size(); ++size) {
    // A heap block of its exact size, for AddressSanitizer.
    const std::vector<char> cut(content.begin(), content.begin() + size);
    Refusal(ParseSafetensors("x", {cut.data(), cut.size()}).status());
  }
  EXPECT_THAT(Refusal(ParseSafetensors("x", content + "!").status()),
              HasSubstr("bytes 24 to 25 of the data belong to no tensor"));
}

TEST(SafetensorsHeader, Sizes) {
  for (const uint64_t size : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{100'000'001}, uint64_t{3}}) {
    std::string content(10, '{');
    std::memcpy(content.data(), &size, sizeof(size));
    EXPECT_THAT(Refusal(ParseSafetensors("x", content).status()),
                HasSubstr(absl::StrCat("header of ", size, " bytes in a file of 10 bytes")));
  }
}

TEST(SafetensorsHeader, NotTheFormat) {
  EXPECT_THAT(ParseRefusal("", ""), HasSubstr("the header is not a JSON object"));
  EXPECT_THAT(ParseRefusal("[1]", ""), HasSubstr("the header is not a JSON object"));
  EXPECT_THAT(ParseRefusal("{\"a\":", ""), HasSubstr("the header is not a JSON object"));
  EXPECT_THAT(ParseRefusal("{\"\xff\":{}}", ""), HasSubstr("the header is not a JSON object"));
  EXPECT_THAT(ParseRefusal(std::string(1'000'000, '['), ""), HasSubstr("nests too deep"));
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(ParseRefusal(objects, ""), HasSubstr("nests too deep"));
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 4'000'000; ++i) many += ",0";
  EXPECT_THAT(ParseRefusal(many + "]}", ""), HasSubstr("holds more than 4000000 values"));
}

// One tensor 'a' of this dtype, shape and offsets before 8 bytes of data.
std::string OneTensor(absl::string_view dtype, absl::string_view shape, absl::string_view offsets) {
  return ParseRefusal(
      absl::StrCat(R"({"a":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, "}}"),
      "01234567");
}

TEST(SafetensorsHeader, OneTensor) {
  const std::string f32 = R"("F32")";
  EXPECT_THAT(OneTensor(f32, "[2]", "[0,16]"), HasSubstr("tensor 'a': bytes 0 to 16 lie outside the 8 bytes of data"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[0,18446744073709551615]"), HasSubstr("lie outside"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[18446744073709551608,8]"), HasSubstr("lie outside"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[8,0]"), HasSubstr("lie outside"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[-8,0]"), HasSubstr("an offset is not a whole number"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[0,18446744073709551616]"), HasSubstr("an offset is not a whole number"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[0,8.0]"), HasSubstr("an offset is not a whole number"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[0]"), HasSubstr("missing or of the wrong kind"));
  EXPECT_THAT(OneTensor(f32, "[2]", "[0,8,8]"), HasSubstr("missing or of the wrong kind"));
  EXPECT_THAT(OneTensor(f32, "2", "[0,8]"), HasSubstr("missing or of the wrong kind"));
  EXPECT_THAT(OneTensor("7", "[2]", "[0,8]"), HasSubstr("missing or of the wrong kind"));
  EXPECT_THAT(OneTensor(f32, "[3]", "[0,8]"), HasSubstr("shape [3] does not fit its 8 bytes"));
  EXPECT_THAT(OneTensor(f32, "[-2]", "[0,8]"), HasSubstr("a size in its shape is wrong"));
  EXPECT_THAT(OneTensor(f32, "[9223372036854775808]", "[0,8]"), HasSubstr("a size in its shape is wrong"));
  // 2^62 * 8 and 2^62 * 4 bytes leave 64 bits, to 0 if they wrapped around.
  EXPECT_THAT(OneTensor(f32, "[4611686018427387904,8]", "[0,0]"), HasSubstr("does not fit its 0 bytes"));
  EXPECT_THAT(OneTensor(f32, "[4611686018427387904]", "[0,0]"), HasSubstr("does not fit its 0 bytes"));
  for (const char* dtype : {"I64", "F64", "F8_E4M3", "f32", ""}) {
    EXPECT_THAT(OneTensor(absl::StrCat("\"", dtype, "\""), "[2]", "[0,8]"),
                HasSubstr(absl::StrCat("tensor 'a': dtype '", dtype, "' is not supported; have: F32, BF16, F16")));
  }
}

std::string Entry(absl::string_view name, int64_t begin, int64_t end) {
  return absl::StrCat("\"", name, R"(":{"dtype":"F32","shape":[)", (end - begin) / 4, R"(],"data_offsets":[)", begin,
                      ",", end, "]}");
}

TEST(SafetensorsHeader, TensorsAmongThemselves) {
  const std::string data(16, '\0');
  const auto two = [&](const std::string& a, const std::string& b) {
    return ParseRefusal("{" + a + "," + b + "}", data);
  };
  EXPECT_THAT(two(Entry("a", 0, 8), Entry("b", 4, 16)), HasSubstr("two tensors overlap at byte 4"));
  EXPECT_THAT(two(Entry("a", 0, 16), Entry("b", 0, 16)), HasSubstr("two tensors overlap at byte 0"));
  EXPECT_THAT(two(Entry("a", 0, 4), Entry("b", 8, 16)), HasSubstr("bytes 4 to 8 of the data belong to no tensor"));
  EXPECT_THAT(two(Entry("a", 4, 8), Entry("b", 8, 16)), HasSubstr("bytes 0 to 4 of the data belong to no tensor"));
  EXPECT_THAT(two(Entry("a", 0, 4), Entry("b", 4, 12)), HasSubstr("bytes 12 to 16 of the data belong to no tensor"));
  EXPECT_THAT(two(Entry("a", 0, 8), Entry("a", 8, 16)), HasSubstr("'a' stands twice in the header"));
  EXPECT_THAT(ParseRefusal(R"({"a":{"dtype":"F32","dtype":"F16","shape":[4],"data_offsets":[0,16]}})", data),
              HasSubstr("'dtype' stands twice in the header"));
}

TEST(SafetensorsHeader, NamesCannotSpoilTheMessage) {
  const std::string name = "\\n\\u0007" + std::string(100'000, 'n');
  const std::string line = ParseRefusal("{" + Entry(name, 0, 4) + "}", "");
  EXPECT_THAT(line, HasSubstr("tensor '\\n\\x07nnn"));
  std::string shape = "[1";
  for (int i = 0; i < 10'000; ++i) shape += ",1";
  EXPECT_THAT(OneTensor(R"("F32")", shape + "]", "[0,8]"), HasSubstr("shape [1, 1"));
}

// ---- Shards ----

constexpr char kIndex[] = "/model.safetensors.index.json";

std::string FolderRefusal(const std::string& folder, const std::string& weight_map) {
  WriteBytes(folder + kIndex, R"({"metadata":{"total_size":8},"weight_map":)" + weight_map + "}");
  return Refusal(SafetensorsFile::OpenFolder(folder).status());
}

TEST(SafetensorsShards, TensorsOfAllShards) {
  const std::string folder = FreshFolder();
  ASSERT_TRUE(WriteSafetensors(folder + "/one.safetensors", {Tensor("a", {2}, {1, 2})}, StorageType::kFloat32).ok());
  ASSERT_TRUE(WriteSafetensors(folder + "/two.safetensors", {Tensor("b", {1}, {3}), Tensor("c", {1}, {4})},
                               StorageType::kBfloat16)
                  .ok());
  WriteBytes(
      folder + kIndex,
      R"({"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})");
  const auto file = SafetensorsFile::OpenFolder(folder);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(file->Read("a", {2}).value(), ElementsAre(1, 2));
  EXPECT_THAT(file->Read("c", {1}).value(), ElementsAre(4));
  EXPECT_EQ(file->Where("b"), folder + "/two.safetensors: tensor 'b'");
  // A single file goes before an index, as in transformers.
  ASSERT_TRUE(WriteSafetensors(folder + "/model.safetensors", {Tensor("d", {1}, {5})}, StorageType::kFloat32).ok());
  EXPECT_THAT(SafetensorsFile::OpenFolder(folder)->names(), ElementsAre("d"));
}

TEST(SafetensorsShards, LyingIndex) {
  const std::string folder = FreshFolder();
  ASSERT_TRUE(WriteSafetensors(folder + "/one", {Tensor("a", {1}, {1})}, StorageType::kFloat32).ok());
  ASSERT_TRUE(
      WriteSafetensors(folder + "/two", {Tensor("a", {1}, {2}), Tensor("b", {1}, {2})}, StorageType::kFloat32).ok());
  EXPECT_THAT(FolderRefusal(folder, R"({"a":"three"})"), HasSubstr("/three: cannot read: No such file"));
  EXPECT_THAT(FolderRefusal(folder, R"({"b":"one"})"), HasSubstr("tensor 'b' is not in 'one' as the index says"));
  EXPECT_THAT(FolderRefusal(folder, R"({"a":"one","b":"two"})"), HasSubstr("two: tensor 'a' stands in"));
  for (const char* outside : {"../one", "/etc/passwd", "sub/one", "..", ".", "", ".hidden", "one\\u0000"}) {
    EXPECT_THAT(FolderRefusal(folder, absl::StrCat(R"({"a":")", outside, R"("})")),
                HasSubstr("wanted the name of a file in the same folder"));
  }
  EXPECT_THAT(FolderRefusal(folder, R"({"a":7})"),
              HasSubstr("the shard of tensor 'a' is 7, wanted the name of a file"));
  EXPECT_THAT(FolderRefusal(folder, R"({"a":"one","a":"two"})"), HasSubstr("'a' stands twice in the index"));
  EXPECT_THAT(FolderRefusal(folder, "{}"), HasSubstr("names no tensor"));
  EXPECT_THAT(FolderRefusal(folder, "[]"), HasSubstr("'weight_map' is missing or not an object"));
  EXPECT_THAT(FolderRefusal(folder, R"({"a":[[[[1]]]]})"), HasSubstr("is [[[[1]]]], wanted"));
}

TEST(SafetensorsShards, NeitherFileNorIndex) {
  const std::string folder = FreshFolder();
  EXPECT_THAT(Refusal(SafetensorsFile::OpenFolder(folder).status()),
              HasSubstr("no model.safetensors.index.json beside it; name a model folder"));
  WriteBytes(folder + "/pytorch_model.bin", "x");
  EXPECT_THAT(Refusal(SafetensorsFile::OpenFolder(folder).status()), HasSubstr("pytorch_model.bin is not read"));
}

// ---- Mapping ----

TEST(MappedFile, KeepsTheOldFileWhenANewOneIsRenamedOverIt) {
  const std::string path = FreshFolder() + "/file";
  const std::string old(100'000, 'o');
  WriteBytes(path, old);
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  WriteBytes(path + ".new", "new");
  fs::rename(path + ".new", path);
  EXPECT_EQ(file->bytes(), old);
  // Released pages come back.
  file->Release(file->bytes().substr(5000, 50'000));
  EXPECT_EQ(file->bytes(), old);
  const absl::string_view bytes = file->bytes();
  const MappedFile moved = *std::move(file);
  EXPECT_EQ(moved.bytes().data(), bytes.data());
  EXPECT_EQ(moved.bytes(), old);
}

}  // namespace
}  // namespace hone
