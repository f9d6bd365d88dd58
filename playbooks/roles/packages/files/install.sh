# Installs by apt the packages of those programs that the host lacks. Needs no Python, as that may be one of them.

PATH="$PATH:/usr/sbin:/sbin"
packages=
for entry in $NEEDED; do
    command -v "${entry%=*}" >/dev/null 2>&1 || packages="$packages ${entry#*=}"
done
[ -n "$packages" ] || exit 0
# The look before has told where there is no apt.
command -v apt-get >/dev/null || exit 0
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq --yes --no-install-recommends -o DPkg::Lock::Timeout=60 $packages 2>&1; }
# Lists that are there may do, and spare a host that is half cut off; where they do not, they are fetched.
said=$(install) || said=$(apt-get update -qq 2>&1 && install) || {
    echo "cannot install$packages: $(echo "$said" | grep -E '^(E|W):' | tail -n 1); give the host access to a package mirror, or install them"
    exit 1
}
echo "installed$packages"
