# Looks at a host and changes nothing. Needs neither Python nor root, so that a lack of them can be told.
# Each finding is a line: what is wrong, a tab, what to do. The variables in capitals come from the playbook.

# Who is not root has no sbin in the way of a command that root is asked to run.
PATH="$PATH:/usr/sbin:/sbin"

finding() { printf '%s\t%s\n' "$1" "$2"; }

# What apt will install is no finding; whether it can is seen when it does.
installable() {
    [ "$INSTALL" = yes ] && command -v apt-get >/dev/null && grep -rqsE '^(deb|Types:) ?' /etc/apt/sources.list /etc/apt/sources.list.d
}

[ "$(uname -s)" = Linux ] || finding "it runs $(uname -s)" "use a host with Linux"
[ -d /run/systemd/system ] || finding "systemd does not run it" "use a distribution with systemd, such as Debian 12 or Ubuntu 24.04"

if ! command -v python3 >/dev/null; then
    installable || finding "there is no python3" "install the package python3"
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    finding "its $(python3 --version) is too old" "use a distribution with Python 3.11 or newer"
fi

if [ "$(id -u)" = 0 ]; then
    as_root() { "$@"; }
elif [ "$SUDO_PASSWORD" = yes ]; then
    as_root() { return 0; }
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root() { sudo -n "$@"; }
else
    finding "$(id -un) cannot become root without a password" "allow it in /etc/sudoers.d (NOPASSWD), or set ansible_become_password"
    as_root() { return 0; }
fi

# The scheduler's NumPy is built for x86-64-v2; on less it ends by an illegal instruction.
if [ "$WORKER" = no ] && [ "$(uname -m)" = x86_64 ] && ! grep -qw sse4_2 /proc/cpuinfo; then
    finding "its processor has no SSE4.2" "give the virtual machine a newer model (host-passthrough, or Nehalem at least), or use another host"
fi

memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
[ "$memory" -ge "$MEMORY_MB" ] || finding "it has $memory MB of memory" "give it at least $MEMORY_MB MB"

free=$(df -Pm /var/lib | awk 'NR == 2 {print $4}')
[ "$free" -ge "$DISK_MB" ] || finding "/var/lib has $free MB free" "free at least $DISK_MB MB there"

late=$(($(date +%s) - NOW))
[ "${late#-}" -le "$CLOCK_SECONDS" ] || finding "its clock is off by $late s" "set it, and keep it set with systemd-timesyncd or chrony"

getent hosts "$(uname -n)" >/dev/null || finding "its own name $(uname -n) does not resolve" "add it to /etc/hosts"
for name in $NAMES; do
    getent ahosts "$name" >/dev/null || finding "the name $name does not resolve" "add it to DNS or /etc/hosts, or set node_address to an address"
done

addresses=$(cat /proc/net/fib_trie | awk '/\/32 host LOCAL/ {print last} {last = $2}' | sort -u)
case "$ADDRESS" in
    *[!0-9.]*) ;;
    *) echo "$addresses" | grep -qxF "$ADDRESS" || finding "no interface has the node's address $ADDRESS" "set node_address to one of: $(echo $addresses)" ;;
esac
[ -z "$SHARED" ] || finding "$SHARED has the same node_address $ADDRESS" "give each host an address of its own"

# Who listens, as the kernel says it: state 0A, the port in hexadecimal.
listens() { awk -v port=":$(printf %04X "$1")" '$4 == "0A" && $2 ~ port "$" {found = 1} END {exit !found}' /proc/net/tcp /proc/net/tcp6 2>/dev/null; }
for entry in $PORTS; do
    unit=wherry-${entry#*=}
    if listens "${entry%=*}" && ! systemctl is-active --quiet "$unit" 2>/dev/null; then
        finding "port ${entry%=*} is taken" "stop what listens there (ss -ltnp); $unit needs it"
    fi
done

if [ "$WORKER" = yes ]; then
    packages="podman, crun and conmon"
    [ "$RUNTIME" = podman ] || packages="$RUNTIME and runc"
    command -v "$RUNTIME" >/dev/null || installable || finding "there is no $RUNTIME" "install the packages $packages"
    if command -v ip >/dev/null; then
        for kind in "bridge" "veth peer name w1" "vxlan id 1 dstport 4789"; do
            as_root unshare --net ip link add w0 type $kind 2>/dev/null || finding "its kernel makes no ${kind%% *} links" "load the module ${kind%% *} (modprobe), or use the distribution's own kernel"
        done
    fi
    if command -v nft >/dev/null; then
        as_root unshare --net nft add table inet w 2>/dev/null || finding "its kernel has no nf_tables" "load the module nf_tables (modprobe), or use the distribution's own kernel"
    fi
fi
exit 0
