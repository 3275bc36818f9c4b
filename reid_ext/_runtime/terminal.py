"""Makes errors and text from data, such as file names, safe and readable in a terminal."""

_NO_MEMORY = ("can't allocate memory", '"aten::new_empty"')  # parts of torch's messages


def harmless(text: str) -> str:
    """Replace control characters, except line breaks and tabs, by escapes such as ``\\x1b``.

    The name of a file may contain escape sequences, which a terminal would execute.
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out. On a CPU torch raises a plain RuntimeError for it."""
    text = str(error)
    of_torch = isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    return of_torch or isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """Return the message that the command line prints for an error."""
    if is_out_of_memory(error):
        return "out of memory; use a smaller batch, fewer images, or a machine with more memory"
    return harmless(str(error))


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived, with which schedulers and ``kill`` end a process."""


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status with which a shell reports Ctrl-C or SIGTERM."""
    return 143 if isinstance(stop, Terminated) else 130
