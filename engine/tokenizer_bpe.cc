#include "engine/tokenizer_bpe.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <queue>
#include <tuple>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_format.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();
// Up to so many symbols a scan for the best pair is faster than a queue.
constexpr size_t kFewSymbols = 64;

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// The number of a character of one or two bytes, else 0x800.
size_t ShortCharacter(absl::string_view character) {
  const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(character[at])); };
  if (character.size() == 1 && byte(0) < 0x80) return byte(0);
  if (character.size() == 2 && byte(0) >= 0x80) return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  return 0x800;
}

std::string Quoted(absl::string_view text) { return absl::StrCat("'", Visible(text, 60), "'"); }

}  // namespace

// Tokens of words met before; most words of a text are. Shards, so that threads seldom wait for each other; full ones stay as they are.
class BpeModel::Cache {
 public:
  static constexpr size_t kMostBytes = 128;  // of a word

  bool Find(absl::string_view word, std::vector<TokenId>& tokens) {
    Shard& shard = ShardOf(word);
    const std::lock_guard<std::mutex> lock(shard.mutex);
    const auto found = shard.words.find(word);
    if (found == shard.words.end()) return false;
    tokens.insert(tokens.end(), found->second.begin(), found->second.end());
    return true;
  }

  void Insert(absl::string_view word, const TokenId* tokens, size_t count) {
    Shard& shard = ShardOf(word);
    const std::lock_guard<std::mutex> lock(shard.mutex);
    if (shard.words.size() < kMostWords) shard.words.try_emplace(std::string(word), tokens, tokens + count);
  }

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kMostWords = 4096;

  struct Shard {
    std::mutex mutex;
    absl::flat_hash_map<std::string, absl::InlinedVector<TokenId, 4>> words;  // guarded by mutex
  };

  Shard& ShardOf(absl::string_view word) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(word[at]); };
    return shards_[(byte(word.size() - 1) + 3 * byte(word.size() / 2) + 5 * word.size()) % kShards];
  }

  Shard shards_[kShards];
};

// Reused by all calls of a thread.
struct BpeModel::Scratch {
  struct Link {
    int32_t before;
    int32_t after;  // -1: none
  };

  std::vector<TokenId> symbols;  // -1: joined to its left neighbour
  std::vector<Merge> pairs;      // pairs[i] joins symbols i and i + 1
  std::vector<Link> links;
};

BpeModel::BpeModel() : cache_(std::make_unique<Cache>()) {
  short_characters_.fill(-1);
  bytes_.fill(-1);
}

BpeModel::~BpeModel() = default;

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::New(
    const std::vector<std::pair<absl::string_view, int64_t>>& vocabulary,
    const std::vector<std::pair<absl::string_view, absl::string_view>>& merges, const BpeOptions& options) {
  std::unique_ptr<BpeModel> model(new BpeModel);
  model->options_ = options;
  HONE_RETURN_IF_ERROR(model->AddVocabulary(vocabulary));
  HONE_RETURN_IF_ERROR(model->AddMerges(merges));
  if (!options.unknown_token.empty()) {
    model->unknown_ = model->Find(options.unknown_token);
    if (model->unknown_ < 0) return InputError("the vocabulary lacks 'unk_token' ", Quoted(options.unknown_token));
  }
  return model;
}

absl::Status BpeModel::AddVocabulary(const std::vector<std::pair<absl::string_view, int64_t>>& vocabulary) {
  if (vocabulary.empty()) return InputError("'vocab' is empty");
  int64_t size = 0;
  for (const auto& [text, id] : vocabulary) {
    if (id < 0 || id >= kMostTokens)
      return InputError("token ", Quoted(text), " has id ", id, ", wanted 0 to ", kMostTokens - 1);
    size = std::max(size, id + 1);
  }
  std::vector<const absl::string_view*> by_id(size);
  for (const auto& [text, id] : vocabulary) {
    if (by_id[id] != nullptr)
      return InputError("tokens ", Quoted(*by_id[id]), " and ", Quoted(text), " have the same id ", id);
    by_id[id] = &text;
  }
  for (const absl::string_view* text : by_id) texts_.Append(text == nullptr ? absl::string_view() : *text);

  ids_.reserve(vocabulary.size());
  for (int64_t id = 0; id < size; ++id) {
    if (by_id[id] == nullptr) continue;
    const absl::string_view text = texts_[id];
    ids_.try_emplace(text, static_cast<TokenId>(id));
    if (!text.empty() && ShortCharacter(text) < short_characters_.size())
      short_characters_[ShortCharacter(text)] = static_cast<TokenId>(id);
  }
  for (int byte = 0; byte < 256; ++byte) bytes_[byte] = Find(absl::StrFormat("<0x%02X>", byte));
  return absl::OkStatus();
}

absl::Status BpeModel::AddMerges(const std::vector<std::pair<absl::string_view, absl::string_view>>& merges) {
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const std::string joined = absl::StrCat(left, right);
    for (const absl::string_view text : {left, right, absl::string_view(joined)}) {
      if (Find(text) < 0)
        return InputError("merge ", rank, " joins ", Quoted(left), " and ", Quoted(right), "; the vocabulary lacks ",
                          Quoted(text));
    }
    merges_.insert_or_assign(PairKey(Find(left), Find(right)), Merge{static_cast<uint32_t>(rank), Find(joined)});
  }
  return absl::OkStatus();
}

TokenId BpeModel::Find(absl::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? -1 : found->second;
}

const BpeModel::Merge* BpeModel::FindMerge(TokenId left, TokenId right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

TokenId BpeModel::FindCharacter(absl::string_view character) const {
  const size_t number = ShortCharacter(character);
  return number < short_characters_.size() ? short_characters_[number] : Find(character);
}

// All bytes or none.
bool BpeModel::AppendBytes(absl::string_view character, std::vector<TokenId>& symbols) const {
  const auto token = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char byte) { return token(byte) < 0; })) return false;
  for (const char byte : character) symbols.push_back(token(byte));
  return true;
}

// An unknown token waits for the next known character, so one that bytes follow stands behind them: so do the tokenizers.
void BpeModel::Split(absl::string_view word, std::vector<TokenId>& symbols) const {
  bool unknown_waits = false;
  for (size_t at = 0; at < word.size();) {
    const absl::string_view character = word.substr(at, ReadUtf8(word, at).bytes);
    at += character.size();
    if (const TokenId token = FindCharacter(character); token >= 0) {
      if (unknown_waits) symbols.push_back(unknown_);
      unknown_waits = false;
      symbols.push_back(token);
      continue;
    }
    if (options_.byte_fallback && AppendBytes(character, symbols)) continue;
    if (unknown_ < 0) continue;
    if (unknown_waits && !options_.fuse_unknown) symbols.push_back(unknown_);
    unknown_waits = true;
  }
  if (unknown_waits) symbols.push_back(unknown_);
}

void BpeModel::JoinFew(Scratch& scratch) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  std::vector<Merge>& pairs = scratch.pairs;
  const auto pair_at = [&](size_t at) {
    const Merge* merge = FindMerge(symbols[at], symbols[at + 1]);
    return merge == nullptr ? Merge{kNoMerge, -1} : *merge;
  };
  pairs.clear();
  for (size_t at = 0; at + 1 < symbols.size(); ++at) pairs.push_back(pair_at(at));
  while (!pairs.empty()) {
    const auto best =
        std::min_element(pairs.begin(), pairs.end(), [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (best->rank == kNoMerge) return;
    const auto at = static_cast<size_t>(best - pairs.begin());
    symbols[at] = best->joined;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs.erase(best);
    if (at < pairs.size()) pairs[at] = pair_at(at);
    if (at > 0) pairs[at - 1] = pair_at(at - 1);
  }
}

// The same with a queue and links: a word of 100 KB takes n log n steps.
void BpeModel::JoinMany(Scratch& scratch) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  auto& links = scratch.links;
  const auto count = static_cast<int32_t>(symbols.size());
  links.resize(symbols.size());
  // Rank, place of the left symbol, both symbols: an entry whose symbols are no longer there is out of date.
  using Entry = std::tuple<uint32_t, int32_t, TokenId, TokenId>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto push = [&](int32_t left) {
    const int32_t right = left < 0 ? -1 : links[left].after;
    if (right < 0) return;
    if (const Merge* merge = FindMerge(symbols[left], symbols[right]))
      queue.emplace(merge->rank, left, symbols[left], symbols[right]);
  };
  for (int32_t at = 0; at < count; ++at) links[at] = {at - 1, at + 1 < count ? at + 1 : -1};
  for (int32_t at = 0; at < count; ++at) push(at);
  while (!queue.empty()) {
    const auto [rank, left, left_symbol, right_symbol] = queue.top();
    queue.pop();
    const int32_t right = links[left].after;
    if (symbols[left] != left_symbol || right < 0 || symbols[right] != right_symbol) continue;
    symbols[left] = FindMerge(left_symbol, right_symbol)->joined;
    symbols[right] = -1;
    links[left].after = links[right].after;
    if (links[left].after >= 0) links[links[left].after].before = left;
    push(links[left].before);
    push(left);
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), -1), symbols.end());
}

void BpeModel::Encode(absl::string_view word, std::vector<TokenId>& tokens) const {
  if (word.empty()) return;
  if (options_.ignore_merges) {
    if (const TokenId token = Find(word); token >= 0) {
      tokens.push_back(token);
      return;
    }
  }
  const bool cached = word.size() <= Cache::kMostBytes;
  if (cached && cache_->Find(word, tokens)) return;
  thread_local Scratch scratch;
  scratch.symbols.clear();
  Split(word, scratch.symbols);
  if (scratch.symbols.size() <= kFewSymbols) {
    JoinFew(scratch);
  } else {
    JoinMany(scratch);
  }
  tokens.insert(tokens.end(), scratch.symbols.begin(), scratch.symbols.end());
  if (cached) cache_->Insert(word, scratch.symbols.data(), scratch.symbols.size());
}

}  // namespace hone
