// What earlier rollouts said: the same prompts return every epoch, and the samples of a group share text. After each context
// (the whole answer so far; its last tokens, under the same prompt; its last tokens, anywhere in the run) it counts which
// tokens came next, as a suffix tree over all rollouts does whose nodes are found by hashes. The longest context that is
// known proposes the next token, drawn from its counts with the very random number that plain decoding will use: two
// distributions that are alike then mostly draw the same token.
#include <algorithm>
#include <array>

#include "absl/container/flat_hash_map.h"
#include "engine/drafter.h"

namespace hone {
namespace {

// Context lengths in tokens, longest first. kWhole: from the answer's beginning.
constexpr int32_t kWhole = 1 << 30;
struct Order {
  int32_t length;
  enum { kSamePrompt, kAnyPrompt } scope;
};
constexpr Order kOrders[] = {{kWhole, Order::kSamePrompt}, {4, Order::kSamePrompt}, {6, Order::kAnyPrompt}};
constexpr int kOrderCount = std::size(kOrders);

// What came next in one context. Newer rollouts count more: the policy moves. A node holds the likeliest few tokens.
struct Node {
  static constexpr int kTokens = 4;
  static constexpr uint16_t kMost = 64;
  std::array<TokenId, kTokens> tokens;
  std::array<uint16_t, kTokens> counts{};

  void Add(TokenId token) {
    for (int i = 0; i < kTokens; ++i) {
      if (counts[i] == 0 || tokens[i] == token) {
        tokens[i] = token;
        if (++counts[i] >= kMost) Halve();
        return;
      }
    }
    // Full: the rarest makes room, once it has been outvoted.
    const auto rarest = std::min_element(counts.begin(), counts.end()) - counts.begin();
    if (--counts[rarest] == 0) tokens[rarest] = token, counts[rarest] = 1;
  }

  void Halve() {
    for (uint16_t& count : counts) count /= 2;
    for (int i = 0; i < kTokens; ++i) {  // no gaps
      for (int j = i + 1; j < kTokens && counts[i] == 0; ++j) {
        std::swap(tokens[i], tokens[j]);
        std::swap(counts[i], counts[j]);
      }
    }
  }

  int Total() const { return counts[0] + counts[1] + counts[2] + counts[3]; }
};

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

// Nodes by the hash of their context, at most two generations of `most` / 2: where the young one is full the old one is
// forgotten, and what is used in the old one becomes young again.
class Nodes {
 public:
  explicit Nodes(size_t most) : half_(std::max<size_t>(1, most / 2)) {}

  const Node* Find(uint64_t key) const {
    if (const auto young = young_.find(key); young != young_.end()) return &young->second;
    const auto old = old_.find(key);
    return old == old_.end() ? nullptr : &old->second;
  }

  void Add(uint64_t key, TokenId token) {
    if (young_.size() >= half_) {
      std::swap(old_, young_);
      young_.clear();
    }
    const auto [entry, is_new] = young_.try_emplace(key);
    if (is_new) {
      if (const auto old = old_.find(key); old != old_.end()) entry->second = old->second;
    }
    entry->second.Add(token);
  }

 private:
  size_t half_;
  absl::flat_hash_map<uint64_t, Node> young_, old_;
};

class HistoryDrafter : public Drafter {
 public:
  HistoryDrafter(int32_t max_tokens, int64_t memory_mb)
      : max_tokens_(max_tokens), nodes_((memory_mb << 20) / kNodeBytes) {}

  void Begin(const kernels::SamplingFilter& filter) override { greedy_ = filter.temperature <= 0; }

  void Propose(std::span<DraftRequest*> requests) override {
    for (DraftRequest* request : requests) ProposeOne(*request);
  }

  void Learn(const Prompt& prompt, const Sample& sample) override {
    uint64_t whole = PromptHash(prompt);
    for (size_t i = 0; i < sample.tokens.size(); ++i) {
      for (int order = 0; order < kOrderCount; ++order) {
        if (const uint64_t key = ContextKey(order, prompt, whole, {sample.tokens.data(), i}); key != 0)
          nodes_.Add(key, sample.tokens[i]);
      }
      whole = Mix(whole, sample.tokens[i]);
    }
  }

 private:
  // A hash map's entry and its share of free places.
  static constexpr int64_t kNodeBytes = 2 * static_cast<int64_t>(sizeof(uint64_t) + sizeof(Node));

  static uint64_t PromptHash(const Prompt& prompt) {
    uint64_t hash = Mix(1, prompt.tokens.size());
    for (const TokenId token : prompt.tokens) hash = Mix(hash, token);
    return hash;
  }

  // 0: the answer is too short for this order.
  static uint64_t ContextKey(int order, const Prompt& prompt, uint64_t whole, std::span<const TokenId> answer) {
    const auto [length, scope] = kOrders[order];
    if (length == kWhole) return Mix(whole, 1);
    if (static_cast<int32_t>(answer.size()) < length) return 0;
    uint64_t hash = scope == Order::kSamePrompt ? Mix(2, prompt.key) : 3;
    hash = Mix(hash, length);
    for (const TokenId token : answer.last(length)) hash = Mix(hash, token);
    return hash;
  }

  void ProposeOne(DraftRequest& request) {
    answer_ = *request.tokens;
    uint64_t whole = PromptHash(*request.prompt);
    for (const TokenId token : answer_) whole = Mix(whole, token);
    const int32_t count = std::min(max_tokens_, request.most);
    for (int32_t i = 0; i < count; ++i) {
      const Node* node = nullptr;
      for (int order = 0; order < kOrderCount && node == nullptr; ++order) {
        const uint64_t key = ContextKey(order, *request.prompt, whole, answer_);
        if (key != 0) node = nodes_.Find(key);
      }
      if (node == nullptr) return;
      request.draft.push_back(Draw(*node, SamplingUniform(request.key, static_cast<uint32_t>(answer_.size()))));
      answer_.push_back(request.draft.back().token);
      whole = Mix(whole, answer_.back());
    }
  }

  DraftedToken Draw(const Node& node, double uniform) const {
    const int total = node.Total();
    int best = 0;
    if (greedy_) {
      for (int i = 1; i < Node::kTokens; ++i) best = node.counts[i] > node.counts[best] ? i : best;
    } else {
      // In the order of token numbers, as the sampler inverts its distribution.
      std::array<int, Node::kTokens> order{0, 1, 2, 3};
      std::sort(order.begin(), order.end(), [&](int a, int b) { return node.tokens[a] < node.tokens[b]; });
      double goal = uniform * total;
      for (const int i : order) {
        if (node.counts[i] == 0) continue;
        best = i;
        if ((goal -= node.counts[i]) < 0) break;
      }
    }
    // One more that was never seen: a context met once is no certainty.
    return {node.tokens[best], static_cast<float>(node.counts[best]) / static_cast<float>(total + 1)};
  }

  const int32_t max_tokens_;
  bool greedy_ = false;
  Nodes nodes_;
  std::vector<TokenId> answer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Drafter>> NewHistoryDrafter(Spec& spec) {
  // 8: by then the product of their chances has mostly fallen below what a row of a pass costs.
  const auto max_tokens = static_cast<int32_t>(spec.Int("max_tokens", 8, 1, 64));
  // About 300,000 rollout tokens in three contexts each.
  const int64_t memory_mb = spec.Int("memory_mb", 64, 1, 1 << 20);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<HistoryDrafter>(max_tokens, memory_mb);
}

}  // namespace hone
