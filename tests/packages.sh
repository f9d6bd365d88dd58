#!/bin/sh
# Installs by apt what the tests of all tiers drive and the machine lacks. Needs root only if something is missing.
set -eu

missing=
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
PATH="$PATH:/usr/sbin:/sbin"
need podman podman
need crun crun
need catatonit catatonit
need containerd containerd
need runc runc
need nft nftables
need ip iproute2
need busybox busybox-static
need ssh openssh-client
need mmdebstrap mmdebstrap
need systemd-nspawn systemd-container
need etcd etcd-server

[ -n "$missing" ] || exit 0
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq --yes --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends $missing >/dev/null
}
