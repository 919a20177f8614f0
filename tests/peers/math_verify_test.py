"""`hone score --verifier math` beside math-verify on pairs whose labels are known: GSM8K's answers, pairs that are equal or different by
construction, and answers in the style of MATH labelled by hand. Ours must be right at least as often; prints accuracies, what kind of
pair each gets wrong, every class of disagreement, and the throughput of both."""
import collections
import json
import logging
import os
import random
import re
import subprocess
import time
from fractions import Fraction

from math_verify import parse, verify

HONE, SOURCE = os.environ["HONE_BINARY"], os.environ["HONE_SOURCE"]
GSM8K = os.path.join(SOURCE, "../shared/data/gsm8k/test.jsonl")
GSM8K_LINES = 400
EACH = 25  # pairs of a kind
REPEATS = 20  # of the whole list, when ours is timed

logging.disable(logging.WARNING)


# ---- Ways to write a value ----

def latex(value):
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def slash(value):
    value = Fraction(value)
    return str(value)


def signed(value, first=False):
    text = latex(abs(value))
    return ("-" if value < 0 else "" if first else "+") + text


def polynomial(coefficients, x="x"):
    """Highest power first."""
    text = ""
    degree = len(coefficients) - 1
    for i, c in enumerate(coefficients):
        power = degree - i
        if c == 0:
            continue
        name = "" if power == 0 else x if power == 1 else f"{x}^{{{power}}}"
        size = "" if abs(c) == 1 and name else latex(abs(c))
        text += ("-" if c < 0 else "+" if text else "") + size + name
    return text or "0"


def times(p, q):
    product = [0] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] += a * b
    return product


def matrix(rows, kind="pmatrix"):
    body = " \\\\ ".join(" & ".join(latex(x) for x in row) for row in rows)
    return f"\\begin{{{kind}}} {body} \\end{{{kind}}}"


def square_part(n):
    """n = s * s * rest with the largest s."""
    s = max(k for k in range(1, int(n ** 0.5) + 1) if n % (k * k) == 0)
    return s, n // (s * s)


def wrap(rng, answer):
    """A completion that ends in the answer."""
    return rng.choice([
        "We compute step by step and find $\\boxed{%s}$.",
        "Let me think. First 3 + 4 = 7, then the rest follows.\n\n\\boxed{%s}",
        "Therefore, the final answer is $\\boxed{%s}$. I hope it is correct.",
        "Step 1: simplify.\nStep 2: solve.\n\nThe final answer is: $\\boxed{%s}$",
    ]) % answer


# ---- Kinds: each yields (gold, answer, equal) ----

def nonzero(rng, low, high):
    return rng.choice([n for n in range(low, high + 1) if n != 0])


def fraction_and_decimal(rng):
    value = Fraction(nonzero(rng, -400, 400), rng.choice([2, 4, 5, 8, 10, 20, 25, 40, 50, 125]))
    decimal = f"{float(value):.10f}".rstrip("0").rstrip(".")
    other = value + Fraction(rng.choice([-1, 1]), rng.choice([2, 4, 5, 10]))
    yield latex(value), decimal, True
    yield decimal, slash(value), True
    yield latex(other), decimal, False


def fraction_unreduced(rng):
    value, k = Fraction(nonzero(rng, -90, 90), rng.randrange(2, 90)), rng.randrange(2, 12)
    yield latex(value), f"\\frac{{{value.numerator * k}}}{{{value.denominator * k}}}", True
    yield latex(value), f"\\frac{{{value.numerator * k + 1}}}{{{value.denominator * k}}}", False
    yield latex(value), f"{value.numerator}/{value.denominator}", True


def mixed_number(rng):
    whole, bottom = rng.randrange(1, 20), rng.randrange(2, 12)
    top = rng.randrange(1, bottom)
    value = whole + Fraction(top, bottom)
    yield f"{whole}\\frac{{{top}}}{{{bottom}}}", latex(value), True
    yield latex(value), f"{whole}\\frac{{{top}}}{{{bottom}}}", True
    yield latex(value), f"{whole}\\frac{{{top + bottom}}}{{{bottom * 3 + 1}}}", False


def thousands(rng):
    n = rng.randrange(1000, 10 ** rng.randrange(4, 10))
    yield str(n), f"{n:,}", True
    yield f"{n:,}".replace(",", "{,}"), str(n), True
    yield f"{n:,}".replace(",", ",\\!"), str(n), True
    yield str(n), f"{n + 1:,}", False


def money_and_units(rng):
    n = rng.randrange(2, 5000)
    unit = rng.choice(["\\text{ cm}", "\\text{ inches}", " \\text{ square units}", "\\text{ cm}^2", "\\mathrm{~kg}", "\\text{ miles per hour}", "^\\circ",
                       "\\text{ minutes}", "\\,\\text{m/s}"])
    yield str(n), f"{n}{unit}", True
    yield f"{n}{unit}", str(n), True
    yield str(n), f"\\${n}.00", True
    yield str(n), f"{n + 3}{unit}", False


def percent(rng):
    n = rng.randrange(1, 100)
    yield f"{n}\\%", f"{n}", True
    yield f"{n}\\%", f"\\frac{{{n}}}{{100}}", True
    yield latex(Fraction(n, 100)), f"{n}\\%", True
    yield f"{n}\\%", f"{n + 1}\\%", False


def scientific(rng):
    digits, power = rng.randrange(11, 99), nonzero(rng, -5, 8)
    value = Fraction(digits, 10) * Fraction(10) ** power
    plain = latex(value) if value.denominator == 1 else f"{float(value):.10f}".rstrip("0")
    yield f"{digits / 10} \\times 10^{{{power}}}", plain, True
    yield plain, f"{digits / 10} \\cdot 10^{{{power}}}", True
    yield f"{digits / 10} \\times 10^{{{power}}}", f"{digits / 10} \\times 10^{{{power + 1}}}", False


def repeating_decimal(rng):
    value = Fraction(rng.randrange(1, 40), rng.choice([3, 7, 9, 11, 13]))
    if value.denominator == 1:
        return
    yield latex(value), f"{float(value):.8f}", True
    yield latex(value), f"{float(value):.2f}", False
    period = rng.randrange(1, 9)
    yield f"\\frac{{{period}}}{{9}}", f"0.\\overline{{{period}}}", True


def radicals(rng):
    n = rng.choice([8, 12, 18, 20, 27, 28, 32, 45, 48, 50, 63, 72, 75, 98, 108, 147, 200, 242])
    s, rest = square_part(n)
    k = rng.randrange(2, 9)
    yield f"{s}\\sqrt{{{rest}}}", f"\\sqrt{{{n}}}", True
    yield f"\\frac{{{k}}}{{\\sqrt{{{rest}}}}}", f"\\frac{{{k}\\sqrt{{{rest}}}}}{{{rest}}}", True
    yield f"{k}+\\sqrt{{{n}}}", f"{s}\\sqrt{{{rest}}}+{k}", True
    yield f"{s}\\sqrt{{{rest}}}", f"{s}\\sqrt{{{rest + 1}}}", False
    yield f"{s}\\sqrt{{{rest}}}", f"-{s}\\sqrt{{{rest}}}", False


def rationalised(rng):
    a, b = rng.sample([2, 3, 5, 6, 7, 10, 11, 13], 2)
    yield f"\\frac{{{a - b}}}{{\\sqrt{{{a}}}-\\sqrt{{{b}}}}}", f"\\sqrt{{{a}}}+\\sqrt{{{b}}}", True
    yield f"\\sqrt{{{a + b}+2\\sqrt{{{a * b}}}}}", f"\\sqrt{{{a}}}+\\sqrt{{{b}}}", True
    yield f"\\sqrt{{{a}}}+\\sqrt{{{b}}}", f"\\sqrt{{{a + b}}}", False


def cube_roots(rng):
    k, n = rng.randrange(2, 6), rng.choice([2, 3, 5, 6, 7, 10])
    yield f"{k}\\sqrt[3]{{{n}}}", f"\\sqrt[3]{{{k ** 3 * n}}}", True
    yield f"{k}\\sqrt[3]{{{n}}}", f"{k}\\sqrt{{{n}}}", False
    yield f"{k}\\sqrt[3]{{{n}}}", f"{k} \\cdot {n}^{{1/3}}", True


def with_pi(rng):
    value = Fraction(rng.randrange(1, 40), rng.randrange(1, 13))
    yield f"{latex(value)}\\pi", f"\\frac{{{value.numerator}\\pi}}{{{value.denominator}}}", True
    yield f"{latex(value)}\\pi", f"{value.numerator}π/{value.denominator}", True
    yield f"{latex(value)}\\pi", f"{float(value) * 3.14:.2f}", False
    yield f"{latex(value)}\\pi", latex(value), False


def expanded(rng):
    a, b, c, d = (nonzero(rng, -9, 9) for _ in range(4))
    product = times([a, b], [c, d])
    if product[1] == 0:
        return
    factored = f"({polynomial([a, b])})({polynomial([c, d])})"
    yield polynomial(product), factored, True
    yield factored, polynomial(product), True
    yield polynomial(product), polynomial(product[:2] + [product[2] + 1]), False
    yield polynomial(product), f"({polynomial([c, d])}) \\cdot ({polynomial([a, b])})", True


def several_variables(rng):
    a, b, c = (rng.randrange(2, 9) for _ in range(3))
    yield f"{a}x+{b}y-{c}z", f"-{c}z+{b}y+{a}x", True
    yield f"({a}x-{b}y)({a}x+{b}y)", f"{a * a}x^2-{b * b}y^2", True
    yield f"\\frac{{{a}}}{{x}}+\\frac{{{b}}}{{y}}", f"\\frac{{{a}y+{b}x}}{{xy}}", True
    yield f"{a}x+{b}y-{c}z", f"{a}x+{b}y+{c}z", False
    yield f"\\frac{{{a}}}{{x}}+\\frac{{{b}}}{{y}}", f"\\frac{{{a}+{b}}}{{x+y}}", False


def rational_functions(rng):
    a, b = rng.sample(range(1, 9), 2)
    yield f"\\frac{{1}}{{x-{a}}}-\\frac{{1}}{{x-{b}}}", f"\\frac{{{a - b}}}{{(x-{a})(x-{b})}}", True
    yield f"\\frac{{x+{a}}}{{x+{b}}}", f"1+\\frac{{{a - b}}}{{x+{b}}}", True
    yield f"\\frac{{x+{a}}}{{x+{b}}}", f"\\frac{{x+{b}}}{{x+{a}}}", False


def powers(rng):
    a, n = rng.randrange(2, 8), rng.randrange(2, 6)
    yield f"{a}^{{n+{n}}}", f"{a ** n} \\cdot {a}^n", True
    yield f"e^{{{a}x}}", f"(e^x)^{{{a}}}", True
    yield f"{a}^{{n+{n}}}", f"{a}^n+{a ** n}", False
    yield f"x^{{{n}}}", f"{n}x", False


def logarithms(rng):
    a, n = rng.randrange(2, 8), rng.randrange(2, 6)
    yield f"\\ln {a ** n}", f"{n}\\ln {a}", True
    yield f"\\log_{{{a}}} {a ** n}", str(n), True
    yield f"\\frac{{\\ln {a}}}{{\\ln {a + 1}}}", f"\\log_{{{a + 1}}} {a}", True
    yield f"\\ln {a ** n}", f"{n}+\\ln {a}", False


def trigonometry(rng):
    n = rng.randrange(2, 6)
    yield f"\\sin({2 * n}x)", f"2\\sin({n}x)\\cos({n}x)", True
    yield f"{n}\\sin^2 x+{n}\\cos^2 x", str(n), True
    yield f"\\cos({2 * n}x)", f"2\\cos({n}x)", False


def complex_numbers(rng):
    a, b, c, d = (nonzero(rng, -9, 9) for _ in range(4))
    real, imaginary = a * c - b * d, a * d + b * c
    if imaginary in (0, 1, -1) or abs(b) == 1 or abs(d) == 1:
        return
    value = f"{real}{imaginary:+d}i"
    yield value, f"({a}{b:+d}i)({c}{d:+d}i)", True
    yield value, f"{imaginary}i{real:+d}", True
    yield value, f"{real}{-imaginary:+d}i", False


def intervals(rng):
    a, b = sorted(rng.sample(range(-20, 20), 2))
    left, right = rng.choice("(["), rng.choice(")]")
    yield f"{left}{a},{b}{right}", f"\\left{left} {a}, {b} \\right{right}", True
    yield f"{left}{a},{b}{right}", f"{left}{a},{b + 1}{right}", False
    yield f"[{a},{b}]", f"[{a},{b})", False
    yield f"[{a},{b})", f"{a} \\le x < {b}", True
    yield f"({a},\\infty)", f"x > {a}", True
    yield f"(-\\infty,{a}) \\cup ({b},\\infty)", f"({b},\\infty) \\cup (-\\infty,{a})", True
    yield f"(-\\infty,{a}) \\cup ({b},\\infty)", f"(-\\infty,{a}] \\cup ({b},\\infty)", False


def sets(rng):
    elements = rng.sample([Fraction(n, d) for n in range(-12, 13) for d in (1, 2, 3)], 3)
    elements = list(dict.fromkeys(elements))
    shuffled = elements[1:] + elements[:1]
    show = lambda items: "\\{" + ", ".join(latex(x) for x in items) + "\\}"
    yield show(elements), show(shuffled), True
    yield ", ".join(latex(x) for x in elements), ", ".join(slash(x) for x in shuffled), True
    yield show(elements), show(elements[:-1]), False
    yield show(elements), show(elements[:-1] + [elements[-1] + Fraction(1, 7)]), False


def tuples(rng):
    elements = rng.sample(range(-20, 20), 3)
    show = lambda items: "(" + ", ".join(latex(x) for x in items) + ")"
    yield show(elements), show([Fraction(2 * x, 2) for x in elements]), True
    yield show(elements), show(elements[::-1]), False
    yield show([Fraction(x, 2) for x in elements]), "(" + ", ".join(f"{x / 2:g}" for x in elements) + ")", True
    yield show(elements), show(elements[:2]), False


def matrices(rng):
    rows = [[rng.randrange(-9, 10) for _ in range(2)] for _ in range(2)]
    other = [[rows[0][0] + 1, rows[0][1]], rows[1]]
    yield matrix(rows), matrix(rows, "bmatrix"), True
    yield matrix(rows), matrix(other), False
    transposed = [[rows[0][0], rows[1][0]], [rows[0][1], rows[1][1]]]
    yield matrix(rows), matrix(transposed), transposed == rows
    halves = [[Fraction(x, 2) for x in row] for row in rows]
    yield matrix(halves), f"\\frac{{1}}{{2}}{matrix(rows)}", True


def equations(rng):
    m, b, k = nonzero(rng, -9, 9), nonzero(rng, -9, 9), rng.randrange(2, 6)
    if abs(m) == 1:
        return
    yield f"y={m}x{b:+d}", f"{m}x-y{b:+d}=0", True
    yield f"y={m}x{b:+d}", f"{k}y={m * k}x{b * k:+d}", True
    yield f"y={m}x{b:+d}", f"y={m}x{-b:+d}", False
    yield f"{m}", f"x={m}", True
    yield f"x={m}", f"{m}", True
    yield f"x={m}", f"x={m + 1}", False
    yield f"{m},{m + 1}", f"x={m + 1} \\text{{ or }} x={m}", True


def inequalities(rng):
    a, k = nonzero(rng, -9, 9), rng.randrange(2, 6)
    yield f"x<{a}", f"{a}>x", True
    yield f"x<{a}", f"{k}x<{k * a}", True
    yield f"x<{a}", f"x>{a}", False
    yield f"x<{a}", f"x\\le {a}", False
    yield f"x\\geq {a}", f"x \\ge {a}", True


def plus_minus(rng):
    a, n = rng.randrange(1, 9), rng.choice([2, 3, 5, 6, 7])
    yield f"{a} \\pm \\sqrt{{{n}}}", f"{a}+\\sqrt{{{n}}}, {a}-\\sqrt{{{n}}}", True
    yield f"{a}-\\sqrt{{{n}}}, {a}+\\sqrt{{{n}}}", f"x = {a} \\pm \\sqrt{{{n}}}", True
    yield f"{a} \\pm \\sqrt{{{n}}}", f"{a}+\\sqrt{{{n}}}", False


def whole_numbers(rng):
    n = nonzero(rng, -10 ** 6, 10 ** 6)
    yield str(n), str(n), True
    yield str(n), f"{n}.0", True
    yield str(n), f"+{n}" if n > 0 else f"−{-n}", True
    yield str(n), str(n + nonzero(rng, -5, 5)), False
    yield str(n), str(-n), False
    yield str(n), f"x = {n}", True


def words(rng):
    word, other = rng.sample(["Yes", "No", "east", "Tuesday", "parabola", "even", "odd", "ellipse", "Evelyn", "neither"], 2)
    yield f"\\text{{{word}}}", f"\\text{{{word}}}", True
    yield f"\\text{{{word}}}", f"\\text{{{other}}}", False
    letter, wrong = rng.sample("ABCDE", 2)
    yield f"\\text{{({letter})}}", letter, True
    yield letter, f"\\text{{{wrong}}}", False


KINDS = [fraction_and_decimal, fraction_unreduced, mixed_number, thousands, money_and_units, percent, scientific, repeating_decimal, radicals,
         rationalised, cube_roots, with_pi, expanded, several_variables, rational_functions, powers, logarithms, trigonometry, complex_numbers,
         intervals, sets, tuples, matrices, equations, inequalities, plus_minus, whole_numbers, words]

# Answers as MATH has them: gold, answer, equal.
BY_HAND = r"""
\frac{14}{3} ;; 14/3 ;; 1
\left( 3, \frac{\pi}{2} \right) ;; (3, \pi/2) ;; 1
p - q ;; -q + p ;; 1
\text{Evelyn} ;; Evelyn ;; 1
42 ;; 42^\circ ;; 1
3\sqrt{13} ;; \sqrt{117} ;; 1
3\sqrt{13} ;; 10.8 ;; 0
4 ;; 4.0000 ;; 1
2220 ;; 2,220 ;; 1
\frac{243}{625} ;; 0.3888 ;; 1
x=5 ;; 5 ;; 1
\sqrt{51} ;; \sqrt{51} ;; 1
6 - 5i ;; -5i + 6 ;; 1
-50 ;; -\$50 ;; 1
\pi ;; 3.14 ;; 0
28 ;; 28 \text{ students} ;; 1
\left[ -2, 7 \right] ;; -2 \le x \le 7 ;; 1
x^5 - x^4 + x^3 - x^2 + x - 1 ;; x^5+x^3+x-x^4-x^2-1 ;; 1
10 ;; 10\% ;; 1
\begin{pmatrix} -1/3 \\ 2/3 \\ 5/3 \end{pmatrix} ;; \begin{pmatrix} -\frac{1}{3} \\ \frac{2}{3} \\ \frac{5}{3} \end{pmatrix} ;; 1
5x^2-11x-12 ;; (5x+4)(x-3) ;; 1
\frac{35}{64} ;; \frac{70}{128} ;; 1
(6,31,-1) ;; (6, 31, -1) ;; 1
(6,31,-1) ;; (6, -1, 31) ;; 0
80 ;; 80^{\circ} ;; 1
(-\infty,-3) \cup (-2,2) \cup (3,\infty) ;; (-2,2) \cup (-\infty,-3) \cup (3,\infty) ;; 1
(-\infty,-3) \cup (-2,2) ;; (-\infty,-3] \cup (-2,2) ;; 0
\frac{4}{3} ;; 1.33 ;; 0
\frac{4}{3} ;; 1 \frac{1}{3} ;; 1
-\frac{35}{9} ;; \frac{35}{-9} ;; 1
(x - 3)(x + 3) ;; x^2 - 9 ;; 1
(x - 3)(x + 3) ;; x^2 + 9 ;; 0
\text{odd} ;; \text{even} ;; 0
0.43 ;; \frac{43}{100} ;; 1
\$36 ;; 36 ;; 1
7.25 ;; 7\frac{1}{4} ;; 1
\frac{3}{56} ;; \dfrac{3}{56} ;; 1
9901 ;; 9901 ;; 1
1,-2 ;; -2,1 ;; 1
1,-2 ;; 1,2 ;; 0
e^2 ;; e^{2} ;; 1
\frac{\sqrt{3}}{3} ;; \frac{1}{\sqrt{3}} ;; 1
\frac{\sqrt{3}}{3} ;; \tan 30^\circ ;; 1
\frac12 ;; .5 ;; 1
203 ;; 203 \text{ pounds} ;; 1
15\mbox{ cm}^2 ;; 15 ;; 1
2 \sqrt{2} + 2 ;; 2(1+\sqrt{2}) ;; 1
\frac{\pi^2}{6} ;; \pi^2/6 ;; 1
3R^2 ;; 3r^2 ;; 0
x^3+3x-6 ;; x^3 + 3x - 6 ;; 1
f(x)=2x+1 ;; 2x+1 ;; 1
\frac{1}{4}x^4+C ;; \frac{x^4}{4}+C ;; 1
(2,\infty) ;; x>2 ;; 1
2^{10} ;; 1024 ;; 1
10! ;; 3628800 ;; 1
\binom{8}{3} ;; 56 ;; 1
\lfloor \pi \rfloor ;; 3 ;; 1
\frac{n(n+1)}{2} ;; \frac{n^2+n}{2} ;; 1
\frac{n(n+1)}{2} ;; \frac{n^2-n}{2} ;; 0
12\text{ and }-2 ;; -2, 12 ;; 1
x = -1 \text{ or } x = 4 ;; \{4, -1\} ;; 1
\infty ;; -\infty ;; 0
1:2 ;; \frac{1}{2} ;; 1
0 ;; -0 ;; 1
100\pi ;; 100\pi \text{ square inches} ;; 1
\frac{9\sqrt{3}}{4} ;; \frac{9}{4}\sqrt{3} ;; 1
-2+\sqrt{7} ;; \sqrt{7}-2 ;; 1
-2+\sqrt{7} ;; \sqrt{7}+2 ;; 0
\cos x ;; \sin x ;; 0
\sqrt[3]{2} ;; 2^{1/3} ;; 1
\frac{x}{y} ;; \frac{y}{x} ;; 0
20\% ;; 0.2 ;; 1
20\% ;; 0.02 ;; 0
y = -2x + 3 ;; 2x + y = 3 ;; 1
y = -2x + 3 ;; 2x - y = 3 ;; 0
\left(\frac{3}{5},\frac{8}{3}\right] ;; \left(0.6,\frac{8}{3}\right] ;; 1
\left(\frac{3}{5},\frac{8}{3}\right] ;; \left[\frac{3}{5},\frac{8}{3}\right] ;; 0
(4, -1) ;; x = 4, y = -1 ;; 1
1 + 2i, 1 - 2i ;; 1 \pm 2i ;; 1
\emptyset ;; \{\} ;; 1
3.6 \times 10^{5} ;; 360{,}000 ;; 1
120^\circ ;; 120 \text{ degrees} ;; 1
\frac{1}{x^2} ;; x^{-2} ;; 1
\sqrt{x^2+1} ;; x+1 ;; 0
a^2+2ab+b^2 ;; (a+b)^2 ;; 1
a^2+b^2 ;; (a+b)^2 ;; 0
""".strip().splitlines()


# ---- GSM8K ----

def gsm8k(rng):
    """Solutions as completions: the true number, and others' numbers."""
    if not os.path.exists(GSM8K):
        print(f"no {GSM8K}: without GSM8K's answers")
        return
    with open(GSM8K, encoding="utf-8") as file:
        rows = [json.loads(line)["answer"] for line in file][:GSM8K_LINES]
    numbers = [row.split("####")[1].strip().replace(",", "") for row in rows]
    for i, (row, number) in enumerate(zip(rows, numbers)):
        text = re.sub(r"<<.*?>>", "", row.split("####")[0])
        shown = rng.choice([number, f"{int(number):,}", f"\\${number}", f"{number}.00"])
        end = rng.choice(["The final answer is $%s$.", "The answer is %s.", "\\boxed{%s}", "So the answer is \\(%s\\)."]) % shown
        yield number, text + "\n" + end, True
        other = numbers[(i + 1) % len(numbers)]
        if other != number:
            yield number, text + "\nThe final answer is $%s$." % other, False


# ---- Both sides ----

def pairs():
    rng = random.Random(7)
    for gold, completion, equal in gsm8k(rng):
        yield "gsm8k", gold, completion, equal
    for kind in KINDS:
        made = []
        while len(made) < EACH:
            made.extend(kind(rng))
        for gold, answer, equal in made[:EACH]:
            yield kind.__name__, gold, wrap(rng, answer), equal
    for line in BY_HAND:
        gold, answer, equal = line.split(" ;; ")
        yield "by hand", gold, wrap(rng, answer), equal == "1"


def ours(rows):
    with open("pairs.jsonl", "w", encoding="utf-8") as file:
        for _, gold, completion, _ in rows:
            file.write(json.dumps({"answer": gold, "completion": completion}) + "\n")
    with open("pairs.jsonl", encoding="utf-8") as file, open("many.jsonl", "w", encoding="utf-8") as many:
        many.write(file.read() * REPEATS)
    subprocess.run([HONE, "score", "--verifier", "math", "--input", "pairs.jsonl", "--output", "scored.jsonl"], check=True)
    timed = subprocess.run([HONE, "score", "--verifier", "math", "--input", "many.jsonl", "--output", os.devnull], check=True,
                           capture_output=True, text=True)
    with open("scored.jsonl", encoding="utf-8") as file:
        scored = [json.loads(line) for line in file]
    return [(row["score"], row["reason"]) for row in scored], float(re.search(r"(\d+) verdicts/s", timed.stderr)[1])


def theirs(rows):
    """Golds as its README has them: between dollars."""
    start, scores = time.perf_counter(), []
    for _, gold, completion, _ in rows:
        try:
            scores.append(verify(parse(f"${gold}$"), parse(completion)))
        except Exception:  # whatever it raises is no verdict that the answer is right
            scores.append(False)
    return scores, len(rows) / (time.perf_counter() - start)


def main():
    rows = list(pairs())
    assert len(rows) >= 1000 or not os.path.exists(GSM8K), len(rows)
    our_scores, our_rate = ours(rows)
    their_scores, their_rate = theirs(rows)
    assert all(score in (0, 1) for score, _ in our_scores), [r for r in our_scores if r[0] is None][:5]
    right, total, classes = [0, 0], 0, collections.defaultdict(list)
    for (kind, gold, completion, equal), (score, reason), their in zip(rows, our_scores, their_scores):
        total += 1
        right[0] += (score == 1) == equal
        right[1] += their == equal
        if (score == 1) != their or (score == 1) != equal:
            who = "both wrong" if (score == 1) == their else "math-verify wrong" if (score == 1) == equal else "HONE WRONG"
            classes[who, kind, equal].append((gold, completion[-70:], reason))
    for (who, kind, equal), found in sorted(classes.items()):
        gold, end, reason = found[0]
        print(f"{who}: {kind}, {'equal' if equal else 'different'}: {len(found)} pairs, as {gold!r} and {end!r}; ours says: {reason}")
    print(f"{total} pairs, {sum(equal for *_, equal in rows)} of them equal")
    print(f"right: hone {right[0]} ({right[0] / total:.2%}), math-verify {right[1]} ({right[1] / total:.2%})")
    print(f"verdicts/s: hone {our_rate:.0f}, math-verify {their_rate:.0f}, ratio {our_rate / their_rate:.0f}")
    assert right[0] >= right[1], right


if __name__ == "__main__":
    main()
