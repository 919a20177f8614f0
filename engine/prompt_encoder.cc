#include "engine/prompt_encoder.h"

namespace hone {

absl::Status PromptEncoder::Encode(Prompt& prompt) {
  const absl::Status status = prompt.tokens.empty() ? EncodeText(prompt) : CheckTokens(prompt);
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
  return absl::OkStatus();
}

absl::Status PromptEncoder::Render(Prompt& prompt) {
  if (!chat_template_) {
    HONE_ASSIGN_OR_RETURN(chat_template_, ChatTemplate::Load(folder_));
  }
  HONE_ASSIGN_OR_RETURN(prompt.text, prompt.conversation.empty() ? chat_template_->RenderPrompt(prompt.text)
                                                                 : chat_template_->Render(prompt.conversation));
  return absl::OkStatus();
}

absl::Status PromptEncoder::CheckTokens(Prompt& prompt) const {
  const int32_t size = tokenizer_->vocabulary_size();
  for (const TokenId token : prompt.tokens) {
    if (token >= size) return InputError("'tokens' holds ", token, ", wanted ids from 0 to ", size - 1);
  }
  HONE_ASSIGN_OR_RETURN(prompt.text, tokenizer_->Decode(prompt.tokens));
  return absl::OkStatus();
}

}  // namespace hone
