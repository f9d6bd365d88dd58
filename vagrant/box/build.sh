#!/bin/sh
# Builds a Vagrant box of this machine's own Debian or Ubuntu release, for the libvirt provider, from packages alone.
#
#     sudo vagrant/box/build.sh [BOX]      (vagrant/box/debian.box)
#
# Needs mmdebstrap, e2fsprogs, fdisk, grub-pc-bin and qemu-utils; neither KVM nor loop devices. Where the packages come
# from is what this machine's own apt is set to. The box appears by rename: one that is there is whole.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
box=${1:-$here/debian.box}
disk_mib=10240
first_mib=1

for program in mmdebstrap mkfs.ext4 sfdisk grub-mkimage qemu-img; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || {
        echo "the box cannot be built: $program is missing; install mmdebstrap e2fsprogs fdisk grub-pc-bin qemu-utils" >&2
        exit 1
    }
done
PATH=$PATH:/usr/sbin:/sbin
. /etc/os-release
work=$(mktemp -d "${TMPDIR:-/var/tmp}/wherry-box.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(SIGNED_BY)' 'Created-By: Packages' |
        while read -r uri release component origin signed_by; do
            case "$origin/$release" in Debian/"$VERSION_CODENAME"* | Ubuntu/"$VERSION_CODENAME"*) ;; *) continue ;; esac
            case "$signed_by" in /*) echo "deb [signed-by=$signed_by] $uri $release $component" ;;
                *) echo "deb $uri $release $component" ;; esac
        done | sort -u
}

[ -n "$(sources)" ] || apt-get update -qq
# Proxy and date settings decide whether apt reaches its sources at all.
apt-config dump | grep -E '^Acquire::(http::|https::|Check-Valid-Until|Check-Date)' | grep -v ' "";$' >"$work/apt.conf" || true
packages=$(sed -e 's/#.*//' "$here/packages" | tr -s ' \n' ,)
echo "unpacking $PRETTY_NAME"
sources | TMPDIR=$work mmdebstrap --variant=minbase --mode=root --quiet --include="${packages%,}" \
    --aptopt="$work/apt.conf" --customize-hook="sh '$here/setup.sh' \"\$1\"" "$VERSION_CODENAME" "$work/root" -

echo "making the disk"
root_mib=$((disk_mib - first_mib))
mkfs.ext4 -q -L root -O ^metadata_csum_seed,^orphan_file -d "$work/root" "$work/root.ext4" "${root_mib}M" 2>/dev/null ||
    mkfs.ext4 -q -L root -d "$work/root" "$work/root.ext4" "${root_mib}M"
truncate -s "${disk_mib}M" "$work/disk.raw"
echo "start=${first_mib}MiB, type=83, bootable" | sfdisk --quiet --label dos "$work/disk.raw"
dd if="$work/root.ext4" of="$work/disk.raw" bs=1M seek="$first_mib" conv=notrunc,sparse status=none
rm "$work/root.ext4"
grub=/usr/lib/grub/i386-pc
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2 normal linux configfile
dd if="$grub/boot.img" of="$work/disk.raw" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk.raw" bs=512 seek=1 conv=notrunc status=none

echo "packing $box"
qemu-img convert -c -O qcow2 "$work/disk.raw" "$work/box.img"
rm "$work/disk.raw"
printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' $((disk_mib / 1024)) >"$work/metadata.json"
cp "$here/box.rb" "$work/Vagrantfile"
tar -C "$work" -cf "$box.partial" metadata.json Vagrantfile box.img
mv "$box.partial" "$box"
echo "add it by: vagrant box add --name wherry/debian $box"
