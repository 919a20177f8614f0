// What a model reads of a prompt, and of an answer it learns from: the one rule for every command, task and stage.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/chat_template.h"
#include "engine/tokenizer.h"

namespace hone {

// Not thread-safe.
class PromptEncoder {
 public:
  enum class Texts { kAsTheyAre, kAsUserMessages };
  // The chat template of the model in `folder` is read when it is first needed. `tokenizer` outlives the encoder.
  PromptEncoder(const Tokenizer* tokenizer, std::string folder, Texts texts = Texts::kAsTheyAre)
      : tokenizer_(tokenizer), folder_(std::move(folder)), texts_(texts) {}

  // Fills text and tokens, once for a prompt, from what it was given as:
  //   a text         its tokens, the begin token in front; with kAsUserMessages it is a conversation of that one message
  //   a conversation the chat template's text, and the tokens of that: a template writes the begin token itself, if the model wants one
  //   tokens         as they are; the text is what they decode to, without special tokens
  // Input errors begin with prompt.where: no chat template, a conversation it refuses, tokens that the model does not have, none at all.
  absl::Status Encode(Prompt& prompt);
  // The text's tokens and the end token. Input errors: the tokenizer has no end token, tokens that the model does not have.
  absl::StatusOr<std::vector<TokenId>> EncodeAnswer(absl::string_view text);
  // An input error names the first token without a row in the model's embedding (config.json's vocab_size; where `folder` has none, a
  // token for each row). A model with more rows than tokens takes all of them.
  absl::Status CheckTokens(const std::vector<TokenId>& tokens);

 private:
  absl::Status EncodeText(Prompt& prompt);
  absl::Status TakeTokens(Prompt& prompt);
  absl::Status Render(Prompt& prompt);

  const Tokenizer* tokenizer_;
  std::string folder_;
  Texts texts_;
  std::optional<ChatTemplate> chat_template_;
  int32_t rows_ = 0;  // of the embedding; 0: not read yet
};

}  // namespace hone
