#!/bin/sh
# Installs by apt what building and running the conformance suite needs and the machine lacks.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
command -v go podman mmdebstrap busybox dpkg-source etcd >/dev/null 2>&1 && exit 0
echo "installing Go, Podman and what images are made of"
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 RUNLEVEL=1
packages='golang-go podman crun mmdebstrap busybox-static dpkg-dev etcd-server'
# shellcheck disable=SC2086
apt-get install -qq --yes --no-install-recommends $packages >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends $packages >/dev/null
}
systemctl --quiet disable etcd.service 2>/dev/null || :
