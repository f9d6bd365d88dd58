"""What names, labels and keys may look like, and names for objects that come without one.

Every check returns the sentences of what is wrong, none if nothing is, in the original's words.
Invariant: a generated name is never longer than 63 characters.
Source: apimachinery's `util/validation` and `util/rand`; RFC 1123, RFC 1035.
"""

from __future__ import annotations

import random
import re

DNS1123_LABEL_MAX = 63
DNS1123_SUBDOMAIN_MAX = 253
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_MAX = 63

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_HTTP_HEADER = r"[-A-Za-z0-9]+"
_PERCENT = r"[0-9]+%"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")
_WILDCARD = rf"\*\.{_SUBDOMAIN}"


def _mismatch(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    """The sentence for text over `limit` bytes."""
    return f"must be no more than {limit} bytes"


def out_of_range(low: int, high: int) -> str:
    """The sentence for a number outside low..high."""
    return f"must be between {low} and {high}, inclusive"


_LABEL_MESSAGE = _mismatch(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character",
    _LABEL, "my-name", "123-abc",
)  # fmt: skip
_SUBDOMAIN_MESSAGE = _mismatch(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character",
    _SUBDOMAIN, "example.com",
)  # fmt: skip
_LABEL_1035_MESSAGE = _mismatch(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character",
    _LABEL_1035, "my-name", "abc-123",
)  # fmt: skip
_QUALIFIED_MESSAGE = _mismatch(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED, "MyName", "my.name", "123-abc",
)  # fmt: skip
_LABEL_VALUE_MESSAGE = _mismatch(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start"
    " and end with an alphanumeric character",
    _LABEL_VALUE, "MyValue", "my_value", "12345",
)  # fmt: skip
_CONFIG_KEY_MESSAGE = _mismatch(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY, "key.name", "KEY_NAME", "key-name",
)  # fmt: skip
_WILDCARD_MESSAGE = _mismatch(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
    " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD, "*.example.com",
)  # fmt: skip
_C_IDENTIFIER_MESSAGE = _mismatch(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    " characters or '_'",
    _C_IDENTIFIER, "my_name", "MY_NAME", "MyName",
)  # fmt: skip
_HTTP_HEADER_MESSAGE = _mismatch(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HTTP_HEADER, "X-Header-Name"
)
_PERCENT_MESSAGE = _mismatch(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)

_COMPILED = {
    pattern: re.compile(pattern, re.ASCII)
    for pattern in (
        _LABEL, _SUBDOMAIN, _LABEL_1035, _QUALIFIED, _LABEL_VALUE, _CONFIG_KEY, _WILDCARD, _C_IDENTIFIER, _HTTP_HEADER,
        _PERCENT,
    )
}  # fmt: skip


def _problems(value: str, pattern: str, message: str, limit: int | None = None) -> list[str]:
    found = []
    if limit is not None and len(value.encode()) > limit:
        found.append(too_long(limit))
    if not _COMPILED[pattern].fullmatch(value):
        found.append(message)
    return found


def dns_label_problems(value: str) -> list[str]:
    """An RFC 1123 label: names of namespaces, containers, ports of volumes."""
    found = _problems(value, _LABEL, _LABEL_MESSAGE, DNS1123_LABEL_MAX)
    if _LABEL_MESSAGE in found and _COMPILED[_SUBDOMAIN].fullmatch(value):
        found[found.index(_LABEL_MESSAGE)] = "must not contain dots"
    return found


def dns_subdomain_problems(value: str) -> list[str]:
    """An RFC 1123 subdomain: names of most objects."""
    return _problems(value, _SUBDOMAIN, _SUBDOMAIN_MESSAGE, DNS1123_SUBDOMAIN_MAX)


def dns_1035_label_problems(value: str) -> list[str]:
    """An RFC 1035 label: names of services until 1.34."""
    return _problems(value, _LABEL_1035, _LABEL_1035_MESSAGE, DNS1123_LABEL_MAX)


def wildcard_subdomain_problems(value: str) -> list[str]:
    """`*.` and a subdomain: hosts of ingress rules."""
    return _problems(value, _WILDCARD, _WILDCARD_MESSAGE, DNS1123_SUBDOMAIN_MAX)


def path_segment_problems(value: str) -> list[str]:
    """What may stand between slashes of a URL: names of RBAC objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]


def label_key_problems(value: str) -> list[str]:
    """A qualified name: `name` or `prefix.example.com/name`. Also annotation keys, finalizers and conditions."""
    parts = value.split("/")
    found = []
    if len(parts) > 2:
        hint = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_QUALIFIED_MESSAGE}{hint}"]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {problem}" for problem in dns_subdomain_problems(parts[0])]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif len(name.encode()) > DNS1123_LABEL_MAX:
        found.append(f"name part {too_long(DNS1123_LABEL_MAX)}")
    if not _COMPILED[_QUALIFIED].fullmatch(name):
        found.append(f"name part {_QUALIFIED_MESSAGE}")
    return found


def label_value_problems(value: str) -> list[str]:
    """A label's value: empty, or up to 63 characters of a qualified name."""
    return _problems(value, _LABEL_VALUE, _LABEL_VALUE_MESSAGE, DNS1123_LABEL_MAX)


def whole_number_problems(value: str) -> list[str]:
    """A whole number, as values of taints are compared: there is one way to write each."""
    if not value:
        return ["must be non-empty"]
    return [] if _WHOLE_NUMBER.fullmatch(value) else ["must be a valid decimal integer in canonical form"]


def config_key_problems(value: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data."""
    found = _problems(value, _CONFIG_KEY, _CONFIG_KEY_MESSAGE, DNS1123_SUBDOMAIN_MAX)
    if value == ".":
        found.append("must not be '.'")
    elif value == "..":
        found.append("must not be '..'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def c_identifier_problems(value: str) -> list[str]:
    """A C identifier."""
    return _problems(value, _C_IDENTIFIER, _C_IDENTIFIER_MESSAGE)


def http_header_problems(value: str) -> list[str]:
    """A header's name."""
    return _problems(value, _HTTP_HEADER, _HTTP_HEADER_MESSAGE)


def percent_problems(value: str) -> list[str]:
    """`25%`."""
    return _problems(value, _PERCENT, _PERCENT_MESSAGE)


def environment_variable_problems(value: str) -> list[str]:
    """Any printable ASCII but `=`."""
    if not value:
        return ["environment variable name must be non-empty"]
    if not all(" " <= character <= "~" and character != "=" for character in value):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def port_name_problems(value: str) -> list[str]:
    """An IANA service name: names of container ports."""
    found = []
    if len(value) > 15:
        found.append(too_long(15))
    if not re.fullmatch(r"[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_problems(value: int) -> list[str]:
    """1 to 65535."""
    return [] if 1 <= value <= 65535 else [out_of_range(1, 65535)]


def generate(base: str, source: random.Random) -> str:
    """A name from `generateName`: the base, cut so that five random characters fit."""
    suffix = "".join(source.choice(SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return base[: _GENERATED_MAX - _SUFFIX_LENGTH] + suffix
