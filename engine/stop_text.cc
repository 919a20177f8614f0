#include "engine/stop_text.h"

#include <algorithm>

namespace hone {

StopText::StopText(const Tokenizer& tokenizer, const std::vector<std::string>& stops)
    : decoder_(tokenizer.texts()), stops_(&stops) {
  for (const std::string& stop : stops) longest_ = std::max(longest_, stop.size());
}

bool StopText::Push(TokenId token) {
  decoder_.Push(token, tail_);
  for (const std::string& stop : *stops_) {
    if (tail_.find(stop) != std::string::npos) return true;
  }
  if (longest_ > 0 && tail_.size() >= longest_) tail_.erase(0, tail_.size() - (longest_ - 1));
  return false;
}

}  // namespace hone
