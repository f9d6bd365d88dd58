"""Facts of the operating system: distribution, kernel, Python, names, time, user, init."""

from __future__ import annotations

import ctypes.util
import os
import platform
import pwd
import re
import socket
import subprocess
import sys
import time
from typing import Any

_FAMILIES = {
    "Debian": "Debian Ubuntu Raspbian Kali Linux-Mint Pop!_OS Devuan",
    "RedHat": "RedHat CentOS Fedora Rocky AlmaLinux OracleLinux Amazon Scientific",
    "Suse": "SLES openSUSE SUSE SLED",
    "Archlinux": "Archlinux Manjaro",
    "Alpine": "Alpine",
}
_NAMES = {
    "debian": "Debian", "ubuntu": "Ubuntu", "rhel": "RedHat", "centos": "CentOS", "fedora": "Fedora", "rocky": "Rocky",
    "almalinux": "AlmaLinux", "ol": "OracleLinux", "amzn": "Amazon", "alpine": "Alpine", "arch": "Archlinux",
    "raspbian": "Raspbian", "opensuse-leap": "openSUSE Leap", "sles": "SLES",
}  # fmt: skip
_LSB = {
    "Distributor ID": "id", "Description": "description", "Release": "release", "Codename": "codename",
    "DISTRIB_ID": "id", "DISTRIB_DESCRIPTION": "description", "DISTRIB_RELEASE": "release",
    "DISTRIB_CODENAME": "codename",
}  # fmt: skip
_MANAGERS = (
    ("apt", "/usr/bin/apt-get"), ("dnf", "/usr/bin/dnf"), ("yum", "/usr/bin/yum"), ("zypper", "/usr/bin/zypper"),
    ("apk", "/sbin/apk"), ("pacman", "/usr/bin/pacman"),
)  # fmt: skip

_FIRST = {"procd": "openwrt_init", "runit-init": "runit", "svscan": "svc", "openrc-init": "openrc"}


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    found = {**_distribution(), **_kernel(), **_names(), **_python(), **_user(), **_time()}
    found["env"] = dict(os.environ)
    found["service_mgr"] = _service_manager()
    found["pkg_mgr"] = next((name for name, path in _MANAGERS if os.path.exists(path)), "unknown")
    found["cmdline"], found["proc_cmdline"] = _command_line()
    found["selinux"] = {"status": "enabled" if os.path.exists("/sys/fs/selinux/enforce") else "disabled"}
    found["selinux_python_present"] = ctypes.util.find_library("selinux") is not None
    found["apparmor"] = {"status": "enabled" if os.path.isdir("/sys/kernel/security/apparmor") else "disabled"}
    found["fips"] = _read("/proc/sys/crypto/fips_enabled").strip() == "1"
    found["lsb"] = _lsb()
    found["is_chroot"] = False
    found.update(_host_keys())
    found["machine_id"] = _read("/etc/machine-id").strip()
    return found


def _lsb() -> dict[str, str]:
    """What `lsb_release` says, or else /etc/lsb-release; {} where the host has neither."""
    lines, sign = said("lsb_release", "-a").splitlines(), ":"
    if not lines:
        lines, sign = _read("/etc/lsb-release").splitlines(), "="
    told = {name: value.strip().strip("'\"") for name, _, value in (line.partition(sign) for line in lines)}
    found = {fact: told[name] for name, fact in _LSB.items() if name in told}
    if "release" in found:
        found["major_release"] = found["release"].split(".")[0]
    return found


def said(*command: str, timeout: float = 10) -> str:
    """What a program says; "" if it is not there, cannot be run or takes too long: no fact is worth the others."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def os_release() -> dict[str, str]:
    """What /etc/os-release says."""
    text = _read("/etc/os-release") or _read("/usr/lib/os-release")
    pairs = re.findall(r"^([A-Z_]+)=(?:\"([^\"]*)\"|'([^']*)'|(.*))$", text, re.MULTILINE)
    return {name: double or single or bare for name, double, single, bare in pairs}


def _distribution() -> dict[str, Any]:
    release = os_release()
    identity = release.get("ID", "")
    name = _NAMES.get(identity, release.get("NAME", "Linux").split()[0])
    version = release.get("VERSION_ID", "NA")
    if name == "Debian":
        version = _read("/etc/debian_version").strip() or version
        version = version if version[:1].isdigit() else release.get("VERSION_ID", "NA")
    codename = release.get("VERSION_CODENAME") or release.get("UBUNTU_CODENAME", "")
    major = version.split(".")[0]
    minor = version.split(".")[1] if "." in version else ""
    family = next((family for family, names in _FAMILIES.items() if name in names.split()), name)
    return {
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": major,
        "distribution_minor_version": minor,
        "distribution_release": codename or "NA",
        "distribution_file_variety": family,
        "distribution_file_path": "/etc/os-release",
        "distribution_file_parsed": True,
        "os_family": family,
    }


def _kernel() -> dict[str, Any]:
    uname = os.uname()
    bits = "64" if sys.maxsize > 1 << 32 else "32"
    return {
        "system": uname.sysname,
        "kernel": uname.release,
        "kernel_version": uname.version,
        "machine": uname.machine,
        "architecture": uname.machine,
        "userspace_bits": bits,
        "userspace_architecture": uname.machine,
    }


def _names() -> dict[str, Any]:
    node = platform.node()
    fqdn = socket.getfqdn() if node else ""
    return {
        "hostname": node.split(".")[0],
        "nodename": node,
        "fqdn": fqdn,
        "domain": fqdn.partition(".")[2],
        "dns": _dns(),
    }


def _dns() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in _read("/etc/resolv.conf").splitlines():
        words = line.split()
        if not words or words[0][:1] in "#;":
            continue
        if words[0] == "nameserver":
            found.setdefault("nameservers", []).extend(words[1:2])
        elif words[0] == "search":
            found["search"] = words[1:]
        elif words[0] == "domain" and len(words) > 1:
            found["domain"] = words[1]
    return found


def _python() -> dict[str, Any]:
    version = sys.version_info
    described = {
        "version": {
            "major": version.major,
            "minor": version.minor,
            "micro": version.micro,
            "releaselevel": version.releaselevel,
            "serial": version.serial,
        },
        "version_info": list(version),
        "executable": sys.executable,
        "has_sslcontext": True,
        "type": sys.implementation.name,
    }
    return {"python": described, "python_version": platform.python_version()}


def _user() -> dict[str, Any]:
    entry = pwd.getpwuid(os.getuid())
    return {
        "user_id": entry.pw_name,
        "user_uid": entry.pw_uid,
        "user_gid": entry.pw_gid,
        "user_gecos": entry.pw_gecos,
        "user_dir": entry.pw_dir,
        "user_shell": entry.pw_shell,
        "real_user_id": os.getuid(),
        "effective_user_id": os.geteuid(),
        "real_group_id": os.getgid(),
        "effective_group_id": os.getegid(),
    }


def _time() -> dict[str, Any]:
    now = time.time()
    local, utc = time.localtime(now), time.gmtime(now)
    form = {
        "year": "%Y", "month": "%m", "weekday": "%A", "weekday_number": "%w", "weeknumber": "%W", "day": "%d",
        "hour": "%H", "minute": "%M", "second": "%S", "date": "%Y-%m-%d", "time": "%H:%M:%S", "tz": "%Z",
        "tz_offset": "%z",
    }  # fmt: skip
    described = {key: time.strftime(pattern, local) for key, pattern in form.items()}
    described["epoch"] = described["epoch_int"] = str(int(now))
    described["iso8601"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", utc)
    described["iso8601_micro"] = time.strftime("%Y-%m-%dT%H:%M:%S", utc) + f".{int(now % 1 * 1e6):06d}Z"
    described["iso8601_basic"] = time.strftime("%Y%m%dT%H%M%S", local) + f"{int(now % 1 * 1e6):06d}"
    described["iso8601_basic_short"] = time.strftime("%Y%m%dT%H%M%S", local)
    described["tz_dst"] = time.tzname[1]
    return {"date_time": described}


def _service_manager() -> str:
    """What runs first, by its usual name; `init` and shells can be anything, so the host's directories tell."""
    first = _read("/proc/1/comm").strip()
    if first and first != "init" and not first.endswith("sh"):
        return _FIRST.get(first, first)
    signs = (("systemd", "/run/systemd/system"), ("openrc", "/sbin/openrc"), ("sysvinit", "/etc/init.d"))
    return next((name for name, path in signs if os.path.exists(path)), "service")


def _command_line() -> tuple[dict[str, Any], dict[str, Any]]:
    single: dict[str, Any] = {}
    several: dict[str, Any] = {}
    for word in _read("/proc/cmdline").split():
        name, separator, value = word.partition("=")
        single[name] = value if separator else True
        if name in several:
            old = several[name] if isinstance(several[name], list) else [several[name]]
            several[name] = [*old, value]
        else:
            several[name] = value if separator else True
    return single, several


def _host_keys() -> dict[str, Any]:
    found = {}
    for kind in ("rsa", "ecdsa", "ed25519"):
        words = _read(f"/etc/ssh/ssh_host_{kind}_key.pub").split()
        if len(words) > 1:
            found[f"ssh_host_key_{kind}_public"] = words[1]
            found[f"ssh_host_key_{kind}_public_keytype"] = words[0]
    return found
