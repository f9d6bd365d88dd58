#!/bin/sh
# Runs Kubernetes' conformance tests against a lab of their own: run.sh DIR [FOCUS [SKIP]]
# DIR holds what build.sh and images.sh made; the suite's log and JUnit files go to DIR/report. FOCUS and SKIP are
# regular expressions over the names of tests; without them all conformance tests run, those that need a cluster for
# themselves ([Serial]) last. The status is the suite's.
set -eu
[ $# -ge 1 ] || { echo "usage: run.sh DIR [FOCUS [SKIP]]"; exit 2; }
directory=$(cd "$1" && pwd)
focus=${2:-\\[Conformance\\]}
# Their subject, the Secret that a service account had of its own, went in 1.24.
skip="should mount an API token into pods|should allow opting out of API token automount${3:+|$3}"
lab=conformance
wherry=$PWD/.venv/bin/wherry

trap '"$wherry" lab down --name $lab >/dev/null' EXIT
trap 'exit 130' INT TERM
"$wherry" lab up --name $lab --workers 2
for node in node1 node2; do
    "$wherry" lab ssh --name $lab $node sudo podman load --quiet <"$directory/images.tar" >/dev/null
done
config=$PWD/.lab/$lab/admin.kubeconfig
host=$(sed -n 's/^ *server: //p' "$config")
mkdir -p "$directory/report" && cd "$directory"

suite() {
    nodes=$1 name=$2 && shift 2
    echo "running the $name tests; the log is $directory/report/$name.log"
    ./ginkgo -nodes="$nodes" -noColor "$@" ./e2e.test -- --kubeconfig="$config" --host="$host" --num-nodes=2 \
        --provider=skeleton --kubectl-path="$directory/kubectl" --report-dir="$directory/report" \
        >"report/$name.log" 2>&1 || status=1
    sed -n 's/.*{"msg":"\(FAILED [^"]*\)".*/\1/p' "report/$name.log"
    passed=$(grep -c '{"msg":"PASSED' "report/$name.log" || :) failed=$(grep -c '{"msg":"FAILED' "report/$name.log" || :)
    echo "$name: $passed passed, $failed failed"
}
status=0
suite 4 parallel -focus="$focus" -skip="$skip|Serial|Disruptive"
suite 1 serial -focus="(Serial|Disruptive).*($focus)|($focus).*(Serial|Disruptive)" -skip="$skip"
exit $status
