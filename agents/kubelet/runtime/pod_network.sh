#!/bin/sh
# A CNI plugin without a network of its own: it puts the namespace that the kubelet has made for a pod in the place
# of the empty one that the runtime has made. It also stands in for the `loopback` plugin, as that is up already.
# Source: the CNI specification 0.4.0; mount(8) on namespace files, as ip-netns(8) keeps them.
set -eu

fail() {
    printf '{"cniVersion": "0.4.0", "code": 100, "msg": "%s"}\n' "$1"
    exit 1
}

case $CNI_COMMAND in
VERSION)
    echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}'
    ;;
ADD)
    if [ "$CNI_IFNAME" = lo ]; then
        echo '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "127.0.0.1/8"}]}'
        exit 0
    fi
    uid=$(printf %s "$CNI_ARGS" | tr ';' '\n' | sed -n 's/^K8S_POD_UID=//p')
    [ -n "$uid" ] || fail "the runtime does not say which pod this is (K8S_POD_UID)"
    own=/run/netns/pod-$uid
    [ -e "$own" ] || fail "the kubelet has made no network namespace $own"
    # Exactly one mount may lie on the runtime's file: it takes away no more than one.
    umount "$CNI_NETNS" && mount --bind "$own" "$CNI_NETNS" || fail "$own cannot be mounted on $CNI_NETNS"
    address=$(nsenter --net="$own" ip -oneline address show dev "$CNI_IFNAME" scope global |
        sed -n 's/.* inet \([0-9./]*\).*/\1/p;s/.* inet6 \([0-9a-f:/]*\).*/\1/p' | head -n 1)
    [ -n "$address" ] || fail "$CNI_IFNAME has no address in $own"
    printf '{"cniVersion": "0.4.0", "interfaces": [{"name": "%s", "sandbox": "%s"}],' "$CNI_IFNAME" "$CNI_NETNS"
    printf ' "ips": [{"version": "4", "interface": 0, "address": "%s"}]}\n' "$address"
    ;;
esac
