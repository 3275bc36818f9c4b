"""An argument parser whose errors are one line and suggest the nearest name."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from reid_ext._runtime.argument_error import suggestion
from reid_ext._runtime.terminal import harmless


class Parser(argparse.ArgumentParser):
    """``argparse.ArgumentParser`` without the usage before an error."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: error: {harmless(message)}; see {self.prog} --help\n")
        sys.exit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse ``args``; a flag that this parser does not know is an error at once."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            advice = suggestion(unknown[0].partition("=")[0], flags)
            self.error("; ".join(filter(None, [f"unrecognized arguments: {unknown[0]}", advice])))
        return known, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            advice = suggestion(value, action.choices or ())
            raise argparse.ArgumentError(
                action, "; ".join(filter(None, [error.message, advice]))
            ) from None
