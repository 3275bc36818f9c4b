"""An argument parser whose errors are one line with the nearest valid word."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from reid_ext._runtime.argument_error import suggestion
from reid_ext._runtime.terminal import harmless

_WORDS = (  # texts of argparse, and ours
    (r"argument (\S+?)(?:/\S+)?: expected one argument", r"\1 must have a value"),
    (r"argument (\S+?)(?:/\S+)?: expected .*", r"\1 must have values"),
    (r"argument (\S+?): invalid int value: (.*)", r"\1 must be an integer, got \2"),
    (r"argument (\S+?): invalid float value: (.*)", r"\1 must be a number, got \2"),
    (r"the following arguments are required: (.*)", r"\1 must be given"),
    (r"argument (\S+?): (must .*)", r"\1 \2"),
)


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that prints its errors without the usage."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            getattr(found, "parser", self)._fail_for(unknown[0])
        return found

    def error(self, message: str) -> NoReturn:
        for pattern, ours in _WORDS:
            message = re.sub(f"^{pattern}$", ours, message, flags=re.DOTALL)
        advice = "" if message.endswith("?") else f"; see {self.prog} --help"
        self.exit(2, harmless(f"{self.prog}: {message}{advice}\n"))

    def _fail_for(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"unexpected argument {word!r}")
        flag, _, _ = word.partition("=")
        near = suggestion(flag, self._option_string_actions)
        self.error("; ".join([f"unknown flag {flag}", *[near] * bool(near)]).replace("'", ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = suggestion(value, action.choices)
            text = f"must be one of {', '.join(map(str, action.choices))}, got {value!r}"
            raise argparse.ArgumentError(action, "; ".join([text, *[near] * bool(near)]))
