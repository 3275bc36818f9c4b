"""For the documentation site: Sphinx roles of docstrings, as links.

An editor knows :func:`reid_ext.ops.fidi_loss`; Markdown has another form for it, and for the double
colon before a formula. A name without its module is that of the public object; one that is not
public is shown without a link.
"""

import re
from collections.abc import Iterator

import griffe

ROLE = re.compile(r":(?:func|class|meth|attr|mod):`([\w.]+)`")
LITERAL = re.compile(r"::$", re.MULTILINE)


def public_names(package: griffe.Module) -> dict[str, str]:
    """The exported names of the package's modules, and where the site has each."""
    names: dict[str, str] = {}
    for module in package.modules.values():
        for name in map(str, module.exports or ()):
            if name not in names or module.name == "evaluation":  # its evaluate, not distributed's
                hidden = isinstance(module.members[name], griffe.Module)  # by a file of its name
                names[name] = f"{module.path}.{name}" + (f".{name}" if hidden else "")
    return names


def documented(scope: griffe.Object) -> Iterator[griffe.Object]:
    yield scope
    for member in scope.members.values():
        if isinstance(member, griffe.Object):  # not one that is only imported there
            yield from documented(member)


def linked(text: str, public: dict[str, str], owner: griffe.Object) -> str:
    """``text``, of the docstring of ``owner``, with its roles as Markdown links."""

    def link(role: re.Match[str]) -> str:
        name = role[1].rpartition(".")[2]
        target = public.get(name, "")
        if not target and name in owner.members and owner.name in public:
            target = f"{public[owner.name]}.{name}"
        return f"[`{role[1]}`][{target}]" if target else f"`{role[1]}`"

    return ROLE.sub(link, LITERAL.sub(":", text))


class DocstringLinks(griffe.Extension):
    """Applies it to every docstring of a package, once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_) -> None:
        public = public_names(pkg)
        for owner in documented(pkg):
            if owner.docstring is not None:
                owner.docstring.value = linked(owner.docstring.value, public, owner)
