#!/bin/sh
# Turns a minimal Debian or Ubuntu tree ($1) into one that boots as a lab host. Run by mmdebstrap.
set -eu
root=$1

# With a writable /proc/sys some of these would change the machine that the lab runs on; the others fail or wait
# for hardware that a lab host does not have.
for unit in systemd-sysctl.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount systemd-modules-load.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journal-flush.service \
    systemd-logind.service user@.service console-getty.service getty@.service \
    e2scrub_all.timer e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    fstrim.timer motd-news.timer systemd-networkd.service systemd-networkd.socket systemd-resolved.service \
    systemd-timesyncd.service podman-auto-update.timer podman-auto-update.service podman-restart.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# A login session without logind would wait for it.
sed -i '/pam_systemd/d' "$root/etc/pam.d/common-session"

cat > "$root/sbin/lab-init" <<'EOF'
#!/bin/sh
# nspawn mounts cgroup version 1 controllers read-only; systemd and Podman need to write there.
for controller in /sys/fs/cgroup/*/; do
    directory=${controller%/}
    if [ ! -L "$directory" ] && mountpoint -q "$directory"; then
        mount -o remount,rw,bind "$directory"
    fi
done
exec /lib/systemd/systemd
EOF
chmod 755 "$root/sbin/lab-init"

chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 lab
echo 'lab ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/lab"
chmod 440 "$root/etc/sudoers.d/lab"

rm -f "$root"/etc/ssh/ssh_host_*_key*
cat > "$root/etc/ssh/sshd_config.d/lab.conf" <<'EOF'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
MaxStartups 100
EOF

: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/* "$root"/usr/share/man/*
