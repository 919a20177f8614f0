#include "engine/tokenizer_sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/base/check.h"

namespace hone {
namespace {

// A field of a Protobuf message: its number, and a number or bytes. https://protobuf.dev/programming-guides/encoding
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of a length-delimited field
};

std::optional<uint64_t> ReadVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Takes the first field off `message`; nothing when it is malformed. SentencePiece itself has parsed these bytes before.
std::optional<Field> ReadField(std::string_view& message) {
  const auto tag = ReadVarint(message);
  if (!tag) return std::nullopt;
  Field field{*tag >> 3, 0, {}};
  size_t length = 0;
  switch (*tag & 7) {
    case 0: {
      const auto value = ReadVarint(message);
      if (!value) return std::nullopt;
      field.value = *value;
      return field;
    }
    case 1:
      length = 8;
      break;
    case 5:
      length = 4;
      break;
    case 2: {
      const auto announced = ReadVarint(message);
      if (!announced) return std::nullopt;
      length = *announced;
      break;
    }
    default:
      return std::nullopt;
  }
  if (length > message.size()) return std::nullopt;
  field.bytes = message.substr(0, length);
  message.remove_prefix(length);
  return field;
}

template <typename Visit>
bool ForEachField(std::string_view message, Visit visit) {
  while (!message.empty()) {
    const auto field = ReadField(message);
    if (!field) return false;
    visit(*field);
  }
  return true;
}

// Field numbers and enum values are those of sentencepiece_model.proto, which Debian does not ship.
bool ReadPiece(std::string_view message, Piece& piece) {
  constexpr std::array kKinds = {PieceKind::kNormal,      PieceKind::kUnknown, PieceKind::kControl,
                                 PieceKind::kUserDefined, PieceKind::kUnused,  PieceKind::kByte};
  bool known = true;
  const bool whole = ForEachField(message, [&](const Field& field) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2 && field.bytes.size() == sizeof(float))
      std::memcpy(&piece.score, field.bytes.data(), sizeof(float));
    if (field.number == 3) {
      known = field.value >= 1 && field.value <= kKinds.size();
      if (known) piece.kind = kKinds[field.value - 1];
    }
  });
  return whole && known;
}

bool ReadModel(std::string_view model, std::vector<Piece>& pieces, SentencePieceTraits& traits) {
  constexpr uint64_t kPiece = 1, kTrainerSpec = 2, kNormalizerSpec = 3;
  bool good = true, has_trainer_spec = false, has_normalizer_spec = false;
  const auto trainer_field = [&](const Field& field) {
    if (field.number == 3) traits.type = static_cast<SentencePieceTraits::Type>(field.value);
    if (field.number == 24) traits.treat_whitespace_as_suffix = field.value != 0;
    if (field.number == 35) traits.byte_fallback = field.value != 0;
  };
  const auto normalizer_field = [&](const Field& field) {
    if (field.number == 2) traits.has_character_map = !field.bytes.empty();
    if (field.number == 3) traits.add_dummy_prefix = field.value != 0;
    if (field.number == 4) traits.remove_extra_whitespaces = field.value != 0;
  };
  const bool whole = ForEachField(model, [&](const Field& part) {
    if (part.number == kPiece) good &= ReadPiece(part.bytes, pieces.emplace_back());
    has_trainer_spec |= part.number == kTrainerSpec;
    has_normalizer_spec |= part.number == kNormalizerSpec;
    if (part.number == kTrainerSpec) good &= ForEachField(part.bytes, trainer_field);
    if (part.number == kNormalizerSpec) good &= ForEachField(part.bytes, normalizer_field);
  });
  return whole && good && has_trainer_spec && has_normalizer_spec;  // a file cut short may parse, but ends before them
}

// SentencePiece pulls lines from here.
class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t at_ = 0;
};

}  // namespace

SentencePiece::SentencePiece() : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
SentencePiece::~SentencePiece() = default;

std::unique_ptr<SentencePiece> SentencePiece::FromBytes(const std::string& bytes) {
  std::unique_ptr<SentencePiece> model(new SentencePiece);
  if (!model->processor_->LoadFromSerializedProto(bytes).ok()) return nullptr;
  if (!ReadModel(bytes, model->pieces_, model->traits_)) return nullptr;
  return model;
}

std::vector<int32_t> SentencePiece::Encode(const std::string& text) const {
  std::vector<int> tokens;
  HONE_CHECK(processor_->Encode(text, &tokens).ok());
  return {tokens.begin(), tokens.end()};
}

std::string SentencePiece::Decode(const std::vector<int32_t>& tokens) const {
  std::string text;
  HONE_CHECK(processor_->Decode(std::vector<int>(tokens.begin(), tokens.end()), &text).ok());
  return text;
}

int32_t SentencePiece::unknown_token() const { return processor_->unk_id(); }
int32_t SentencePiece::begin_token() const { return processor_->bos_id(); }
int32_t SentencePiece::end_token() const { return processor_->eos_id(); }

std::string TrainSentencePiece(const SentencePieceTraining& training, std::string& error) {
  std::string symbols;
  for (const std::string& symbol : training.symbols) symbols += (symbols.empty() ? "" : ",") + symbol;
  std::unordered_map<std::string, std::string> options = {
      {"model_type", training.model_type},
      {"vocab_size", std::to_string(training.vocabulary_size)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", "1.0"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"unk_surface", "\xEF\xBF\xBD"},  // U+FFFD, one visible character
      {"num_threads", "1"},
      {"shuffle_input_sentence", "false"},
      {"max_sentence_length", "1000000"},
      {"minloglevel", "3"},
  };
  if (!symbols.empty()) options["user_defined_symbols"] = symbols;
  LineIterator lines(*training.lines);
  std::string bytes;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &lines, &bytes);
  error = status.ok() ? "" : status.ToString();
  return bytes;
}

}  // namespace hone
