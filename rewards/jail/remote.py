"""The tested program as the judge sees it: an object of the program's is a number here, and using it is a question to the other sandbox."""

import builtins
import operator

import wire

MAX_ASKS = 1000000
OPERATORS = "add sub mul matmul truediv floordiv mod pow lshift rshift and or xor".split()


class Gone(BaseException):
    """The program ended, or says what no player says."""


class Unjudgeable(BaseException):
    """The test asks for what cannot be checked from here."""


class Program:
    """The other side."""

    def __init__(self):
        self.channel = wire.Channel()
        self.asks = 0
        self.errors = {}  # classes of the program's exceptions, by name
        self.end = None  # the Gone or Unjudgeable that was raised; a test's bare `except:` may have swallowed it

    def look_back(self):
        if self.end is not None:
            raise self.end

    def stop(self, end):
        self.end = end
        raise end

    def receive(self):
        try:
            message = self.channel.receive()
        except (ValueError, RecursionError, OSError):
            self.stop(Gone("the program wrote garbage into the channel"))
        if message is None:
            self.stop(Gone("the program ended"))
        return message

    def ask(self, what, *arguments, **named):
        self.asks += 1
        if self.asks > MAX_ASKS:
            self.stop(Gone(f"more than {MAX_ASKS} calls"))
        try:
            sent = [wire.encode(each, self.refer) for each in arguments]
            self.channel.send({"do": what, "args": sent, "named": {key: wire.encode(each, self.refer) for key, each in named.items()}})
        except OSError:
            self.stop(Gone("the program ended"))
        message = self.receive()
        try:
            if "raised" in message:
                error = self.error_class(message)(str(message["text"]))
            else:
                value = wire.decode(message["value"], self.find)
                for at, now in message["changed"].items():
                    self.change(arguments[int(at)], wire.decode(now, self.find))
                return value
        except (Gone, Unjudgeable):
            raise
        except BaseException as garbage:
            self.stop(Gone(f"the program's answer cannot be read ({type(garbage).__name__})"))
        raise error

    def refer(self, value):
        if isinstance(value, Remote):
            return object.__getattribute__(value, "_message")
        self.stop(Unjudgeable(f"the test gives the program a {type(value).__name__}"))

    def find(self, message):
        if isinstance(message.get("error"), str):
            return self.error_class({"raised": message["error"], "base": []})
        if not isinstance(message.get("object"), int):
            raise ValueError("no object")
        return Remote({"object": message["object"]}, self, str(message.get("type")), decode_plain(message, self))

    def error_class(self, message):
        """A built-in exception, the nearest built-in one of the program's own, or a class of that name."""
        for name in [message["raised"], *message["base"]]:
            kind = getattr(builtins, name, None)
            if name in self.errors:
                return self.errors[name]
            if isinstance(kind, type) and issubclass(kind, Exception):
                if name == message["raised"]:
                    return kind
                self.errors[message["raised"]] = type(message["raised"], (kind,), {})
                return self.errors[message["raised"]]
        # SystemExit and KeyboardInterrupt would end the judge.
        self.errors[message["raised"]] = type(message["raised"], (Exception,), {})
        return self.errors[message["raised"]]

    @staticmethod
    def change(mine, now):
        """The program changed an argument in place."""
        if type(mine) is not type(now):
            raise ValueError("another type")
        if isinstance(mine, (list, bytearray)):
            mine[:] = now
        elif isinstance(mine, wire.MUTABLE):
            mine.clear()
            mine.update(now) if isinstance(mine, (dict, set)) else mine.extend(now)
        else:
            raise ValueError("not changeable")


NOTHING = object()


def decode_plain(message, program):
    return wire.decode(message["plain"], program.find) if "plain" in message else NOTHING


def forward(what):
    return lambda self, *others: self._program.ask(what, self, *others)


def backward(what):
    return lambda self, other: self._program.ask(what, other, self)


def compare(what):
    def method(self, other):
        if isinstance(other, Remote):
            return self._program.ask(what, self, other)
        if self._plain is not NOTHING:
            return getattr(operator, what)(self._plain, other)
        self._program.stop(Unjudgeable(f"the test orders an object of the program's class {self._type} and a {type(other).__name__}"))

    return method


class Remote:
    """Something of the program's that is no data. It answers for itself, except where it meets a value of the test's: then this side decides."""

    def __init__(self, message, program, kind="name", plain=NOTHING):
        for name, value in (("_message", message), ("_program", program), ("_type", kind), ("_plain", plain)):
            object.__setattr__(self, name, value)

    def __call__(self, *arguments, **named):
        return self._program.ask("call", self, *arguments, **named)

    def __getattr__(self, name):
        return self._program.ask("get", self, name)

    def __setattr__(self, name, value):
        self._program.ask("set", self, name, value)

    def __eq__(self, other):
        if isinstance(other, Remote):
            return self._message == other._message or self._program.ask("eq", self, other)
        if self._plain is not NOTHING:
            return self._plain == other
        if wire.encode(other, lambda value: NOTHING) is NOTHING:
            self._program.stop(Unjudgeable(f"the test compares an object of the program's class {self._type} and a {type(other).__name__}"))
        return False  # whatever its class says: the test wanted data

    def __ne__(self, other):
        return not self == other

    def __contains__(self, item):
        return any(each == item for each in self)

    def __hash__(self):
        return hash(str(self._message))

    def __bool__(self):
        return self._program.ask("bool", self) is True

    def __iter__(self):
        return self._program.ask("iter", self)  # its elements come one by one, by __next__

    def __instancecheck__(self, value):
        return isinstance(value, Remote) and self._program.ask("isinstance", value, self) is True

    def __repr__(self):
        return f"<{self._type}>"

    def __str__(self):
        return self._program.ask("str", self)

    def __enter__(self):
        return self._program.ask("get", self, "__enter__")()

    def __exit__(self, *error):
        self._program.ask("get", self, "__exit__")(None, None, None)


for _name in OPERATORS:
    _what = _name + "_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", forward(_what))
    setattr(Remote, f"__r{_name}__", backward(_what))
for _name in "neg pos abs invert getitem setitem delitem".split():
    setattr(Remote, f"__{_name}__", forward(_name))
for _name in "len next int float round".split():
    setattr(Remote, f"__{_name}__", forward(_name))
for _name in "lt le gt ge".split():
    setattr(Remote, f"__{_name}__", compare(_name))
