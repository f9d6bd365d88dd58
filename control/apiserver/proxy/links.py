"""Links in what a proxied server answers, so that following them leads through the proxy again.

Invariant: nothing but the values of links changes, and only of links to the proxied server itself.
Source: apimachinery's proxy transport (which attributes are links, which links are rewritten).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",),
    "blockquote": ("cite",), "body": ("background",), "button": ("formaction",), "command": ("icon",),
    "del": ("cite",), "embed": ("src",), "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",),
    "html": ("manifest",), "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",), "source": ("src",),
    "video": ("poster", "src"),
}  # fmt: skip
_TAG = re.compile(r"""<!--.*?-->|<([a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>""", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s=>/"']+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>"']+)""")
# What is between these and their ends is not markup.
_TEXT = ("script", "style", "textarea", "title")

Rewrite = Callable[[str], str]


def moved(link: str, base: str, target: str) -> str:
    """Where a link of the server at `target` (HOST:PORT) leads when it is asked below the path `base`."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    if (parts.netloc and parts.netloc != target) or not parts.path.startswith("/"):
        return link
    path = parts.path if parts.path.startswith(base) else base + parts.path
    return parts._replace(scheme="", netloc="", path=path).geturl()


def rewrite(page: str, move: Rewrite) -> str:
    """A page of HTML with every link moved."""
    done: list[str] = []
    position = 0
    while found := _TAG.search(page, position):
        done += [page[position : found.start()], _tag(found, move)]
        position = found.end()
        name = (found[1] or "").lower()
        if name in _TEXT:
            end = re.compile(f"</{name}", re.IGNORECASE).search(page, position)
            after = end.start() if end else len(page)
            done.append(page[position:after])
            position = after
    return "".join([*done, page[position:]])


def _tag(found: re.Match[str], move: Rewrite) -> str:
    name = found[1]
    links = _ATTRIBUTES.get(name.lower(), ()) if name else ()
    if not links:
        return found[0]

    def attribute(one: re.Match[str]) -> str:
        if one[1].lower() not in links:
            return one[0]
        quote = one[3][0] if one[3][0] in "\"'" else ""
        old = html.unescape(one[3].strip(quote) if quote else one[3])
        new = move(old)
        return one[0] if new == old else f'{one[1]}{one[2]}"{html.escape(new)}"'

    return f"<{name}{_ATTRIBUTE.sub(attribute, found[2])}>"
