# SPDX-License-Identifier: Apache-2.0
"""The kernel programs, as they are in the forerun binary, on the kernels that people run: Debian's own, emulated by QEMU.

Each machine boots with an initramfs that holds one static program (guest.c). It makes real TCP traffic and checks what was
counted. Emulated time means nothing: counts are checked, never durations.
"""

import os
import pathlib
import platform
import re
import secrets
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
CACHE = pathlib.Path(os.environ.get("FORERUN_KERNEL_CACHE", pathlib.Path.home() / ".cache/forerun/kernels"))

KERNELS = ["6.1-amd64", "6.12-amd64", "6.18-amd64", "7.3-amd64", "6.12-arm64"]

# thread=single and no_timer_check: without them an emulated x86 machine now and then dies before its shell.
MACHINES = {
    "amd64": ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max"],
    "arm64": ["qemu-system-aarch64", "-machine", "virt", "-accel", "tcg", "-cpu", "neoverse-n1"],
}
CONSOLES = {"amd64": "ttyS0 no_timer_check", "arm64": "ttyAMA0"}


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def guest_sources():
    """What guest.c links: the probe and the part of base that needs no library beyond libbpf's own."""
    foreign = re.compile(r'#include (<curl|<microhttpd|<yaml|<cjson|<openssl|"base/(http|tls|pki|listen))')
    base = [f for f in sorted((ROOT / "user/base").glob("*.c")) if not foreign.search(f.read_text())]
    return [HERE / "guest.c", *sorted((ROOT / "user/probe").glob("*.c")), *base]


def compiler(arch):
    if arch == {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]:
        return ["gcc"]
    assert arch == "arm64", f"no way to build for {arch} on {platform.machine()}"
    return ["clang", "--target=aarch64-linux-gnu", f"--sysroot={CACHE}/sysroot-arm64", "-fuse-ld=lld"]


@pytest.fixture(scope="session")
def kernels():
    with open(BUILD / "kernels.log", "w") as log:
        done = subprocess.run([ROOT / "scripts/kernels.sh", CACHE, *KERNELS], stdout=log, stderr=log)
    assert done.returncode == 0, (BUILD / "kernels.log").read_text()
    return CACHE


@pytest.fixture(scope="session")
def initramfs(kernels, tmp_path_factory):
    made = {}

    def make(arch):
        if arch in made:
            return made[arch]
        root = tmp_path_factory.mktemp(f"root-{arch}")
        root.chmod(0o755)
        for folder in ("bin", "t", "proc", "sys", "dev"):
            (root / folder).mkdir()
        shutil.copy(kernels / f"busybox-{arch}", root / "bin/busybox")
        shutil.copy(HERE / "init", root / "init")
        (root / "init").chmod(0o755)
        run(*compiler(arch), "-std=gnu11", "-O2", "-static", "-D_GNU_SOURCE", '-DFORERUN_VERSION="test"',
            "-I", ROOT, "-I", ROOT / "user", "-I", BUILD / "include",
            "-o", root / "t/guest", *guest_sources(), "-lbpf", "-lelf", "-lz", "-lm")
        image = root.parent / f"initramfs-{arch}"
        packer = kernels / f"busybox-{'amd64' if platform.machine() == 'x86_64' else 'arm64'}"
        run("sh", "-c", f"cd {root} && find . | {packer} cpio -o -H newc -R 0:0 | gzip -1 >{image}")
        made[arch] = image
        return image

    return make


def boot(kernel, image, options, command, log):
    arch = kernel.rpartition("-")[2]
    nonce = secrets.token_hex(8)
    machine = [*MACHINES[arch], "-smp", "2", "-m", "1G", "-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot",
               "-serial", f"file:{log}", "-kernel", str(CACHE / kernel / "vmlinuz"), "-initrd", str(image), "-append",
               f'console={CONSOLES[arch]} panic=-1 quiet loglevel=1 {options} NONCE={nonce} TEST="{command}"']
    subprocess.run(["timeout", "-k", "5", "300", *machine], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    text = log.read_text(errors="replace").replace("\r", "") if log.exists() else ""
    result = re.search(rf"RESULT {nonce} rc=(\d+)", text)
    return text, result and int(result.group(1))


def boot_until_up(kernel, image, options, command, log):
    """Once more only if the kernel itself never came up; a test that ran is never repeated."""
    text, rc = boot(kernel, image, options, command, log)
    if "GUEST up=" not in text:
        text, rc = boot(kernel, image, options, command, log)
    return text, rc


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lockdown,command", [
    # Bottlerocket's setting; the second run gives up root.
    ("integrity", "./guest && ./guest --unprivileged"),
    ("confidentiality", "./guest"),
])
def test_the_programs_load_and_count_real_traffic(kernel, lockdown, command, initramfs, tmp_path):
    arch = kernel.rpartition("-")[2]
    text, rc = boot_until_up(kernel, initramfs(arch), f"lockdown={lockdown}", command, tmp_path / "console")
    print(text)
    assert "GUEST up=" in text, f"{kernel} did not boot:\n{text}"
    assert f"[{lockdown}]" in text, "the kernel did not lock down as asked"
    assert "not ok" not in text, f"{kernel}, lockdown={lockdown}:\n{text}"
    assert rc == 0, f"{kernel}, lockdown={lockdown}: rc={rc}\n{text}"
    runs = command.count("./guest")
    assert len(re.findall(r"^1\.\.\d+$", text, re.M)) == runs, "a run did not reach its end"
