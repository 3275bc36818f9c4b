"""Turns the Sphinx roles in docstrings into Markdown links, for the documentation site.

Editors understand :func:`reid_ext.ops.fidi_loss`, but Markdown needs a link in its place, and a
single colon where a formula follows a double colon. A name without a module refers to the public
object. A name that is not public is shown without a link.
"""

import re
from collections.abc import Iterator

import griffe

ROLE = re.compile(r":(?:func|class|meth|attr|mod):`([\w.]+)`")
LITERAL = re.compile(r"::$", re.MULTILINE)


def public_names(package: griffe.Module) -> dict[str, str]:
    """The exported names of the modules of the package, with the path of each on the site."""
    names: dict[str, str] = {}
    for module in package.modules.values():
        for name in map(str, module.exports or ()):
            if name not in names or module.name == "evaluation":  # distributed exports one too
                hidden = isinstance(module.members[name], griffe.Module)  # by a file of that name
                names[name] = f"{module.path}.{name}" + (f".{name}" if hidden else "")
    return names


def documented(scope: griffe.Object) -> Iterator[griffe.Object]:
    yield scope
    for member in scope.members.values():
        if isinstance(member, griffe.Object):  # and not an alias of an imported object
            yield from documented(member)


def linked(text: str, public: dict[str, str], owner: griffe.Object) -> str:
    """The docstring ``text`` of ``owner`` with Markdown links in place of roles."""

    def link(role: re.Match[str]) -> str:
        name = role[1].rpartition(".")[2]
        target = public.get(name, "")
        if not target and name in owner.members and owner.name in public:
            target = f"{public[owner.name]}.{name}"
        return f"[`{role[1]}`][{target}]" if target else f"`{role[1]}`"

    return ROLE.sub(link, LITERAL.sub(":", text))


class DocstringLinks(griffe.Extension):
    """A griffe extension that converts every docstring of a package after loading it."""

    def on_package(self, *, pkg: griffe.Module, **_) -> None:
        public = public_names(pkg)
        for owner in documented(pkg):
            if owner.docstring is not None:
                owner.docstring.value = linked(owner.docstring.value, public, owner)
