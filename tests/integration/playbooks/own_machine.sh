#!/bin/sh
# Runs a command on a copy of this machine: whatever it changes, installs or filters is gone with it.
# Needs a mount and a network namespace of its own: unshare --mount --net --propagation private sh own_machine.sh DIR WORD...
set -eu
scratch=$1
shift
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
for directory in /proc /sys /dev /tmp; do mount --rbind "$directory" "$scratch/root$directory"; done
ip link set lo up
directory=$PWD
exec chroot "$scratch/root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
