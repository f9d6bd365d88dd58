#!/bin/sh
# Installs by apt what the lab on virtual machines needs and the machine lacks. Needs root only if something is missing.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
command -v vagrant libvirtd virsh qemu-system-x86_64 qemu-img mmdebstrap mkfs.ext4 sfdisk grub-mkimage ip curl ssh \
    >/dev/null 2>&1 && [ -d /usr/lib/grub/i386-pc ] && exit 0
packages='vagrant vagrant-libvirt qemu-system-x86 qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
libvirt-daemon-config-network dnsmasq-base grub-pc-bin fdisk e2fsprogs mmdebstrap iproute2 curl openssh-client'
echo "installing Vagrant, libvirt and QEMU"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq --yes --no-install-recommends $packages >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends $packages >/dev/null
}
