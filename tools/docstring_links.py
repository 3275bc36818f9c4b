"""For the documentation site: Sphinx roles of docstrings, as links.

``:func:`reid_ext.ops.fidi_loss` `` is what an editor knows; Markdown has another form for it.
"""

import re

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod):`([\w.]+)`")


def linked(docstring: str, scope: str) -> str:
    """``docstring`` with its roles as Markdown links; a bare name is looked up in ``scope``."""

    def link(role: re.Match[str]) -> str:
        name = role[1]
        target = name if name.startswith("reid_ext") else f"{scope}.{name}"
        return f"[`{name}`][{target}]"

    return ROLE.sub(link, docstring)


class DocstringLinks(griffe.Extension):
    """Applies it to every object as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            scope = obj.path if obj.is_class else obj.parent.path if obj.parent else ""
            obj.docstring.value = linked(obj.docstring.value, scope)
