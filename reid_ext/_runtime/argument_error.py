"""The error of an invalid argument, and how it gets the names of what the user called."""

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

F = TypeVar("F", bound=Callable)

# What csrc/common/check.h writes, behind the place that torch names: "check_like, check.h:62, ".
_KERNEL_ERROR = re.compile(
    r"(?:[^\n]*:\d+, )?(?P<function>\w+): (?P<argument>.+?) must (?P<requirement>.+?)"
    r"(?:(?<= like| with) (?P<like>\w+))?, got (?P<value>.*?)(?:; (?P<advice>.*))?$",
    re.DOTALL,
)


class ArgumentError(ValueError):
    """An argument of a public function that does not meet its requirement.

    The message is ``<function>: <argument> must <requirement>, got <value>; <advice>``.

    Attributes:
        function: The public function or class that the user called.
        argument: The name of its argument.
        requirement: What the argument must be, have or hold.
        value: What was given, described in at most about 80 characters.
        advice: What to do about it; may be empty.
        like: Another argument, with whose name the requirement ends; may be empty.
    """

    def __init__(
        self,
        function: str,
        argument: str,
        requirement: str,
        value: str,
        advice: str = "",
        like: str = "",
    ) -> None:
        self.function, self.argument, self.like = function, argument, like
        self._comparison = requirement
        self.requirement = f"{requirement} {like}" if like else requirement
        self.value, self.advice = value, advice
        end = f"; {advice}" if advice else ""
        super().__init__(f"{function}: {argument} must {self.requirement}, got {value}{end}")

    def __reduce__(self) -> tuple[Any, ...]:
        fields = self.function, self.argument, self._comparison, self.value, self.advice, self.like
        return type(self), fields

    def named(self, function: str, **arguments: str) -> "ArgumentError":
        """The same error for a caller of ``function``, which has its own names of arguments."""
        argument = arguments.get(self.argument, self.argument)
        like = arguments.get(self.like, self.like)
        return ArgumentError(function, argument, self._comparison, self.value, self.advice, like)

    @classmethod
    def of_kernel(cls, error: RuntimeError) -> "ArgumentError | RuntimeError":
        """What a compiled op raised: of an argument as ArgumentError, anything else unchanged.

        C++ passes nothing but its text to Python.
        """
        first_line = str(error).split("\nException raised from", 1)[0].strip()
        match = _KERNEL_ERROR.match(first_line)
        return cls(**match.groupdict("")) if match else error


def named(**arguments: str) -> Callable[[F], F]:
    """Let errors name the decorated function, or the class of a method, and its own arguments.

    ``arguments``: the name of an argument of what it calls -> its own name for it.
    """

    def decorate(called: F) -> F:
        function = called.__qualname__.partition(".")[0]

        @functools.wraps(called)
        def with_names(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():  # what fails in a graph raises outside of this call
                return called(*args, **kwargs)
            try:
                return called(*args, **kwargs)
            except ArgumentError as error:
                raise error.named(function, **arguments) from None

        return with_names  # type: ignore[return-value]

    return decorate


def described(value: object) -> str:
    """A value in an error: itself if short; dtype and shape of an array or tensor."""
    if isinstance(value, Tensor) and value.is_nested:
        return "a nested tensor"
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
