#!/bin/sh
# Installs what the tests take from Debian's packages, and only what is missing. Where that cannot be done (not root, no
# apt-get, no network) it says so and goes on: the tests that need a missing package skip themselves by their marker.
set -u

missing=""
need() { # need PACKAGE COMMAND...: the package is missing when the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need qemu-user command -v qemu-aarch64
need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
need clang command -v clang
# shellcheck disable=SC2016 # the inner shell expands it
need libclang-rt-14-dev sh -c 'ls $(clang -print-resource-dir)/lib/*/*fuzzer*.a'
need python3-gi /usr/bin/python3 -c 'import gi'
need gir1.2-gst-rtsp-server-1.0 /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")'
need gstreamer1.0-tools command -v gst-inspect-1.0
need gstreamer1.0-plugins-base gst-inspect-1.0 rawvideoparse
need gstreamer1.0-plugins-good gst-inspect-1.0 rtph264pay
need gstreamer1.0-plugins-bad gst-inspect-1.0 h264parse
need gstreamer1.0-plugins-ugly gst-inspect-1.0 x264enc
need ffmpeg command -v ffmpeg
need systemd command -v systemd-analyze

if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "system packages: missing$missing; not installed (needs root and apt-get), the tests that need them are skipped"
    exit 0
fi
echo "system packages: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
if { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    exit 0
fi
tail -n 5 "$log"
echo "system packages: apt-get failed (its log: $log); the tests that need$missing are skipped"
exit 0
