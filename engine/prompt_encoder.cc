#include "engine/prompt_encoder.h"

#include "engine/model_config.h"

namespace hone {

absl::Status PromptEncoder::Encode(Prompt& prompt) {
  const absl::Status status = prompt.tokens.empty() ? EncodeText(prompt) : TakeTokens(prompt);
  if (status.ok() || prompt.where.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(prompt.where, ": ", status.message()));
}

absl::Status PromptEncoder::EncodeText(Prompt& prompt) {
  if (!prompt.conversation.empty() || texts_ == Texts::kAsUserMessages) {
    HONE_RETURN_IF_ERROR(Render(prompt));
  } else if (tokenizer_->begin_token() >= 0) {
    prompt.tokens = {tokenizer_->begin_token()};
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, tokenizer_->Encode(prompt.text));
  prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.end());
  if (prompt.tokens.empty()) return InputError("the prompt has no tokens; a prompt has at least one");
  return CheckTokens(prompt.tokens);
}

absl::StatusOr<std::vector<TokenId>> PromptEncoder::EncodeAnswer(absl::string_view text) {
  HONE_ASSIGN_OR_RETURN(std::vector<TokenId> tokens, tokenizer_->Encode(text));
  if (tokenizer_->end_token() < 0)
    return InputError("the tokenizer has no end token; name an 'eos_token' in its tokenizer_config.json");
  tokens.push_back(tokenizer_->end_token());
  HONE_RETURN_IF_ERROR(CheckTokens(tokens));
  return tokens;
}

absl::Status PromptEncoder::Render(Prompt& prompt) {
  if (!chat_template_) {
    HONE_ASSIGN_OR_RETURN(chat_template_, ChatTemplate::Load(folder_));
  }
  HONE_ASSIGN_OR_RETURN(prompt.text, prompt.conversation.empty() ? chat_template_->RenderPrompt(prompt.text)
                                                                 : chat_template_->Render(prompt.conversation));
  return absl::OkStatus();
}

absl::Status PromptEncoder::TakeTokens(Prompt& prompt) {
  HONE_RETURN_IF_ERROR(CheckTokens(prompt.tokens));
  HONE_ASSIGN_OR_RETURN(prompt.text, tokenizer_->Decode(prompt.tokens));
  return absl::OkStatus();
}

absl::Status PromptEncoder::CheckTokens(const std::vector<TokenId>& tokens) {
  if (rows_ == 0) rows_ = ReadVocabularySize(folder_);
  if (rows_ < 0) rows_ = tokenizer_->vocabulary_size();
  for (const TokenId token : tokens) {
    if (token >= 0 && token < rows_) continue;
    return InputError("token ", token, " is outside the model's vocabulary, 0 to ", rows_ - 1);
  }
  return absl::OkStatus();
}

}  // namespace hone
