#!/bin/sh
# Runs the README's two commands where nothing was installed by hand: on a minimal Debian of its own, as root and as a
# plain user, each on a fresh machine with a clone of this checkout's HEAD. Prints how each command ended; the exit status
# is 0 only when all passed. Needs root, debootstrap and unshare, and takes half an hour.
#
#   tests/clean-root.sh [-n] [-u USERS] [-c COMMANDS] [FOLDER]
#
#   -n                new machines, where FOLDER has some from before
#   -u "root plain"   who runs them; plain is a user without rights
#   -c "demo test"    the commands
#   FOLDER            where the machines and the logs lie. A FOLDER that is named stays and is used again: its machines
#                     keep what was installed, the clones are brought to HEAD. Without it a temporary one, removed at the end.
#
# What this machine's apt and pip are configured for (files, environment, folders of wheels) is what the clean ones use. The
# real data (MLU_AGENT_SHARED, default ../shared) is there too, read-only, if it is here. Each command has mounts and
# processes of its own, which end with it however it ends.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
shared=${MLU_AGENT_SHARED:-$checkout/../shared}
packages=python3,python3-venv,gcc,libc6-dev,make,ca-certificates # the README's list, and what an index over https needs
users="root plain"
commands="demo test"
folder=""
temporary=""
new=""
child=""

fail() {
    echo "clean-root: $1" >&2
    exit 2
}

leave() {
    trap - EXIT INT TERM
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}

# await COMMAND...: runs it so that a signal ends it and this script at once
await() {
    "$@" &
    child=$!
    status=0
    wait "$child" || status=$?
    child=""
    return "$status"
}

pip_settings() { # the values that this machine's pip is configured with, one a line
    python3 -m pip config list 2>/dev/null | sed "s/^[^=]*='\(.*\)'\$/\1/" | tr ' ' '\n'
}

pip_folders() { # the local folders among them; an index's pages point to files beside it
    pip_settings | sed -n 's,^file://\(.*\)/[^/]*$,\1,; s,^\(/.*\)$,\1,p' | sort -u | while read -r path; do
        if [ -d "$path" ]; then printf '%s\n' "$path"; fi
    done
}

make_base() { # make_base ROOT: a minimal Debian of this machine's release, configured as this machine is
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt's own placeholders
    mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$release //p" | head -n 1)
    [ -n "$mirror" ] || fail "apt has no source for $release"
    await debootstrap --variant=minbase --include="$packages" "$release" "$1.part" "$mirror" >"$1.log" 2>&1 ||
        fail "debootstrap failed: $1.log"
    rm -rf "$1.part/etc/apt"
    for path in /etc/apt /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$path" ]; then
            mkdir -p "$1.part$(dirname "$path")"
            cp -aL "$path" "$1.part$(dirname "$path")/"
        fi
    done
    chroot "$1.part" useradd --create-home plain
    mv "$1.part" "$1"
}

home_of() { if [ "$1" = root ]; then echo /root; else echo "/home/$1"; fi; }

make_machine() { # make_machine USER: a copy of the base, with pip's own settings of whoever runs this and a clone of HEAD
    machine=$folder/$1
    home=$machine$(home_of "$1")
    if [ -n "$new" ]; then rm -rf --one-file-system "$machine"; fi
    if [ ! -d "$machine" ]; then
        cp -a "$folder/base" "$machine.part"
        mv "$machine.part" "$machine"
        if [ -e "$HOME/.config/pip" ]; then
            mkdir -p "$home/.config"
            cp -aL "$HOME/.config/pip" "$home/.config/"
        fi
    fi
    if [ -d "$home/mlu-agent" ]; then
        git -c safe.directory='*' -C "$home/mlu-agent" fetch -q "$checkout" HEAD
        git -c safe.directory='*' -C "$home/mlu-agent" reset -q --hard FETCH_HEAD
    else
        git clone -q --no-hardlinks "$checkout" "$home/mlu-agent"
    fi
    mkdir -p "$home/shared"
    chroot "$machine" chown -R "$1:" "$(home_of "$1")"
}

inside() { # inside MACHINE USER COMMAND...: runs as the first process of namespaces of its own
    machine=$1 user=$2
    shift 2
    mount --make-rprivate /
    mount -t proc proc "$machine/proc"
    mount --rbind /sys "$machine/sys"
    mount --rbind /dev "$machine/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$machine/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$machine/run/lock" 2>/dev/null || true
    pip_folders | while read -r path; do
        mkdir -p "$machine$path"
        mount --rbind "$path" "$machine$path"
        mount -o remount,ro,bind "$machine$path"
    done
    home=$(home_of "$user")
    if [ -d "$shared" ]; then
        mount --rbind "$shared" "$machine$home/shared"
        mount -o remount,ro,bind "$machine$home/shared"
    fi
    # Only what tells pip and its certificates where to look comes from this machine's environment.
    set -- "HOME=$home" "USER=$user" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
    for name in $(env | sed -n 's/^\(PIP_[A-Z_]*\|SSL_CERT_[A-Z]*\|REQUESTS_CA_BUNDLE\|[a-zA-Z]*_proxy\|[A-Z]*_PROXY\)=.*/\1/p'); do
        eval "set -- \"$name=\$$name\" \"\$@\""
    done
    chroot --userspec="$user:" "$machine" env -i "$@"
}

run() { # run USER COMMAND: true when it passed
    log=$folder/$1-$2.log
    start=$(date +%s)
    echo "== $1: make $2 (log: $log)"
    status=0
    await unshare --mount --pid --fork --kill-child sh "$0" --inside "$folder/$1" "$1" \
        sh -c "cd \"\$HOME/mlu-agent\" && exec make $2" >"$log" 2>&1 || status=$?
    tail -n 12 "$log" | sed 's/^/   /'
    echo "== $1: make $2 ended with $status after $(($(date +%s) - start)) s"
    return "$status"
}

{ # read to its end before it runs: the checkout may change meanwhile
if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi
while getopts nu:c: option; do
    case $option in
        n) new=yes ;;
        u) users=$OPTARG ;;
        c) commands=$OPTARG ;;
        *) sed -n '6p' "$0" >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ "$(id -u)" = 0 ] || fail "a Debian of its own can only be made by root"
for tool in debootstrap unshare git python3; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
trap leave EXIT
trap 'leave; exit 130' INT TERM
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
else
    folder=$(mktemp -d)
    temporary=$folder
fi
chmod 755 "$folder"
case $folder/ in "$checkout"/*) fail "$folder is inside the checkout" ;; esac

echo "== HEAD is $(git -C "$checkout" log -1 --format='%h %s')"
rm -rf "$folder"/*.part
[ -d "$folder/base" ] || make_base "$folder/base"
failed=""
for user in $users; do
    make_machine "$user"
    for command in $commands; do
        run "$user" "$command" || failed="$failed; $user: make $command"
    done
done
[ -z "$failed" ] || { echo "clean-root: failed$failed" && exit 1; }
echo "clean-root: all passed"
exit 0
}
