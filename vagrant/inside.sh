#!/bin/sh
# Provisions the machines from inside the control machine, for hosts that have Vagrant and no Wherry.
#
# The control machine gets this checkout, an SSH key that the workers take, and an inventory by the private addresses;
# what `wherry up` says there is seen here. Wheels in vagrant/wheels, if there are any, stand in for the package index.
set -eu
cd "$(dirname "$0")"
data=${VAGRANT_DOTFILE_PATH:-.vagrant}/wherry
user_files=../.lab/vagrant
mkdir -p "$data" "$user_files"
vagrant ssh-config >"$data/ssh_config"

on() {
    machine=$1
    shift
    ssh -F "$data/ssh_config" -o LogLevel=ERROR "$machine" "$@" </dev/null
}

echo "control      copying Wherry"
tar -C .. --exclude=./.git --exclude=./.venv --exclude=./.lab --exclude=./build --exclude='*.box' \
    --exclude=./vagrant/.vagrant --exclude='__pycache__' -cf - . |
    ssh -F "$data/ssh_config" -o LogLevel=ERROR control 'mkdir -p wherry && tar -C wherry -xf -'

public_key=$(on control 'test -f .ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519; cat .ssh/id_ed25519.pub')
workers=$(sed -n 's/^ *\(node[0-9]*\):$/\1/p' "$data/groups.yml")
known_hosts=
inventory='all: {children: {control: {hosts: {control: {ansible_connection: local, node_address: 192.168.56.10}}}, workers: {hosts: {'
for worker in $workers; do
    address=192.168.56.$((10 + ${worker#node}))
    on "$worker" "grep -qxF '$public_key' .ssh/authorized_keys || echo '$public_key' >>.ssh/authorized_keys"
    known_hosts="$known_hosts$address $(on "$worker" 'cat /etc/ssh/ssh_host_ed25519_key.pub')
"
    inventory="$inventory$worker: {ansible_host: $address, node_address: $address, ansible_user: vagrant}, "
done
printf '%s' "$known_hosts" | ssh -F "$data/ssh_config" -o LogLevel=ERROR control 'cat >.ssh/known_hosts'
echo "$inventory}}}}" | ssh -F "$data/ssh_config" -o LogLevel=ERROR control 'cat >inventory.yml'

on control 'cd wherry && if [ -d vagrant/wheels ]; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/vagrant/wheels; fi &&
    make --no-print-directory .venv/runs && .venv/bin/wherry up -i ../inventory.yml --demo'
on control 'cat admin.kubeconfig' >"$user_files/admin.kubeconfig"
chmod 600 "$user_files/admin.kubeconfig"
cat <<EOF

The lab is up. Go on with:

  export KUBECONFIG=$(cd "$user_files" && pwd)/admin.kubeconfig
  kubectl get pods -o wide
  vagrant ssh node1 -c 'sudo podman ps'
  curl http://192.168.56.11:30080/
  vagrant destroy -f
EOF
