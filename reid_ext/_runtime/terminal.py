"""An error, and text that came with data, such as file names, on their way to a terminal."""

_NO_MEMORY = ("can't allocate memory", '"aten::new_empty"')  # what torch's errors for it have


def harmless(text: str) -> str:
    """``text`` with every control character but line break and tab written out, as in ``\\x1b``.

    A file's name may hold escape sequences, which a terminal would obey.
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there is no memory left: torch has no type of its own for a CPU's."""
    text = str(error)
    of_torch = isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    return of_torch or isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """What a person reads of an error."""
    if is_out_of_memory(error):
        return "out of memory; take a smaller batch, fewer images, or a machine with more"
    return harmless(str(error))
