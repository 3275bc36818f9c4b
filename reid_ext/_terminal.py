"""Text that came with data, such as file names, on its way to a terminal."""


def harmless(text: str) -> str:
    """``text`` with every control character but the line break written out, as in ``\\x1b``.

    A file's name may hold escape sequences, which a terminal would obey.
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )
