"""Users of the host."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import time
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option(required=True, aliases=("user",)),
    "state": Option(default="present", choices=("absent", "present")),
    "uid": Option("int"),
    "non_unique": Option("bool", default=False),
    "group": Option(),
    "groups": Option("list"),
    "append": Option("bool", default=False),
    "comment": Option(),
    "home": Option("path"),
    "move_home": Option("bool", default=False),
    "create_home": Option("bool", default=True, aliases=("createhome",)),
    "skeleton": Option(),
    "shell": Option("path"),
    "system": Option("bool", default=False),
    "password": Option(secret=True),
    "update_password": Option(default="always", choices=("always", "on_create")),
    "password_lock": Option("bool"),
    "expires": Option("float"),
    "password_expire_max": Option("int"),
    "password_expire_min": Option("int"),
    "password_expire_warn": Option("int"),
    "password_expire_account_disable": Option("int"),
    "uid_min": Option("int"),
    "uid_max": Option("int"),
    "seuser": Option(),
    "remove": Option("bool", default=False),
    "force": Option("bool", default=False),
    "umask": Option(),
    "local": Option("bool", default=False),
    "generate_ssh_key": Option("bool", default=False),
    "ssh_key_bits": Option("int"),
    "ssh_key_type": Option(default="rsa"),
    "ssh_key_file": Option("path"),
    "ssh_key_comment": Option(),
    "ssh_key_passphrase": Option(secret=True),
    # These say something on other systems only.
    **{name: Option() for name in ("authorization", "login_class", "profile", "role")},
    "hidden": Option("bool"),
}
# What chage sets, and where it stands in /etc/shadow.
_AGES = (("password_expire_min", "-m", 3), ("password_expire_max", "-M", 4), ("password_expire_warn", "-W", 5))
_EXPIRY = 7


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `user`."""
    if call["local"] and not call.check:
        raise Failure("local needs libuser's own tools, which Wherry does not call; leave it out")
    name = call["name"]
    result: dict[str, Any] = {"name": name, "state": call["state"], "changed": False}
    current = _current(name)
    if call["state"] == "present" and not (current is None and call.check):
        _refuse_unknown_groups(call)
    if call["state"] == "absent":
        if current is None:
            return result
        if call.check:
            return {"changed": True}
        words = [*(["-r"] if call["remove"] else []), *(["-f"] if call["force"] else [])]
        _do(call, result, ["userdel", *words, name])
        return {**result, "remove": call["remove"], "force": call["force"]}
    if current is None:
        if call.check:
            return {"changed": True}
        _do(call, result, ["useradd", *_create(call), name])
        result.update(system=call["system"], create_home=call["create_home"])
    else:
        words = _modify(call, current)
        if words:
            _do(call, result, ["usermod", *words, name])
        result.update(append=call["append"], move_home=call["move_home"])
        _missing_home(call, result)
    _ages(call, result)
    if call["password"] is not None:
        result["password"] = "NOT_LOGGING_PASSWORD"
    if call["groups"] is not None:
        result["groups"] = ",".join(call["groups"])
    if call["generate_ssh_key"] and not call.check:
        _ssh_key(call, result)
    return {**result, **_about(name)}


def _refuse_unknown_groups(call: Call) -> None:
    for name in (call["group"], *(call["groups"] or ())):
        try:
            known = not name or bool(grp.getgrgid(int(name)) if str(name).isdigit() else grp.getgrnam(name))
        except KeyError:
            known = False
        if not known:
            raise Failure(f"Group {name} does not exist")


def _ages(call: Call, result: dict[str, Any]) -> None:
    """How long the password may and must live."""
    shadow = _shadow(call["name"])
    words = [word for name, flag, place in _AGES if call[name] is not None and str(call[name]) != shadow[place]
             for word in (flag, str(call[name]))]  # fmt: skip
    if words:
        _do(call, result, ["chage", *words, call["name"]])


def _missing_home(call: Call, result: dict[str, Any]) -> None:
    """Make the home of a user who is there, but whose home is not."""
    entry = _current(call["name"])
    if entry is None or not call["create_home"] or os.path.exists(entry.pw_dir):
        return
    result["changed"] = True
    if call.check:
        return
    skeleton = call["skeleton"] or "/etc/skel"
    if os.path.isdir(skeleton):
        shutil.copytree(skeleton, entry.pw_dir, symlinks=True)
    else:
        os.makedirs(entry.pw_dir)
    os.chmod(entry.pw_dir, 0o777 & ~int(str(call["umask"] or "022"), 8))
    for root, directories, files in os.walk(entry.pw_dir):
        for path in (root, *(os.path.join(root, name) for name in [*directories, *files])):
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _current(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _do(call: Call, result: dict[str, Any], command: list[str]) -> None:
    result["changed"] = True
    if not call.check:
        done = call.run(command, environment={"LC_ALL": "C"})
        if done.status != 0:
            raise Failure(done.err, name=call["name"], rc=done.status)
        result.update({key: said for key, said in (("stdout", done.out), ("stderr", done.err)) if said})


def _create(call: Call) -> list[str]:
    words: list[str] = []
    if call["uid"] is not None:
        words += ["-u", str(call["uid"]), *(["-o"] if call["non_unique"] else [])]
    if call["group"]:
        words += ["-g", call["group"]]
    elif _has_group(call["name"]):
        # useradd would refuse to make a group of a name that is taken.
        words.append("-N")
    if call["groups"]:
        words += ["-G", ",".join(call["groups"])]
    for option, flag in (("comment", "-c"), ("home", "-d"), ("shell", "-s"), ("password", "-p")):
        if call[option] is not None:
            words += [flag, call[option]]
    if call["expires"] is not None:
        words += ["-e", _date(call["expires"])]
    words += _everywhere(call)
    for option, name in (("uid_min", "UID_MIN"), ("uid_max", "UID_MAX")):
        words += ["-K", f"{name}={call[option]}"] if call[option] is not None else []
    if call["create_home"]:
        words += ["-m", *(["-k", call["skeleton"]] if call["skeleton"] else [])]
        words += ["-K", f"UMASK={call['umask']}"] if call["umask"] else []
    else:
        words.append("-M")
    return [*words, *(["-r"] if call["system"] else [])]


def _everywhere(call: Call) -> list[str]:
    """What useradd and usermod are told alike, whatever it was before."""
    words = ["-Z", call["seuser"]] if call["seuser"] is not None else []
    disabled = call["password_expire_account_disable"]
    return [*words, *(["-f", str(disabled)] if disabled is not None else [])]


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _modify(call: Call, current: pwd.struct_passwd) -> list[str]:
    words: list[str] = []
    if call["uid"] is not None and call["uid"] != current.pw_uid:
        words += ["-u", str(call["uid"]), *(["-o"] if call["non_unique"] else [])]
    if call["group"] and _group_number(call["group"]) != current.pw_gid:
        words += ["-g", call["group"]]
    words += _groups(call, current)
    for option, flag, there in (("comment", "-c", current.pw_gecos), ("shell", "-s", current.pw_shell)):
        if call[option] is not None and call[option] != there:
            words += [flag, call[option]]
    if call["home"] is not None and call["home"] != current.pw_dir:
        words += ["-d", call["home"], *(["-m"] if call["move_home"] else [])]
    shadow = _shadow(call["name"])
    if (
        call["password"] is not None
        and call["update_password"] == "always"
        and call["password"] != shadow[1].lstrip("!")
    ):
        words += ["-p", call["password"]]
    locked = shadow[1].startswith("!")
    if call["password_lock"] is not None and call["password_lock"] != locked:
        words.append("-L" if call["password_lock"] else "-U")
    expiry = _date(float(shadow[_EXPIRY]) * 86400) if shadow[_EXPIRY] else ""
    if call["expires"] is not None and _date(call["expires"]) != expiry:
        words += ["-e", _date(call["expires"])]
    return [*words, *_everywhere(call)]


def _groups(call: Call, current: pwd.struct_passwd) -> list[str]:
    if call["groups"] is None:
        return []
    primary = current.pw_gid
    there = {group.gr_name for group in grp.getgrall() if call["name"] in group.gr_mem and group.gr_gid != primary}
    wanted = {name for name in call["groups"] if name and _group_number(name) != primary}
    missing = wanted - there
    if call["append"]:
        return ["-a", "-G", ",".join(sorted(missing))] if missing else []
    return ["-G", ",".join(sorted(wanted))] if wanted != there else []


def _group_number(name: str) -> int:
    try:
        return int(name)
    except ValueError:
        return grp.getgrnam(name).gr_gid if _has_group(name) else -1


def _shadow(name: str) -> list[str]:
    """The user's fields in /etc/shadow, all "" where it cannot be read."""
    try:
        with open("/etc/shadow") as stream:
            for line in stream:
                fields = line.rstrip("\n").split(":")
                if fields[0] == name:
                    return fields
    except PermissionError:
        pass
    return [""] * 9


def _date(seconds: float) -> str:
    return "" if seconds < 0 else time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _ssh_key(call: Call, result: dict[str, Any]) -> None:
    entry = pwd.getpwnam(call["name"])
    path = call["ssh_key_file"] or f".ssh/id_{call['ssh_key_type']}"
    path = path if os.path.isabs(path) else os.path.join(entry.pw_dir, path)
    if not os.path.exists(path) or call["force"]:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        if os.path.exists(path):
            os.unlink(path)
        bits = ["-b", str(call["ssh_key_bits"])] if call["ssh_key_bits"] else []
        phrase = call["ssh_key_passphrase"] or ""
        comment = call["ssh_key_comment"] or f"ansible-generated on {os.uname().nodename}"
        call.checked(["ssh-keygen", "-q", "-t", call["ssh_key_type"], *bits, "-N", phrase, "-C", comment, "-f", path])
        for name in (os.path.dirname(path), path, f"{path}.pub"):
            os.chown(name, entry.pw_uid, entry.pw_gid)
        result["changed"] = True
    with open(f"{path}.pub") as stream:
        result.update(ssh_key_file=path, ssh_public_key=stream.read().strip())
    result["ssh_fingerprint"] = call.checked(["ssh-keygen", "-l", "-f", path]).out.strip()


def _about(name: str) -> dict[str, Any]:
    entry = _current(name)
    if entry is None:
        return {}
    return {
        "uid": entry.pw_uid,
        "group": entry.pw_gid,
        "home": entry.pw_dir,
        "shell": entry.pw_shell,
        "comment": entry.pw_gecos,
    }
