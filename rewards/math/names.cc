#include "rewards/math/names.h"

#include "absl/container/flat_hash_map.h"
#include "engine/base/text.h"

namespace hone::math {
namespace {

using Table = absl::flat_hash_map<absl::string_view, Meaning>;
using enum TokenKind;

constexpr Meaning kNothing{Meaning::Kind::kNothing};
constexpr Meaning kSpace{Meaning::Kind::kSpace};
constexpr Meaning kText{Meaning::Kind::kText};
constexpr Meaning kComma{Meaning::Kind::kComma, TokenKind::kSymbol, ','};

constexpr Meaning Symbol(char code) { return {Meaning::Kind::kToken, kSymbol, code}; }
constexpr Meaning Relation(char code) { return {Meaning::Kind::kToken, kRelation, code}; }
constexpr Meaning Constant(char code) { return {Meaning::Kind::kToken, kConstant, code}; }
constexpr Meaning Letter(absl::string_view name) { return {Meaning::Kind::kToken, kLetter, 0, name}; }
constexpr Meaning Function(absl::string_view name) { return {Meaning::Kind::kToken, kFunction, 0, name}; }
constexpr Meaning Command(absl::string_view name) { return {Meaning::Kind::kToken, kCommand, 0, name}; }
constexpr Meaning Word(absl::string_view word) { return {Meaning::Kind::kToken, kWord, 0, word}; }
constexpr Meaning Vulgar(absl::string_view value) { return {Meaning::Kind::kToken, kVulgar, 0, value}; }

constexpr absl::string_view kFunctions[] = {"sin",    "cos",    "tan",    "cot",    "sec",  "csc",  "arcsin", "arccos",
                                            "arctan", "arccot", "arcsec", "arccsc", "sinh", "cosh", "tanh",   "ln",
                                            "log",    "lg",     "exp",    "gcd",    "lcm",  "max",  "min",    "det"};
constexpr absl::string_view kGreek[] = {"alpha", "beta",    "gamma",  "delta", "epsilon", "zeta",  "eta",   "theta",
                                        "iota",  "kappa",   "lambda", "mu",    "nu",      "xi",    "rho",   "sigma",
                                        "tau",   "upsilon", "phi",    "chi",   "psi",     "omega", "Gamma", "Delta",
                                        "Theta", "Lambda",  "Xi",     "Sigma", "Phi",     "Psi",   "Omega", "ell"};

const Table& Commands() {
  static const auto* table = [] {
    auto* commands = new Table;
    for (const absl::string_view name : kFunctions) commands->emplace(name, Function(name));
    for (const absl::string_view name : kGreek) commands->emplace(name, Letter(name));
    for (const char* name :
         {"left",     "right",      "mleft", "mright", "middle", "displaystyle", "textstyle", "scriptstyle", "limits",
          "nolimits", "big",        "Big",   "bigl",   "Bigl",   "bigr",         "Bigr",      "bigg",        "Bigg",
          "biggl",    "biggr",      "Biggl", "Biggr",  "rm",     "bf",           "it",        "boldsymbol",  "boxed",
          "fbox",     "ensuremath", "!",     "$",      "euro",   "pounds",       "yen",       "nonumber",    "hfill",
          "hline",    "bm"}) {
      commands->emplace(name, kNothing);
    }
    for (const char* name : {",", ":", ";", ">", " ", "\n", "~", "quad", "qquad", "enspace", "thinspace"})
      commands->emplace(name, kSpace);
    for (const char* name : {"text", "textbf", "textit", "textrm", "textnormal", "texttt", "mathrm", "mathbf", "mathit",
                             "mathsf", "mathbb", "mathcal", "mbox", "hbox", "operatorname", "Bbb"}) {
      commands->emplace(name, kText);
    }
    for (const auto& [name, code] : {std::pair{"cdot", '*'},
                                     {"times", '*'},
                                     {"ast", '*'},
                                     {"div", '/'},
                                     {"%", '%'},
                                     {"{", kSetOpen},
                                     {"}", kSetClose},
                                     {"lbrace", kSetOpen},
                                     {"rbrace", kSetClose},
                                     {"pm", kPlusMinus},
                                     {"mp", kMinusPlus},
                                     {"cup", kUnion},
                                     {"cap", kIntersection},
                                     {"setminus", kWithout},
                                     {"backslash", kWithout},
                                     {"lfloor", kFloorOpen},
                                     {"rfloor", kFloorClose},
                                     {"lceil", kCeilOpen},
                                     {"rceil", kCeilClose},
                                     {"langle", kAngleOpen},
                                     {"rangle", kAngleClose},
                                     {"lvert", '|'},
                                     {"rvert", '|'},
                                     {"vert", '|'},
                                     {"mid", '|'},
                                     {"lbrack", '['},
                                     {"rbrack", ']'},
                                     {"degree", kDegree},
                                     {"prime", '\''},
                                     {"colon", kRatio},
                                     {"cr", kNewRow},
                                     {"ldots", kDots},
                                     {"cdots", kDots},
                                     {"dots", kDots},
                                     {"bigcup", kUnion},
                                     {"lor", ','},
                                     {"vee", ','},
                                     {"land", ','},
                                     {"wedge", ','},
                                     {"&", '&'},
                                     {"_", '_'}}) {
      commands->emplace(name, Symbol(code));
    }
    for (const auto& [name, code] : {std::pair{"le", 'l'},
                                     {"leq", 'l'},
                                     {"leqslant", 'l'},
                                     {"ge", 'g'},
                                     {"geq", 'g'},
                                     {"geqslant", 'g'},
                                     {"lt", '<'},
                                     {"gt", '>'},
                                     {"ne", '!'},
                                     {"neq", '!'},
                                     {"approx", '~'},
                                     {"approxeq", '~'},
                                     {"simeq", '~'},
                                     {"in", ':'},
                                     {"equiv", '='}}) {
      commands->emplace(name, Relation(code));
    }
    for (const auto& [name, code] : {std::pair{"pi", 'p'},
                                     {"infty", 'o'},
                                     {"emptyset", '0'},
                                     {"varnothing", '0'},
                                     {"R", 'R'},
                                     {"imath", 'i'},
                                     {"i", 'i'}})
      commands->emplace(name, Constant(code));
    for (const auto& [name, known_as] : {std::pair{"frac", "frac"},
                                         {"dfrac", "frac"},
                                         {"tfrac", "frac"},
                                         {"cfrac", "frac"},
                                         {"binom", "binom"},
                                         {"dbinom", "binom"},
                                         {"tbinom", "binom"},
                                         {"sqrt", "sqrt"},
                                         {"overline", "overline"},
                                         {"bar", "overline"},
                                         {"circ", "circ"},
                                         {"vec", "decor"},
                                         {"hat", "decor"},
                                         {"underline", "decor"},
                                         {"mathring", "decor"},
                                         {"overrightarrow", "decor"},
                                         {"widehat", "decor"}}) {
      commands->emplace(name, Command(known_as));
    }
    for (const auto& [name, known_as] : {std::pair{"varphi", "phi"}, {"varepsilon", "epsilon"}, {"vartheta", "theta"}})
      commands->emplace(name, Letter(known_as));
    return commands;
  }();
  return *table;
}

// Units and short words that a run of letters would otherwise make a product of variables; longer runs are words anyway.
const Table& Words() {
  static const auto* table = [] {
    auto* words = new Table;
    for (const absl::string_view name : kFunctions) words->emplace(name, Function(name));
    for (const absl::string_view name : kGreek)
      if (name != "ell") words->emplace(name, Letter(name));
    for (const char* word :
         {"cm",  "mm",   "km",  "kg",  "mg",  "ml",  "ft",  "lb",  "lbs", "oz",  "hr",  "hrs",  "sec", "mph",
          "kph", "yd",   "mi",  "deg", "rad", "gal", "hz",  "kw",  "kj",  "mol", "usd", "eur",  "gbp", "sq",
          "cu",  "per",  "yes", "no",  "day", "men", "is",  "are", "the", "of",  "all", "not",  "for", "any",
          "if",  "mins", "nm",  "kwh", "mpg", "cup", "box", "pie", "pen", "way", "set", "true", "none"}) {
      words->emplace(word, Word(word));
    }
    words->emplace("min", Word("min"));
    words->emplace("inches", Word("inches"));
    for (const char* word : {"and", "or"}) words->emplace(word, kComma);
    for (const char* word : {"infinity", "inf", "infty", "oo"}) words->emplace(word, Constant('o'));
    for (const char* word : {"percent", "percentage", "pct"}) words->emplace(word, Symbol('%'));
    for (const char* word : {"degree", "degrees"}) words->emplace(word, Symbol(kDegree));
    words->emplace("pi", Constant('p'));
    words->emplace("sqrt", Command("root"));
    words->emplace("frac", Command("frac"));
    words->emplace("dfrac", Command("frac"));
    words->emplace("times", Symbol('*'));
    words->emplace("pm", Word("pm"));
    words->emplace("am", Word("am"));
    return words;
  }();
  return *table;
}

const Table& Characters() {
  static const auto* table = [] {
    auto* characters = new Table;
    for (const auto& [text, code] : {std::pair{"−", '-'}, {"–", '-'},           {"—", '-'},
                                     {"‐", '-'},          {"‑", '-'},           {"×", '*'},
                                     {"·", '*'},          {"⋅", '*'},           {"∙", '*'},
                                     {"∗", '*'},          {"÷", '/'},           {"∕", '/'},
                                     {"⁄", '/'},          {"±", kPlusMinus},    {"∓", kMinusPlus},
                                     {"∪", kUnion},       {"∩", kIntersection}, {"∖", kWithout},
                                     {"°", kDegree},      {"º", kDegree},       {"′", '\''},
                                     {"’", '\''},         {"⟨", kAngleOpen},    {"⟩", kAngleClose},
                                     {"⌊", kFloorOpen},   {"⌋", kFloorClose},   {"⌈", kCeilOpen},
                                     {"⌉", kCeilClose},   {"…", kDots},         {"％", '%'},
                                     {"，", ','},         {"（", '('},          {"）", ')'},
                                     {"＋", '+'},         {"：", kRatio},       {"∨", ','},
                                     {"∧", ','}}) {
      characters->emplace(text, Symbol(code));
    }
    for (const auto& [text, code] : {std::pair{"≤", 'l'},
                                     {"⩽", 'l'},
                                     {"≥", 'g'},
                                     {"⩾", 'g'},
                                     {"≠", '!'},
                                     {"≈", '~'},
                                     {"≃", '~'},
                                     {"∈", ':'},
                                     {"≡", '='},
                                     {"＝", '='}})
      characters->emplace(text, Relation(code));
    for (const auto& [text, code] : {std::pair{"π", 'p'}, {"∞", 'o'}, {"ℝ", 'R'}, {"∅", '0'}, {"ⅇ", 'e'}, {"ⅈ", 'i'}})
      characters->emplace(text, Constant(code));
    for (const auto& [text, value] : {std::pair{"½", "1/2"},
                                      {"⅓", "1/3"},
                                      {"⅔", "2/3"},
                                      {"¼", "1/4"},
                                      {"¾", "3/4"},
                                      {"⅕", "1/5"},
                                      {"⅖", "2/5"},
                                      {"⅗", "3/5"},
                                      {"⅘", "4/5"},
                                      {"⅙", "1/6"},
                                      {"⅚", "5/6"},
                                      {"⅛", "1/8"},
                                      {"⅜", "3/8"},
                                      {"⅝", "5/8"},
                                      {"⅞", "7/8"}}) {
      characters->emplace(text, Vulgar(value));
    }
    for (const auto& [text, digit] : {std::pair{"⁰", "0"},
                                      {"¹", "1"},
                                      {"²", "2"},
                                      {"³", "3"},
                                      {"⁴", "4"},
                                      {"⁵", "5"},
                                      {"⁶", "6"},
                                      {"⁷", "7"},
                                      {"⁸", "8"},
                                      {"⁹", "9"},
                                      {"⁻", "-"}}) {
      characters->emplace(text, Meaning{Meaning::Kind::kToken, kSymbol, '^', digit});
    }
    for (const auto& [text, name] : {std::pair{"α", "alpha"},
                                     {"β", "beta"},
                                     {"γ", "gamma"},
                                     {"δ", "delta"},
                                     {"ε", "epsilon"},
                                     {"ζ", "zeta"},
                                     {"η", "eta"},
                                     {"θ", "theta"},
                                     {"κ", "kappa"},
                                     {"λ", "lambda"},
                                     {"μ", "mu"},
                                     {"ν", "nu"},
                                     {"ξ", "xi"},
                                     {"ρ", "rho"},
                                     {"σ", "sigma"},
                                     {"τ", "tau"},
                                     {"φ", "phi"},
                                     {"ϕ", "phi"},
                                     {"χ", "chi"},
                                     {"ψ", "psi"},
                                     {"ω", "omega"},
                                     {"Δ", "Delta"},
                                     {"Ω", "Omega"},
                                     {"ℓ", "ell"}}) {
      characters->emplace(text, Letter(name));
    }
    for (const char* text :
         {"€", "£", "¥", "₹", "₽", "₩", "₺", "₫", "₱", "₪", "฿", "₿", "¢", "\u200b", "\ufeff", "\u2061", "\u2062"})
      characters->emplace(text, kNothing);
    for (const char* text : {"\u00a0", "\u2009", "\u202f", "\u2002", "\u2003", "\u2005", "\u200a", "\u3000", "。"})
      characters->emplace(text, kSpace);
    characters->emplace("√", Command("root"));
    return characters;
  }();
  return *table;
}

Meaning Find(const Table& table, absl::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? Meaning{} : found->second;
}

}  // namespace

Meaning MeaningOfCommand(absl::string_view name) { return Find(Commands(), name); }

Meaning MeaningOfWord(absl::string_view word) { return Find(Words(), word); }

Meaning MeaningOfCharacter(absl::string_view text, size_t at, size_t& bytes) {
  const Utf8Step step = ReadUtf8(text, at);
  bytes = step.bytes;
  return step.kind == Utf8Step::Kind::kCharacter ? Find(Characters(), text.substr(at, bytes)) : kSpace;
}

}  // namespace hone::math
