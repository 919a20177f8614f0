// The door to SentencePiece, in std types only: Debian's sentencepiece_processor.h puts a string_view of its own into namespace
// absl, so no file can see it and Abseil.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}  // namespace sentencepiece

namespace hone {

enum class PieceKind { kNormal, kUnknown, kControl, kUserDefined, kByte, kUnused };

// One entry of the vocabulary; its token is its place.
struct Piece {
  std::string text;  // with U+2581 for a space
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

// What a model's file says about itself, beside its pieces.
struct SentencePieceTraits {
  enum class Type { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

  Type type = Type::kUnigram;
  bool byte_fallback = false;
  bool has_character_map = false;  // rules that rewrite characters, such as nmt_nfkc
  bool add_dummy_prefix = true;    // a space is put in front of a text
  bool remove_extra_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
};

// Thread-safe after construction.
class SentencePiece {
 public:
  ~SentencePiece();
  SentencePiece(const SentencePiece&) = delete;

  // From the bytes of a tokenizer.model; null when they are none, or not all of one.
  static std::unique_ptr<SentencePiece> FromBytes(const std::string& bytes);

  // UTF-8 text; runs of characters outside the vocabulary become one unknown token.
  std::vector<int32_t> Encode(const std::string& text) const;
  // Tokens of the vocabulary; control tokens vanish, the unknown token shows as the model's unk_surface.
  std::string Decode(const std::vector<int32_t>& tokens) const;

  const std::vector<Piece>& pieces() const { return pieces_; }
  const SentencePieceTraits& traits() const { return traits_; }
  int32_t unknown_token() const;
  int32_t begin_token() const;  // -1: the model has none; so the next
  int32_t end_token() const;

 private:
  SentencePiece();

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::vector<Piece> pieces_;
  SentencePieceTraits traits_;
};

struct SentencePieceTraining {
  std::string model_type;            // "char", "bpe" or "unigram"
  int32_t vocabulary_size = 0;       // at most
  std::vector<std::string> symbols;  // texts that are one token each wherever they stand, leftmost and longest first
  const std::vector<std::string>* lines = nullptr;
};

// The bytes of a tokenizer.model: <unk> 0, <s> 1, </s> 2, then symbols and pieces. Text is taken as it is: no normalisation, no space
// in front, no space removed. One thread, no sampling: a function of its arguments. `error` is empty when it worked.
std::string TrainSentencePiece(const SentencePieceTraining& training, std::string& error);

}  // namespace hone
