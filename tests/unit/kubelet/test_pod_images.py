"""Names of images, whose password pulls them, and what users are told of a pull."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.kubelet.pods.image_names import digest_of, problem, qualified, repository
from agents.kubelet.pods.images import ImageManager
from agents.kubelet.pods.keyring import credentials_for
from agents.kubelet.pods.performer import StartProblem
from agents.kubelet.pods.pulled import PulledImages, Verification
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import ContainerRuntimeError, Credentials, Image, ImagePullError
from api.objects import Object
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

DIGEST = "sha256:" + "a" * 64
NAMES = [
    ("busybox", "docker.io/library/busybox:latest"),
    ("busybox:1", "docker.io/library/busybox:1"),
    ("team/app", "docker.io/team/app:latest"),
    ("localhost/app:1", "localhost/app:1"),
    ("registry:5000/a/b_c/d__e/f-g.h", "registry:5000/a/b_c/d__e/f-g.h:latest"),
    (f"quay.io/x/y@{DIGEST}", f"quay.io/x/y@{DIGEST}"),
    (f"quay.io/x/y:1@{DIGEST}", f"quay.io/x/y:1@{DIGEST}"),
    ("[2001:db8::1]:5000/x", "[2001:db8::1]:5000/x:latest"),
    ("Registry.example/x", "Registry.example/x:latest"),
]


@pytest.mark.parametrize(("image", "wanted"), NAMES)
def test_a_name_in_full(image: str, wanted: str) -> None:
    assert (problem(image), qualified(image)) == ("", wanted)
    assert repository(qualified(image)) == wanted.partition("@")[0].removesuffix(":latest").removesuffix(":1")


HERE, THERE = f"docker.io/library/x@{DIGEST}", f"quay.io/x@{DIGEST}"


@pytest.mark.parametrize(
    ("image", "digests", "wanted"),
    [("x:1", (THERE, HERE), HERE), ("quay.io/x", (HERE, THERE), THERE), ("y", (THERE, HERE), THERE), ("x", (), "")],
)
def test_the_digest_of_an_image(image: str, digests: tuple[str, ...], wanted: str) -> None:
    assert digest_of(image, digests) == wanted


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("x:", "invalid reference format"),
        ("x:tag/y", "invalid reference format"),
        ("x@sha256:short", "invalid reference format"),
        ("x//y", "invalid reference format"),
        ("-x", "invalid reference format"),
        ("quay.io/Team/app:1", "invalid reference format: repository name (quay.io/Team/app) must be lowercase"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("x/" + "a" * 254, "repository name must not be more than 255 characters"),
    ],
)
def test_what_is_no_name(image: str, why: str) -> None:
    assert problem(image) == why


def secret(places: Object, kind: str = "kubernetes.io/dockerconfigjson", name: str = "pull") -> Object:
    whole = {"auths": places} if kind.endswith("json") else places
    key = f".{kind.partition('/')[2]}"
    return {"metadata": {"name": name}, "type": kind, "data": {key: base64.b64encode(orjson.dumps(whole)).decode()}}


def entry(text: str = "me:it") -> Object:
    return {"auth": base64.b64encode(text.encode()).decode()}


FITTING = [
    # (what the secret names, what is pulled, whether it fits)
    ("https://hello.example", "hello.example/a", True),
    ("*.example.io", "prefix.example.io/a", True),
    ("prefix.*.io", "prefix.example.io/a", True),
    ("*-good.example.io", "prefix-good.example.io/a", True),
    ("*.example.io:1111/a", "prefix.example.io:1111/a/b", True),
    ("https://*.example.io/v1/", "prefix.example.io/a", True),
    ("https://*.example.io/v2/", "prefix.example.io/a", True),
    ("example.io/team", "example.io/team/app", True),
    ("https://index.docker.io/v1/", "docker.io/library/a", True),
    ("docker.io", "docker.io/library/a", True),
    ("*.example.io", "example.io/a", False),
    ("example.io", "example.com/a", False),
    ("e*.io", "quay.io/a", False),
    ("example.io:1", "example.io:2/a", False),
    ("example.io", "example.io:2/a", False),
    ("example.io/team", "example.io/other/app", False),
    ("https://index.docker.io/v1/", "quay.io/a", False),
]


@pytest.mark.parametrize(("place", "image", "fits"), FITTING)
@pytest.mark.parametrize("kind", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
def test_which_registry_a_secret_is_for(place: str, image: str, fits: bool, kind: str) -> None:
    assert credentials_for(image, [secret({place: entry()}, kind)]) == ([Credentials("me", "it")] if fits else [])


def test_what_is_more_precise_is_tried_first() -> None:
    secrets = [
        secret({"quay.io": entry("host:x"), "quay.io/team": entry("team:x")}),
        secret({"quay.io/team": {"username": "second", "password": "y"}, "quay.io": {"auth": ""}}),
        {"metadata": {"name": "other"}, "type": "Opaque", "data": {".dockerconfigjson": "broken"}},
    ]
    assert [found.username for found in credentials_for("quay.io/team/app", secrets)] == ["team", "second", "host"]


@pytest.mark.parametrize("places", [{"x.io": {"auth": "!"}}, {"x.io": entry("nobody")}, ["x.io"], {"x.io": "text"}])
def test_a_secret_that_cannot_be_read_is_named(places: Any) -> None:
    with pytest.raises(ValueError, match="the pull secret pull cannot be read"):
        credentials_for("x.io/a", [secret(places)])


class Registry(FakeRuntime):
    """A runtime without images, whose registry knows one user."""

    def image(self, reference: str) -> Image | None:
        return None

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        if credentials is None or credentials.username != "known":
            raise ImagePullError(f"{credentials.username if credentials else 'nobody'} is not allowed")
        return Image("sha256:x", size=7)


class Told(list[str]):
    """Keeps the events, and has the secrets."""

    secrets = {
        "first": secret({"quay.io": entry("stranger:x")}, name="first"),
        "second": secret({"quay.io": entry("known:x")}, name="second"),
        "third": secret({"quay.io": entry("known:x")}, name="third"),
        "broken": secret({"quay.io": {"auth": "!"}}, name="broken"),
    }

    def record(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        self.append(f"{reason}: {message}")

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        return self.secrets.get(name)

    def list(self, plural: str) -> list[Object]:
        return []


def notes(directory: Path, policy: Verification = Verification.PULLED) -> PulledImages:
    return PulledImages(directory / "pulled", policy, threading.Lock())


NONE_FITS = 'Failed: Failed to pull image "quay.io/a:1": '
PULLS = [
    ("as-whom-it-is-given", "quay.io/a:1", ["first", "second"], "", "Pulled: Successfully pulled image "),
    ("as-nobody", "quay.io/a:1", [], "ErrImagePull", f"{NONE_FITS}nobody is not allowed"),
    ("by-a-secret-that-is-not-there", "quay.io/a:1", ["none"], "ErrImagePull",
     "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (none);"),
    ("by-a-secret-that-is-broken", "quay.io/a:1", ["broken"], "ErrImagePull",
     f"{NONE_FITS}the pull secret broken cannot be read"),
    ("no-name", "Not A Name", [], "InvalidImageName",
     "InspectFailed: Failed to apply default image tag \"Not A Name\": couldn't parse image name \"Not A Name\": "),
]  # fmt: skip


@pytest.mark.parametrize(("image", "names", "reason", "told"), [pytest.param(*row[1:], id=row[0]) for row in PULLS])
def test_what_is_told_of_a_pull(image: str, names: list[str], reason: str, told: str, tmp_path: Path) -> None:
    events = Told()
    manager = ImageManager(SystemRuntime(), Registry(SystemRuntime()), events, events, notes(tmp_path))
    container = {"name": "app", "image": image}
    pod: Object = {"metadata": {"name": "p", "namespace": "d", "uid": "u"}}
    pod["spec"] = {"containers": [container], "imagePullSecrets": [{"name": name} for name in names]}
    if reason:
        with pytest.raises(StartProblem) as caught:
            manager.ensure(pod, container, lambda: None)
        assert caught.value.reason == reason
        assert events[-1] == f"Failed: Error: {reason}"
    else:
        manager.ensure(pod, container, lambda: None)
    assert any(text.startswith(told) for text in events)
    if reason == "ErrImagePull":
        with pytest.raises(StartProblem, match="Back-off pulling image"):
            manager.ensure(pod, container, lambda: None)
        assert events[-2:] == ['BackOff: Back-off pulling image "quay.io/a:1"', "Failed: Error: ImagePullBackOff"]


class Filled(Registry):
    """The same with one image, whoever pulls it with a password or, if it is `public`, without."""

    def __init__(self, public: bool = False) -> None:
        super().__init__(SystemRuntime())
        self.public, self.pulls = public, 0

    def image(self, reference: str) -> Image | None:
        return Image("sha256:x")

    def list_images(self) -> list[Image]:
        return [Image("sha256:x")]

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        self.pulls += 1
        return Image("sha256:x") if self.public and credentials is None else super().pull_image(reference, credentials)


def uses(runtime: Filled, pulled: PulledImages, policy: str, *names: str, image: str = "quay.io/a:1") -> str:
    """What becomes of a pod that wants the image: "" if it has it, else why not."""
    container = {"name": "app", "image": image, "imagePullPolicy": policy}
    pod: Object = {"metadata": {"name": "p", "namespace": "d", "uid": policy + str(names)}}
    pod["spec"] = {"containers": [container], "imagePullSecrets": [{"name": name} for name in names]}
    events = Told()
    try:
        ImageManager(SystemRuntime(), runtime, events, events, pulled).ensure(pod, container, lambda: None)
    except StartProblem as problem:
        return problem.reason
    return ""


# Source: e2e_node's image_credential_pulls.go, and pullmanager's tables.
USERS = [
    # how it came here, who wants it by which policy, what becomes of it, and how often the registry is asked
    ("loaded", "IfNotPresent", (), "", 0),
    ("loaded", "Never", (), "", 0),
    ("private", "IfNotPresent", (), "ErrImagePull", 1),
    ("private", "IfNotPresent", ("first",), "ErrImagePull", 1),
    ("private", "IfNotPresent", ("second",), "", 0),
    ("private", "IfNotPresent", ("third",), "", 0),
    ("private", "Never", (), "ErrImageNeverPull", 0),
    ("private", "Never", ("first",), "ErrImageNeverPull", 0),
    ("private", "Never", ("second",), "", 0),
    ("private", "Always", ("second",), "", 1),
    ("public", "IfNotPresent", (), "", 0),
    ("public", "Never", ("first",), "", 0),
    ("interrupted", "Never", (), "ErrImageNeverPull", 0),
    ("interrupted", "IfNotPresent", ("second",), "", 1),
    ("refused", "Never", (), "", 0),
    ("unreadable", "Never", (), "ErrImageNeverPull", 0),
]


@pytest.mark.parametrize(("came", "policy", "names", "reason", "asked"), USERS)
def test_an_image_that_was_pulled_is_for_those_who_could_pull_it(
    came: str, policy: str, names: tuple[str, ...], reason: str, asked: int, tmp_path: Path
) -> None:
    before, runtime = notes(tmp_path), Filled(public=came == "public")
    if came in ("private", "public", "refused"):
        first = {"private": ["second"], "public": [], "refused": ["first"]}[came]
        uses(runtime, before, "Always", *first)
    elif came == "interrupted":
        before.begin("quay.io/a:1")
    elif came == "unreadable":
        before.path.write_text("[]")
    runtime.pulls = 0
    # By a kubelet that has been started again.
    assert (uses(runtime, notes(tmp_path), policy, *names), runtime.pulls) == (reason, asked)


def test_whose_image_it_is_depends_on_its_repository_and_the_nodes_policy(tmp_path: Path) -> None:
    runtime = Filled()
    assert uses(runtime, notes(tmp_path), "IfNotPresent") == ""
    assert uses(runtime, notes(tmp_path, Verification.ALWAYS), "Never") == "ErrImageNeverPull"
    assert uses(runtime, notes(tmp_path), "Always", "second") == ""
    assert uses(runtime, notes(tmp_path), "Never", "second", image="quay.io/b:1") == "ErrImageNeverPull"
    assert uses(runtime, notes(tmp_path, Verification.NEVER), "Never") == ""


def test_a_pull_begins_only_once_it_could_be_noted(tmp_path: Path) -> None:
    pulled, runtime = PulledImages(tmp_path / "full" / "pulled", Verification.PULLED, threading.Lock()), Filled()
    pulled.path.parent.touch()
    assert [uses(runtime, pulled, "Always", "second") for _ in range(2)] == ["ErrImagePull"] * 2
    assert runtime.pulls == 0


@pytest.mark.parametrize("question", ["pull_image", "list_images"])
def test_a_pull_of_which_the_runtime_does_not_tell_the_end_is_over(
    question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*arguments: object) -> None:
        raise ContainerRuntimeError("it does not answer")

    pulled, runtime = notes(tmp_path), Filled()
    with monkeypatch.context() as patched:
        patched.setattr(runtime, question, breaks)
        with pytest.raises(ContainerRuntimeError):
            uses(runtime, pulled, "Always", "second")
    assert uses(runtime, pulled, "Never") == uses(runtime, notes(tmp_path), "Never") == "ErrImageNeverPull"
    assert uses(runtime, pulled, "IfNotPresent", "second") == ""
    pulled.images.clear()
    assert uses(runtime, pulled, "Never") == ""  # What is there now somebody else brought.


def test_of_images_that_are_gone_nothing_is_kept(tmp_path: Path) -> None:
    pulled = notes(tmp_path)
    for name in ("a", "b", "c"):
        pulled.begin(f"quay.io/{name}:1")
        pulled.succeed(f"quay.io/{name}:1", name, None, lambda: ["b"])
    assert list(notes(tmp_path).images) == ["b", "c"]


class Later(SystemRuntime):
    """A clock that can be ahead."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def test_pulls_that_failed_are_forgotten_when_nobody_waits_any_more(tmp_path: Path) -> None:
    clock, events = Later(), Told()
    manager = ImageManager(clock, Registry(clock), events, events, notes(tmp_path))
    container = {"name": "app", "image": "quay.io/a:1"}
    kept = []
    for uid, ahead in (("gone", 0.0), ("gone too", 599.0), ("here", 601.0)):
        clock.ahead = ahead
        pod = {"metadata": {"name": "p", "namespace": "d", "uid": uid}, "spec": {"containers": [container]}}
        with pytest.raises(StartProblem):
            manager.ensure(pod, container, lambda: None)
        kept.append([uid for uid, _ in manager._failed])
    assert kept == [["gone"], ["gone", "gone too"], ["gone too", "here"]]
