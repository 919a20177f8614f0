#include "rewards/json_schema_values.h"

#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace hone {
namespace {

using Wide = unsigned __int128;

// digits * 10^exponent, the sign left out.
struct Decimal {
  uint64_t digits = 0;
  int64_t exponent = 0;
};

Decimal ReadDecimal(absl::string_view text) {
  Decimal decimal;
  bool after_point = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == 'e' || text[at] == 'E') {
      int64_t exponent = 0;
      (void)absl::SimpleAtoi(text.substr(at + 1), &exponent);
      decimal.exponent += exponent;
      break;
    }
    if (text[at] == '.') after_point = true;
    if (!absl::ascii_isdigit(static_cast<unsigned char>(text[at]))) continue;
    decimal.digits = decimal.digits * 10 + static_cast<uint64_t>(text[at] - '0');
    decimal.exponent -= after_point;
  }
  while (decimal.digits != 0 && decimal.digits % 10 == 0) {
    decimal.digits /= 10;
    ++decimal.exponent;
  }
  return decimal;
}

// `digits` numbers from text[at] on; moves behind them. -1 where there are fewer.
int TakeNumber(absl::string_view text, size_t& at, int digits) {
  int number = 0;
  for (int i = 0; i < digits; ++i, ++at) {
    if (at >= text.size() || !absl::ascii_isdigit(static_cast<unsigned char>(text[at]))) return -1;
    number = number * 10 + (text[at] - '0');
  }
  return number;
}

bool Take(absl::string_view text, size_t& at, absl::string_view any_of) {
  if (at >= text.size() || any_of.find(text[at]) == absl::string_view::npos) return false;
  ++at;
  return true;
}

bool TakeDate(absl::string_view text, size_t& at) {
  const int year = TakeNumber(text, at, 4);
  if (year < 0 || !Take(text, at, "-")) return false;
  const int month = TakeNumber(text, at, 2);
  if (month < 1 || month > 12 || !Take(text, at, "-")) return false;
  const int day = TakeNumber(text, at, 2);
  const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  const int days = month == 2 ? (is_leap ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
  return day >= 1 && day <= days;
}

// "Z" or "+01:00", as minutes east of UTC.
std::optional<int> TakeOffset(absl::string_view text, size_t& at) {
  if (Take(text, at, "Zz")) return 0;
  const bool is_west = at < text.size() && text[at] == '-';
  if (!Take(text, at, "+-")) return std::nullopt;
  const int hour = TakeNumber(text, at, 2);
  if (hour < 0 || hour > 23 || !Take(text, at, ":")) return std::nullopt;
  const int minute = TakeNumber(text, at, 2);
  if (minute < 0 || minute > 59) return std::nullopt;
  return (is_west ? -1 : 1) * (60 * hour + minute);
}

// 12:34:56.789Z. A leap second ends a day of UTC: 00:59:60+01:00.
bool TakeTime(absl::string_view text, size_t& at) {
  constexpr int kDayMinutes = 24 * 60;
  const int hour = TakeNumber(text, at, 2);
  if (hour < 0 || hour > 23 || !Take(text, at, ":")) return false;
  const int minute = TakeNumber(text, at, 2);
  if (minute < 0 || minute > 59 || !Take(text, at, ":")) return false;
  const int second = TakeNumber(text, at, 2);
  if (second < 0 || second > 60) return false;
  if (Take(text, at, ".")) {
    if (TakeNumber(text, at, 1) < 0) return false;
    while (Take(text, at, "0123456789")) {
    }
  }
  const auto offset = TakeOffset(text, at);
  if (!offset) return false;
  return second < 60 || (60 * hour + minute - *offset + kDayMinutes) % kDayMinutes == kDayMinutes - 1;
}

// 8-4-4-4-12 hexadecimal digits.
bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool wants_dash = at == 8 || at == 13 || at == 18 || at == 23;
    if (wants_dash ? text[at] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[at]))) return false;
  }
  return true;
}

bool IsIpv4(absl::string_view text) {
  if (text.size() > 15) return false;
  int parts = 0;
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    size_t at = 0;
    const int number = part.empty() || part.size() > 3 ? -1 : TakeNumber(part, at, static_cast<int>(part.size()));
    if (number < 0 || number > 255 || (part.size() > 1 && part[0] == '0')) return false;
    ++parts;
  }
  return parts == 4;
}

bool IsEmail(absl::string_view text) {
  const size_t at = text.rfind('@');
  return at != absl::string_view::npos && at > 0 && at + 1 < text.size();
}

}  // namespace

bool IsMultiple(absl::string_view number, absl::string_view divisor) {
  const Decimal a = ReadDecimal(number), b = ReadDecimal(divisor);
  if (a.digits == 0) return true;
  if (b.digits == 0) return false;
  if (a.exponent < b.exponent) {
    // a / b = a.digits / (b.digits * 10^k): 10^k may divide nothing of a.digits, which does not end in 0.
    return false;
  }
  // a.digits * 10^(a.exponent - b.exponent) modulo b.digits, by squaring.
  Wide remainder = a.digits % b.digits, power = 10 % b.digits;
  for (int64_t exponent = a.exponent - b.exponent; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) remainder = remainder * power % b.digits;
    power = power * power % b.digits;
  }
  return remainder == 0;
}

bool FitsFormat(absl::string_view format, absl::string_view text) {
  size_t at = 0;
  if (format == "date") return TakeDate(text, at) && at == text.size();
  if (format == "time") return TakeTime(text, at) && at == text.size();
  if (format == "date-time") {
    return TakeDate(text, at) && Take(text, at, "Tt") && TakeTime(text, at) && at == text.size();
  }
  if (format == "uuid") return IsUuid(text);
  if (format == "ipv4") return IsIpv4(text);
  if (format == "email") return IsEmail(text);
  return true;
}

}  // namespace hone
