#!/bin/sh
# Boots one lab host: joins its control groups, puts its disk together, and becomes systemd-nspawn.
# It runs in a mount namespace of its own, so nothing that is mounted here outlives the host.
#
# LAB_HOST name, LAB_NETNS path of its network namespace, LAB_TREE base tree, LAB_DISK its own directory,
# LAB_CGROUPS groups to join, LAB_UNIFIED 1 on a machine with cgroup version 2 only.
set -eu

for group in $LAB_CGROUPS; do
    echo $$ > "$group/cgroup.procs"
done
# With this mounted beside version 1 nspawn would give the host both, which crun refuses.
if [ "$LAB_UNIFIED" = 0 ] && mountpoint -q /sys/fs/cgroup/unified; then
    umount /sys/fs/cgroup/unified
fi
mount -t overlay overlay -o "lowerdir=$LAB_TREE,upperdir=$LAB_DISK/upper,workdir=$LAB_DISK/work" "$LAB_DISK/root"

export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="$LAB_UNIFIED" SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
# Podman's own overlay storage cannot lie on an overlay, hence the bind of a plain directory.
exec systemd-nspawn --quiet --kill-signal=SIGRTMIN+3 --register=no --keep-unit --console=read-only \
    --link-journal=no --resolv-conf=off --timezone=off --machine="$LAB_HOST" --directory="$LAB_DISK/root" \
    --network-namespace-path="$LAB_NETNS" --capability=CAP_NET_ADMIN --system-call-filter='@keyring bpf' \
    --bind="$LAB_DISK/containers:/var/lib/containers" --bind=/dev/fuse --bind=/dev/net/tun /sbin/lab-init
