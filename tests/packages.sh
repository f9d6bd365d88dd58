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
need sshd openssh-server
need mmdebstrap mmdebstrap
need systemd-nspawn systemd-container
need etcd etcd-server
need iptables iptables
need gpg gnupg

[ -n "$missing" ] || exit 0
echo "installing$missing"
# Tests start what they need by themselves: nothing of this becomes a service of this machine.
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 RUNLEVEL=1
# shellcheck disable=SC2086
apt-get install -qq --yes --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends $missing >/dev/null
}
no_service() {
    case "$missing " in *" $1 "*) systemctl --quiet disable "$2" 2>/dev/null || : ;; esac
}
no_service openssh-server ssh.service
no_service etcd-server etcd.service
no_service containerd containerd.service
