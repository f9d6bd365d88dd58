"""`wherry token`: bootstrap tokens, with which a new node asks for its certificate.

A token is a Secret `bootstrap-token-ID` in kube-system; the text form is ID.SECRET.

Invariant: the secret half of a token is printed only by `create`, and by `list --show-secrets`.
Source: Kubernetes "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import string
from typing import Any

from api import kubeconfig
from api.client import Client
from api.errors import ApiError, NotFound
from api.kubeconfig import KubeconfigError
from api.objects import Object
from api.runtime import Runtime, SystemRuntime, parse_timestamp, timestamp
from api.transport import TransportError
from control.cli.errors import CommandError

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
GROUPS = "system:bootstrappers:wherry:node"

_ALPHABET = string.ascii_lowercase + string.digits
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def new_token(runtime: Runtime) -> str:
    """A fresh token of the form `[a-z0-9]{6}.[a-z0-9]{16}`."""
    random = runtime.random()
    return ".".join("".join(random.choice(_ALPHABET) for _ in range(length)) for length in (6, 16))


def token_secret(token: str, expires: float | None, description: str) -> Object:
    """The Secret for a token; `expires` in seconds since the epoch, None for never. Raises CommandError."""
    if not re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token):
        raise CommandError("a token has the form abcdef.0123456789abcdef: 6 and 16 of a-z and 0-9")
    identifier, secret = token.split(".")
    data = {
        "token-id": identifier,
        "token-secret": secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUPS,
        "description": description,
    }
    if expires is not None:
        data["expiration"] = timestamp(expires)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{identifier}", "namespace": NAMESPACE},
        "type": TYPE,
        "stringData": data,
    }


def parse_duration(text: str) -> float:
    """Seconds of `24h`, `90m`, `1h30m`, `7d` or `0`. Raises CommandError."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if text != "0" and "".join(number + unit for number, unit in parts) != text:
        raise CommandError(f"{text!r} is no duration; write for example 24h, 90m or 7d")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry token`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a token and print it")
    create.add_argument("token", nargs="?", help="the token to register; a random one if left out")
    create.add_argument("--ttl", default="24h", help="how long it is good, e.g. 24h; 0 for ever (default: 24h)")
    create.add_argument("--description", default="made by wherry token create")
    create.add_argument(
        "--if-missing", action="store_true", help="print one that is good for at least an hour more, if there is one"
    )
    listing = verbs.add_parser("list", help="show the tokens")
    listing.add_argument("--show-secrets", action="store_true", help="print whole tokens")
    revoke = verbs.add_parser("revoke", help="delete a token")
    revoke.add_argument("token", help="the token or its first six characters")
    for verb in (create, listing, revoke):
        add_kubeconfig(verb)


def add_kubeconfig(parser: argparse.ArgumentParser) -> None:
    """The option that says by which kubeconfig the cluster is reached."""
    default = os.environ.get("KUBECONFIG") or "/etc/wherry/admin.kubeconfig"
    parser.add_argument("--kubeconfig", default=default, help="($KUBECONFIG, or else /etc/wherry/admin.kubeconfig)")
    about = "take the kubeconfig that `wherry up` wrote beside this inventory"
    parser.add_argument("-i", "--inventory", dest="kubeconfig", type=_beside, help=about)


def _beside(inventory: str) -> str:
    from control.cli import up

    return str(up.beside(inventory))


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry token`."""
    runtime = SystemRuntime()
    try:
        client = kubeconfig.client(arguments.kubeconfig, "wherry-token")
        if arguments.verb == "create":
            print(_create(client, runtime, arguments))
        elif arguments.verb == "list":
            _print_list(client, arguments.show_secrets)
        else:
            identifier = arguments.token.partition(".")[0]
            client.delete("secrets", f"bootstrap-token-{identifier}", NAMESPACE)
            print(f"token {identifier} revoked")
    except NotFound as error:
        raise CommandError(f"there is no such token: {error.message}") from error
    except (ApiError, TransportError, KubeconfigError) as error:
        raise CommandError(str(error)) from error
    return 0


def _tokens(client: Client) -> list[dict[str, str]]:
    page = client.list("secrets", NAMESPACE, field_selector=f"type={TYPE}")
    found = [
        {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        for secret in page.items
    ]
    # A Secret that lacks either half, whoever made it, lets nobody in.
    return [data for data in found if data.get("token-id") and data.get("token-secret")]


def _create(client: Client, runtime: Runtime, arguments: Any) -> str:
    if arguments.if_missing:
        good_until = runtime.time() + 3600
        for data in _tokens(client):
            expiration = data.get("expiration")
            if not expiration or parse_timestamp(expiration) > good_until:
                return f"{data['token-id']}.{data['token-secret']}"
    seconds = parse_duration(arguments.ttl)
    token = arguments.token or new_token(runtime)
    expires = runtime.time() + seconds if seconds else None
    client.create("secrets", token_secret(token, expires, arguments.description))
    return str(token)


def _print_list(client: Client, show_secrets: bool) -> None:
    print(f"{'TOKEN':<24} {'EXPIRES':<21} DESCRIPTION")
    for data in _tokens(client):
        secret = data.get("token-secret", "") if show_secrets else "*" * 16
        token = f"{data.get('token-id', '?')}.{secret}"
        print(f"{token:<24} {data.get('expiration', 'never'):<21} {data.get('description', '')}")
