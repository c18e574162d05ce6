#!/usr/bin/env bash
# The tests of netem on a kernel that has it, in a virtual machine: for machines whose own kernel
# has none. Takes Debian with apt, qemu-system-x86, busybox-static and cpio; skips without them.
# Everything is made in target/netem-vm. Not part of the CI: emulation is slow.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in apt-get dpkg-deb qemu-system-x86_64 busybox cpio; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 0; }
done
vm=target/netem-vm
mkdir -p "$vm"

kernel() { find "$vm/kernel/boot" -name 'vmlinuz-*' 2>/dev/null | head -n 1; }
if [ -z "$(kernel)" ]; then
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
    (cd "$vm" && apt-get download -qq "$image" && dpkg-deb -x "$image"_*.deb kernel)
fi

# Tests print this line: "Executable unittests src/lib.rs (target/debug/deps/gameday_chaos-…)".
tests=$(cargo test -p gameday-chaos --lib --no-run 2>&1 | sed -n 's/.*(\(.*\)).*/\1/p' | tail -n 1)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,proc,sys,dev,tmp,modules}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
strip -g -o "$root/tests" "$tests"
ldd "$tests" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$(readlink -f "$library")" "$root$library"
done
# In the order in which they need each other.
number=10
for module in crc32c_generic libcrc32c nfnetlink nf_tables x_tables nft_compat nfnetlink_queue \
    nft_queue xt_NFQUEUE nf_reject_ipv4 nf_reject_ipv6 nft_reject nft_reject_ipv4 nft_reject_ipv6 \
    nft_reject_inet veth sch_htb sch_netem; do
    # One that is built in is no file.
    find "$vm/kernel/lib/modules" -name "$module.ko" -exec cp {} "$root/modules/$number-$module.ko" \;
    number=$((number + 1))
done
cat > "$root/init" <<'INIT'
#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
export GAMEDAY_REQUIRE_DOCKER=1 GAMEDAY_REQUIRE_NETEM=1
/tests agent::tests netem facilities --nocapture --test-threads=1 && echo "netem-vm: passed"
/bin/busybox poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$vm/root.gz"

timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -m 1024 -smp 2 -nographic -no-reboot \
    -kernel "$(kernel)" -initrd "$vm/root.gz" -append "console=ttyS0 quiet panic=-1" |
    tee "$vm/log"
grep -q "netem-vm: passed" "$vm/log"
