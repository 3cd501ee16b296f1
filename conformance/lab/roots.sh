#!/usr/bin/env bash
# Makes what peers need that the host does not have, once, in a cache folder:
#   roots.sh kernel       a Debian kernel with strongSwan in an initramfs: the Linux kernel's own ESP, for qemu
#   roots.sh trixie|sid   a root with strongSwan 6.x, for chroot
#   roots.sh clean        a small Debian with systemd's tools and nothing of ours, for the package
#   roots.sh promtool     Prometheus' own reader of rules and metrics, without Prometheus
#   roots.sh booted       a Debian that boots, with systemd as its first process, for the unit
set -euo pipefail
cache=${SANDHOG_LAB:-/var/cache/sandhog-lab}
swan=libstrongswan-standard-plugins,strongswan-charon,strongswan-swanctl,libstrongswan-extra-plugins,libcharon-extra-plugins
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # one maker at a time

kernel() {
    [ -s "$cache/initramfs" ] && [ -s "$cache/vmlinuz" ] && return
    local root="$cache/kernel-root"
    rm -rf "$root"
     debootstrap --variant=minbase --include="$swan,iproute2,iputils-ping,kmod,linux-image-cloud-amd64" bookworm "$root" >"$cache/kernel.log" 2>&1
    cp "$root"/boot/vmlinuz-*-cloud-amd64 "$cache/vmlinuz"
    # what a router does not read
    rm -rf "$root"/usr/share/{doc,man,locale,info,zoneinfo,perl,python3} "$root"/var/{cache,lib/apt,lib/dpkg} "$root"/boot "$root"/usr/lib/x86_64-linux-gnu/perl*
    find "$root"/lib/modules -name '*.ko' | { grep -vE 'kernel/(net|crypto|arch/x86/crypto|lib)/|virtio|failover' || true; } | xargs -r rm -f
    for release in "$root"/lib/modules/*; do chroot "$root" depmod "$(basename "$release")" || true; done
    cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
for m in virtio_pci virtio_net esp4 esp6 xfrm_user af_key authenc gcm cbc ccm ctr sha1_generic sha256_generic sha512_generic hmac echainiv seqiv aesni_intel aes_generic chacha20poly1305 xfrm4_tunnel xfrm6_tunnel; do modprobe -q $m; done
ip link set lo up
exec /serial.sh
INIT
    chmod +x "$root/init"
    install -m 755 "$(dirname "$0")/serial.sh" "$root/serial.sh"
    (cd "$root" && find . -xdev | cpio -o -H newc --quiet) >"$cache/initramfs.part"
    mv "$cache/initramfs.part" "$cache/initramfs"
    rm -rf "$root"
}

root() {
    [ -e "$cache/$1/.complete" ] && return
    rm -rf "${cache:?}/$1"
    debootstrap --variant=minbase --include="$swan" "$1" "$cache/$1" >"$cache/$1.log" 2>&1
    touch "$cache/$1/.complete"
}

clean() {
    [ -e "$cache/clean/.complete" ] && return
    rm -rf "${cache:?}/clean"
    debootstrap --variant=minbase --include=systemd,iproute2,nftables,iputils-ping bookworm "$cache/clean" >"$cache/clean.log" 2>&1
    touch "$cache/clean/.complete"
}

booted() {
    [ -e "$cache/booted/.complete" ] && return
    rm -rf "${cache:?}/booted"
    debootstrap --variant=minbase --include=systemd-sysv,dbus,iproute2,nftables,iputils-ping,kmod,linux-image-cloud-amd64 bookworm "$cache/booted" >"$cache/booted.log" 2>&1
    touch "$cache/booted/.complete"
}

promtool() {
    [ -x "$cache/promtool" ] && return
    local part="$cache/promtool.part"
    rm -rf "$part"
    mkdir "$part"
    (cd "$part" && chmod 777 . && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg -x prometheus_*.deb .)
    mv "$part/usr/bin/promtool" "$cache/promtool"
    rm -rf "$part"
}

for what in "$@"; do
    case $what in
        kernel) kernel ;;
        trixie | sid) root "$what" ;;
        clean | booted | promtool) "$what" ;;
        *) echo "usage: roots.sh kernel|trixie|sid|clean|booted|promtool ..." >&2; exit 2 ;;
    esac
done
