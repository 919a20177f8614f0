// Notices texts that end an answer while its tokens are drawn, in time proportional to the text.
#pragma once

#include <string>
#include <vector>

#include "engine/base/types.h"
#include "engine/tokenizer.h"

namespace hone {

class StopText {
 public:
  // All outlive the object; none of the texts is empty.
  StopText(const Tokenizer& tokenizer, const std::vector<std::string>& stops);

  // True once the tokens' text holds one of the texts.
  bool Push(TokenId token);

 private:
  StreamDecoder decoder_;
  const std::vector<std::string>* stops_;
  size_t longest_ = 0;
  std::string tail_;  // the end of the text, in which a stop text may have begun
};

}  // namespace hone
