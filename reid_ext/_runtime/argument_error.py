"""ArgumentError, and the decorator that makes it name the function that the user called."""

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

F = TypeVar("F", bound=Callable)

# The format of csrc/common/check.h. Torch puts the place before it: "check_like, check.h:62, ".
_KERNEL_ERROR = re.compile(
    r"(?:[^\n]*:\d+, )?(?P<function>\w+): (?P<argument>.+?) must (?P<requirement>.+?)"
    r"(?:(?<= like| with) (?P<like>\w+))?, got (?P<value>.*?)(?:; (?P<advice>.*))?$",
    re.DOTALL,
)


class ArgumentError(ValueError):
    """Raised when an argument of a public function does not meet its requirement.

    The message is ``<function>: <argument> must <requirement>, got <value>; <advice>``.

    Attributes:
        function: The public function or class that the user called.
        argument: The name of its argument.
        requirement: What the argument must be, have or hold, as a verb phrase.
        value: The value received, described in at most about 80 characters.
        advice: How to correct the call. May be empty.
        like: The argument that this one must match. It ends the requirement and may be empty.

    Examples:
        >>> import torch, reid_ext
        >>> try:
        ...     reid_ext.ops.nearest(torch.eye(3), count=1, metric="manhattan")
        ... except reid_ext.ArgumentError as error:
        ...     print(error.argument, "must", error.requirement)
        metric must be one of 'cosine', 'euclidean', 'squared_euclidean'
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
        """Return the same error, with the function's name and its own names of the arguments."""
        argument = arguments.get(self.argument, self.argument)
        like = arguments.get(self.like, self.like)
        return ArgumentError(function, argument, self._comparison, self.value, self.advice, like)

    @classmethod
    def of_kernel(cls, error: RuntimeError) -> "ArgumentError | RuntimeError":
        """Return an ArgumentError if a kernel's error is about an argument, else the error itself.

        Only the text of an error reaches Python from C++, so the text is parsed.
        """
        first_line = str(error).split("\nException raised from", 1)[0].strip()
        match = _KERNEL_ERROR.match(first_line)
        return cls(**match.groupdict("")) if match else error


def named(**arguments: str) -> Callable[[F], F]:
    """Make errors name the decorated function, or the class of a method, and its arguments.

    ``arguments`` maps the argument names of the functions that it calls to its own names.
    """

    def decorate(called: F) -> F:
        function = called.__qualname__.partition(".")[0]

        @functools.wraps(called)
        def with_names(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():  # a graph raises its errors outside this call
                return called(*args, **kwargs)
            try:
                return called(*args, **kwargs)
            except ArgumentError as error:
                raise error.named(function, **arguments) from None

        return with_names  # type: ignore[return-value]

    return decorate


def suggestion(value: object, allowed: Iterable[Any]) -> str:
    """Return advice that names the allowed word nearest to ``value``, or an empty string."""
    words = [word for word in allowed if isinstance(word, str)]
    near = difflib.get_close_matches(value.lower(), words, 1, 0.5) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}?" if near else ""


def described(value: object) -> str:
    """Describe a value for an error message: a tensor or array by its dtype and shape."""
    if isinstance(value, Tensor) and value.is_nested:
        return "a nested tensor"
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
