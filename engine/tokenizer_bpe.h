// Byte-pair encoding (https://arxiv.org/abs/1508.07909) of one word, as the BPE model of Hugging Face's tokenizers does it: characters
// become tokens, then again and again the neighbours that come first in the list of merges are joined, the leftmost of equals first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/stream_decoder.h"

namespace hone {

// Ids of a vocabulary are below this: it bounds the memory that a hostile file can ask for. The largest in use have 262144.
inline constexpr int64_t kMostTokens = int64_t{1} << 22;

struct BpeOptions {
  std::string unknown_token;   // stands for a character outside the vocabulary; empty: such characters vanish
  bool fuse_unknown = false;   // a run of them is one token
  bool byte_fallback = false;  // before that: tokens "<0x00>" .. "<0xFF>" for its bytes, if the vocabulary has them
  bool ignore_merges = false;  // a word of the vocabulary is one token, whatever the merges say
};

// Thread-safe after construction.
class BpeModel {
 public:
  ~BpeModel();
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  // `vocabulary` in any order; `merges` first to last, pairs of its texts whose union is one of its texts. The views must live until
  // this returns. An input error names the entry that is wrong, without naming the file.
  static absl::StatusOr<std::unique_ptr<BpeModel>> New(
      const std::vector<std::pair<absl::string_view, int64_t>>& vocabulary,
      const std::vector<std::pair<absl::string_view, absl::string_view>>& merges, const BpeOptions& options);

  // Appends the tokens of `word`, which is UTF-8.
  void Encode(absl::string_view word, std::vector<TokenId>& tokens) const;

  TokenId Find(absl::string_view text) const;  // -1: not in the vocabulary
  size_t count() const { return ids_.size(); }
  // By id; empty where no token has the id.
  const TextTable& texts() const { return texts_; }
  TokenId unknown_token() const { return unknown_; }

 private:
  struct Merge {
    uint32_t rank;
    TokenId joined;
  };
  struct Scratch;
  class Cache;

  BpeModel();

  absl::Status AddVocabulary(const std::vector<std::pair<absl::string_view, int64_t>>& vocabulary);
  absl::Status AddMerges(const std::vector<std::pair<absl::string_view, absl::string_view>>& merges);
  const Merge* FindMerge(TokenId left, TokenId right) const;
  TokenId FindCharacter(absl::string_view character) const;
  bool AppendBytes(absl::string_view character, std::vector<TokenId>& symbols) const;
  void Split(absl::string_view word, std::vector<TokenId>& symbols) const;
  void JoinFew(Scratch& scratch) const;
  void JoinMany(Scratch& scratch) const;

  BpeOptions options_;
  TokenId unknown_ = -1;
  TextTable texts_;
  absl::flat_hash_map<absl::string_view, TokenId> ids_;  // keys lie in texts_
  absl::flat_hash_map<uint64_t, Merge> merges_;          // of left << 32 | right
  std::array<TokenId, 0x800> short_characters_;          // of U+0000 .. U+07FF, one or two bytes each
  std::array<TokenId, 256> bytes_;                       // -1: no such token
  std::unique_ptr<Cache> cache_;
};

}  // namespace hone
