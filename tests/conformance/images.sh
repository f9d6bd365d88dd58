#!/bin/sh
# Makes the images that the suite's pods name, of Debian's packages and the suite's own programs: images.sh DIR
# They end up in DIR/images.tar, for `podman load` on each node; no registry is asked.
set -eu
[ $# = 1 ] || { echo "usage: images.sh DIR"; exit 2; }
cd "$1"
[ -e images.tar ] && exit 0
echo "making the suite's images"
source=go/src/k8s.io/kubernetes/test/images
podman() { command podman --root "$PWD/storage" --runroot "$PWD/run" --storage-driver overlay "$@"; }

rm -rf context && mkdir -p context/small/bin context/small/etc context/small/tmp context/small/root context/agnhost/uploads
chmod 1777 context/small/tmp
cp "$(command -v busybox)" context/small/bin/busybox
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "context/small/bin/$applet"; done
# Debian's busybox has no printenv.
printf '#!/bin/sh\neval "echo \\"\\$$1\\""\n' >context/small/bin/printenv
chmod 755 context/small/bin/printenv
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >context/small/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >context/small/etc/group
mkdir -p context/httpd/usr/local/apache2/htdocs context/nginx/usr/share/nginx/html context/etcd/usr/local/bin
echo '<html><body><h1>It works!</h1></body></html>' >context/httpd/usr/local/apache2/htdocs/index.html
echo '<html><body><h1>Welcome to nginx!</h1></body></html>' >context/nginx/usr/share/nginx/html/index.html
cp agnhost context/agnhost/agnhost && ln -s agnhost context/agnhost/agnhost-2
cp "$source"/agnhost/porter/localhost.* context/agnhost/
cp nnp sample-apiserver consumer consume-cpu regression-issue-74839 context/
cp "$(command -v etcd)" context/etcd/usr/local/bin/etcd
for animal in kitten nautilus; do cp -r "$source/$animal/html" "context/$animal"; done

[ -e base.tar ] || {
    mmdebstrap --quiet --variant=minbase \
        --include=bash,curl,bind9-dnsutils,netcat-openbsd,iproute2,procps,net-tools,conntrack,stress,wget \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm unfinished.tar
    mv unfinished.tar base.tar
}
podman import --quiet - localhost/base:1 <base.tar >/dev/null
names=
image() {
    name=$1 && shift
    printf '%s\n' "$@" >context/Dockerfile
    podman build --quiet --isolation chroot --tag "$name" --file context/Dockerfile context >/dev/null
    names="$names $name"
}
e2e=gcr.io/kubernetes-e2e-test-images
image k8s.gcr.io/e2e-test-images/agnhost:2.21 'FROM localhost/base:1' 'COPY agnhost /' 'EXPOSE 80 8080 8081 9376' \
    'ENTRYPOINT ["/agnhost"]' 'CMD ["pause"]'
image k8s.gcr.io/build-image/debian-iptables:buster-v1.3.0 'FROM localhost/base:1' 'CMD ["/bin/sleep", "1000000"]'
image $e2e/jessie-dnsutils:1.0 'FROM localhost/base:1' 'CMD ["/bin/sleep", "1000000"]'
image $e2e/resource-consumer:1.5 'FROM localhost/base:1' 'COPY consumer /' 'COPY consume-cpu /consume-cpu/' 'EXPOSE 8080' 'ENTRYPOINT ["/consumer"]'
image $e2e/regression-issue-74839-amd64:1.0 'FROM localhost/base:1' 'COPY regression-issue-74839 /' \
    'ENTRYPOINT ["/regression-issue-74839"]'
image $e2e/sample-apiserver:1.17 'FROM localhost/base:1' 'COPY sample-apiserver /' 'ENTRYPOINT ["/sample-apiserver"]'
image k8s.gcr.io/etcd:3.4.13-0 'FROM localhost/base:1' 'COPY etcd /' 'CMD ["/usr/local/bin/etcd"]'
image docker.io/library/busybox:1.29 'FROM scratch' 'COPY small /' 'CMD ["sh"]'
image $e2e/nonroot:1.0 'FROM docker.io/library/busybox:1.29' 'USER 1234'
image $e2e/nonewprivs:1.0 'FROM docker.io/library/busybox:1.29' 'COPY nnp /usr/local/bin/nnp' \
    'RUN ["/bin/busybox", "chmod", "4755", "/usr/local/bin/nnp"]' 'ENTRYPOINT ["/usr/local/bin/nnp"]'
for version in 2.4.38 2.4.39; do
    image docker.io/library/httpd:$version-alpine 'FROM docker.io/library/busybox:1.29' 'COPY httpd /' "ENV VERSION=$version" \
        'CMD ["/bin/httpd", "-f", "-p", "80", "-h", "/usr/local/apache2/htdocs"]'
done
for version in 1.14 1.15; do
    image docker.io/library/nginx:$version-alpine 'FROM docker.io/library/busybox:1.29' 'COPY nginx /' "ENV VERSION=$version" \
        'CMD ["/bin/httpd", "-f", "-p", "80", "-h", "/usr/share/nginx/html"]'
done
for animal in kitten nautilus; do
    image $e2e/$animal:1.0 'FROM scratch' 'COPY agnhost/agnhost /' "COPY $animal /" 'ENTRYPOINT ["/agnhost"]' 'CMD ["test-webserver"]'
done
image k8s.gcr.io/pause:3.2 'FROM scratch' 'COPY agnhost/agnhost /pause' 'ENTRYPOINT ["/pause", "pause"]'
# shellcheck disable=SC2086
podman save --multi-image-archive --output unfinished.tar $names 2>/dev/null
mv unfinished.tar images.tar
