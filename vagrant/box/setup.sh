#!/bin/sh
# Turns a minimal tree ($1) with a kernel into a Vagrant guest. Run by mmdebstrap.
set -eu
root=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# A machine without virtualization runs many times slower: what waits for hardware that it does not have is left out.
for unit in systemd-udev-settle.service e2scrub_all.timer e2scrub_reap.service apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer podman-auto-update.timer podman-auto-update.service \
    getty@tty1.service systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# The first link of the machine is Vagrant's own; the private one is configured by Vagrant.
cat >"$root/etc/systemd/network/80-vagrant-first.network" <<'EOF'
[Match]
Name=en* eth*

[Network]
DHCP=ipv4
LinkLocalAddressing=ipv6
EOF
chroot "$root" systemctl --quiet enable systemd-networkd ssh
echo 'LABEL=root / ext4 errors=remount-ro,noatime 0 1' >"$root/etc/fstab"

cat >"$root/etc/initramfs-tools/conf.d/small" <<'EOF'
MODULES=list
COMPRESS=zstd
EOF
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >/dev/null 2>&1

mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<'EOF'
set root=(hd0,msdos1)
linux /vmlinuz root=LABEL=root ro quiet console=ttyS0 random.trust_cpu=on
initrd /initrd.img
boot
EOF
cp -r /usr/lib/grub/i386-pc "$root/boot/grub/"

chroot "$root" useradd --create-home --shell /bin/bash vagrant
install -d -m 700 "$root/home/vagrant/.ssh"
# The key pair that Vagrant ships and replaces at the first boot.
install -m 600 "$here/vagrant.pub" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 440 "$root/etc/sudoers.d/vagrant"
cat >"$root/etc/ssh/sshd_config.d/vagrant.conf" <<'EOF'
PasswordAuthentication no
UseDNS no
EOF
# Every machine makes host keys of its own.
rm -f "$root"/etc/ssh/ssh_host_*
cat >"$root/etc/systemd/system/ssh-host-keys.service" <<'EOF'
[Unit]
Description=Make the SSH host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
ExecStart=/usr/bin/ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key

[Install]
WantedBy=multi-user.target
EOF
chroot "$root" systemctl --quiet enable ssh-host-keys

: >"$root/etc/machine-id"
echo debian >"$root/etc/hostname"
ln -sf /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/usr/share/doc/* "$root"/usr/share/man/*
