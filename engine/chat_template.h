// A model's own chat template: how a conversation becomes the text that the model was trained on, as transformers' apply_chat_template
// does it. The language is the part of Jinja that templates of models use (engine/jinja); anything else is refused by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"

namespace hone {

namespace jinja {
struct Node;
}

// Thread-safe after construction.
class ChatTemplate {
 public:
  // What strftime_now() prints unless the conversation names a date. A run is a function of its recipe, so it is not today.
  static constexpr char kDefaultDate[] = "2024-07-26";

  // From chat_template.jinja, else chat_template.json, else "chat_template" of tokenizer_config.json; of several templates the one
  // called "default", and "tool_use" for conversations with tools. bos_token, eos_token and other special tokens come from
  // tokenizer_config.json, else special_tokens_map.json. Input errors: no template, and what is wrong with it, by file and line.
  static absl::StatusOr<ChatTemplate> Load(const std::string& folder);
  // The same, but a folder without any template is no error.
  static absl::StatusOr<std::optional<ChatTemplate>> LoadIfAny(const std::string& folder);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `conversation` is a JSON object: "messages" (a list of objects with "role" and "content", at least one), and optional "tools",
  // "documents", "add_generation_prompt" (else true), "date" ("2025-01-31" or "2025-01-31T12:30:00") and "chat_template_kwargs", an
  // object of more variables for the template. Other members are ignored. Input errors: a wrong conversation, one that the template
  // refuses (raise_exception), and what it uses that is not supported.
  // The text holds the begin token if the template writes it: tokenise it without another.
  absl::StatusOr<std::string> Render(const std::string& conversation) const;
  // The conversation of one message by the user.
  absl::StatusOr<std::string> RenderPrompt(const std::string& prompt) const;

 private:
  struct Parsed {
    std::string where;  // the file, for messages
    std::unique_ptr<jinja::Node> block;
  };
  ChatTemplate();
  static absl::StatusOr<Parsed> Parse(const std::string& source, const std::string& where);

  Parsed default_, tool_use_;  // tool_use_ may have no block
  std::vector<std::pair<std::string, std::string>> special_tokens_;
};

}  // namespace hone
