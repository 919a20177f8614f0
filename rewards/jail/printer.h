// Stands before a C++ program whose assertions are checked: prints a value so that equal values of like types print alike. Compiled in the
// sandbox only, once with the program for what its functions give, once without for what was expected.
#pragma once

#include <bits/stdc++.h>
#include <unistd.h>

namespace hone_printer {

template <typename T>
void Put(std::string& out, const T& value);

inline void Text(std::string& out, const char* data, std::size_t size) {
  out += '"';
  static const char* digits = "0123456789abcdef";
  for (std::size_t at = 0; at < size; ++at) {
    const unsigned char c = static_cast<unsigned char>(data[at]);
    if (c >= 32 && c < 127 && c != '"' && c != '\\') {
      out += static_cast<char>(c);
    } else {
      out += '\\';
      out += digits[c >> 4];
      out += digits[c & 15];
    }
  }
  out += '"';
}

template <typename T>
void Real(std::string& out, T value) {
  char text[64];
  if (value == 0) value = 0;  // -0 equals 0
  std::snprintf(text, sizeof text, "%.21Lg", static_cast<long double>(value));
  out += text;
}

template <typename T>
concept Range = requires(const T& t) {
  std::begin(t);
  std::end(t);
};
template <typename T>
concept Hashed = requires {
  typename T::hasher;
};
template <typename T>
concept TupleLike = requires {
  std::tuple_size<T>::value;
};
template <typename T>
concept Maybe = requires(const T& t) {
  t.has_value();
  *t;
};

template <typename T>
void Put(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::nullptr_t>) {
    out += "null";
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    const std::string_view text = value;
    Text(out, text.data(), text.size());
  } else if constexpr (std::is_enum_v<T>) {
    out += std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    Real(out, value);
  } else if constexpr (Maybe<T>) {
    if (value.has_value())
      Put(out, *value);
    else
      out += "null";
  } else if constexpr (Range<T>) {
    std::vector<std::string> parts;
    for (auto&& each : value) {
      parts.emplace_back();
      Put<std::decay_t<decltype(each)>>(parts.back(), each);
    }
    if constexpr (Hashed<T>) std::sort(parts.begin(), parts.end());
    out += '[';
    for (const std::string& part : parts) out += part + ',';
    out += ']';
  } else if constexpr (TupleLike<T>) {
    out += '(';
    std::apply([&out](const auto&... each) { ((Put(out, each), out += ','), ...); }, value);
    out += ')';
  } else if constexpr (std::is_pointer_v<T>) {
    if (value == nullptr)
      out += "null";
    else
      Put(out, *value);
  } else {
    static_assert(std::is_same_v<T, bool>, "a value of this type cannot be compared outside of the program");
  }
}

// "\x1e3 value\n": what stands at place 3. Written at once, because the program may end without a word.
inline void Emit(int place, const std::string& text) {
  const std::string line = "\x1e" + std::to_string(place) + " " + text + "\n";
  for (std::size_t at = 0; at < line.size();) {
    const ssize_t bytes = ::write(1, line.data() + at, line.size() - at);
    if (bytes <= 0) _exit(3);
    at += static_cast<std::size_t>(bytes);
  }
}

template <typename F>
void Show(int place, F&& evaluate) {
  std::string text;
  try {
    auto&& value = evaluate();
    Put<std::decay_t<decltype(value)>>(text, value);
  } catch (const std::exception& error) {
    text = std::string("!threw ") + error.what();
  } catch (...) {
    text = "!threw something";
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  Emit(place, text);
}

}  // namespace hone_printer
